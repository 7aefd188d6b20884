//! Splitting one operator over workers, where there are fewer chunks than workers.
//!
//! A kernel asks `parts` how many pieces its work is worth and hands them to `each`. What it computes is the same to
//! the bit, however many there are: products are split over rows or columns, never over K.

use std::{
    cell::Cell,
    ops::Range,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use crate::platform;

thread_local! {
    static WORKERS: Cell<usize> = const { Cell::new(1) };
    /// Of a job whose chunks this thread runs from outside the pool; 0: of none.
    static JOB_WORKERS: Cell<usize> = const { Cell::new(0) };
}

/// Floating-point operations that are worth waking another worker for.
const LEAST_FLOP: usize = 2_000_000;

/// How long a worker that stands by waits for work before it goes to sleep.
const PATIENCE: Duration = Duration::from_micros(200);

/// Runs `run` so that kernels called in it, on this thread, may split their work over `workers` of the thread's pool.
///
/// Without effect outside a rayon pool: no other pool is started.
pub fn with_workers<R>(workers: usize, run: impl FnOnce() -> R) -> R {
    /// Restores the number and lets the others go, after a panic too.
    struct Restore<'a>(usize, &'a AtomicBool);
    impl Drop for Restore<'_> {
        fn drop(&mut self) {
            WORKERS.set(self.0);
            self.1.store(true, Ordering::Relaxed);
        }
    }
    let done = AtomicBool::new(false);
    let run = || {
        let _restore = Restore(WORKERS.replace(workers), &done);
        run()
    };
    if workers < 2 || rayon::current_thread_index().is_none() {
        return run();
    }
    // To wake a worker for each operator would take longer than many an operator does.
    rayon::in_place_scope(|scope| {
        for _ in 1..workers {
            scope.spawn(|_| stand_by(&done));
        }
        run()
    })
}

/// Takes parts of what is split until it is done, or until there have been none for a while.
fn stand_by(done: &AtomicBool) {
    let mut last = Instant::now();
    while !done.load(Ordering::Relaxed) {
        match rayon::yield_now() {
            Some(rayon::Yield::Executed) => last = Instant::now(),
            _ if last.elapsed() > PATIENCE => return,
            _ => std::hint::spin_loop(),
        }
    }
}

/// Tells this thread, which is outside the pool, that it runs chunks of a job of so many workers.
pub(crate) fn drive_for(workers: usize) {
    JOB_WORKERS.set(workers);
}

/// How many threads compute at once where this one does: those of its pool, or of the job whose chunks it runs.
pub(crate) fn threads() -> usize {
    match (rayon::current_thread_index(), JOB_WORKERS.get()) {
        (Some(_), _) => rayon::current_num_threads(),
        (None, 0) => platform::parallelism(),
        (None, workers) => workers,
    }
}

/// Over how many workers this thread may split its work.
pub(crate) fn workers() -> usize {
    if rayon::current_thread_index().is_none() { 1 } else { WORKERS.get() }
}

/// Into how many parts work of so many operations may be cut.
pub(crate) fn parts(flop: usize) -> usize {
    let workers = workers();
    if workers < 2 {
        return 1;
    }
    (flop / LEAST_FLOP).clamp(1, workers)
}

/// Calls `run` for `parts` spans of `range`, on as many workers; the spans' lengths differ by at most one.
pub(crate) fn each(range: Range<usize>, parts: usize, run: &(impl Fn(Range<usize>) + Sync)) {
    let parts = parts.min(range.len());
    if parts < 2 {
        return run(range);
    }
    let left = parts / 2;
    let middle = range.start + range.len() * left / parts;
    rayon::join(|| each(range.start..middle, left, run), || each(middle..range.end, parts - left, run));
}
