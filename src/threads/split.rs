//! Splitting one operator over workers, where there are fewer chunks than workers.
//!
//! A kernel asks `parts` how many pieces its work is worth and hands them to `each`. What it computes is the same to
//! the bit, however many there are: products are split over rows or columns, never over K.

use std::{
    cell::Cell,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use crate::threads::platform;

thread_local! {
    static WORKERS: Cell<usize> = const { Cell::new(1) };
    /// Of a job whose chunks this thread runs from outside the pool; 0: of none.
    static JOB_WORKERS: Cell<usize> = const { Cell::new(0) };
    /// Whether this thread has given parts of its work to others, and may be waiting for them.
    static SHARES: Cell<bool> = const { Cell::new(false) };
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
    struct Restore(usize, Option<Arc<AtomicBool>>);
    impl Drop for Restore {
        fn drop(&mut self) {
            WORKERS.set(self.0);
            if let Some(done) = &self.1 {
                done.store(true, Ordering::Relaxed);
            }
        }
    }
    let mut done = None;
    if let Some(owner) = rayon::current_thread_index()
        && workers > 1
    {
        // To wake a worker for each operator would take longer than many an operator does. Nobody waits for those who
        // stand by: what they take up meanwhile may be somebody else's work, and long.
        let flag = done.insert(Arc::new(AtomicBool::new(false)));
        for _ in 1..workers {
            let flag = Arc::clone(flag);
            rayon::spawn(move || stand_by(owner, &flag));
        }
    }
    let _restore = Restore(WORKERS.replace(workers), done);
    run()
}

/// Takes parts of what is split until it is done, or until there have been none for a while.
fn stand_by(owner: usize, done: &AtomicBool) {
    if rayon::current_thread_index() == Some(owner) {
        // It waits for something else, and would wait here for itself.
        return;
    }
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

/// Whether this thread is within [`sharing`]: while it waits there it takes up whatever the pool has, and what it takes up
/// holds back the work it is in the middle of. Long work is then better put back for others.
pub(crate) fn shares() -> bool {
    SHARES.get()
}

/// Runs `run`, which gives parts of this thread's work to others and waits for them.
pub(crate) fn sharing<R>(run: impl FnOnce() -> R) -> R {
    struct Restore(bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            SHARES.set(self.0);
        }
    }
    let _restore = Restore(SHARES.replace(true));
    run()
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
    sharing(|| rayon::join(|| each(range.start..middle, left, run), || each(middle..range.end, parts - left, run)));
}
