//! Splitting one operator over workers, for runs of fewer chunks than workers.
//!
//! A kernel gets the number of parts from `parts` and runs them with `each`. Results have the same
//! bits for any number of parts: products are split over rows or columns, never over K.

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
    /// Workers that kernels on this thread may split their work over.
    static WORKERS: Cell<usize> = const { Cell::new(1) };
    /// Workers of the job whose chunks this thread runs from outside the pool; 0 without a job.
    static JOB_WORKERS: Cell<usize> = const { Cell::new(0) };
    /// Whether this thread has given parts of its work to other workers, and may wait for them.
    static SHARES: Cell<bool> = const { Cell::new(false) };
}

/// The fewest floating-point operations of a part.
const LEAST_FLOP: usize = 1_000_000;

/// Time without work after which a worker stops standing by.
const PATIENCE: Duration = Duration::from_micros(200);

/// Runs `run`; kernels that it calls on this thread may split their work over `workers` workers.
///
/// They are workers of this thread's rayon pool. Without effect outside a pool: no other pool is
/// started.
pub fn with_workers<R>(workers: usize, run: impl FnOnce() -> R) -> R {
    /// Restores the number and releases the workers that stand by, after a panic too.
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
        // Waking a worker for each operator would take longer than many operators do, so workers
        // stand by for the whole run. Nothing waits for them: they may have taken up long work of
        // another job.
        let flag = done.insert(Arc::new(AtomicBool::new(false)));
        for _ in 1..workers {
            let flag = Arc::clone(flag);
            rayon::spawn(move || stand_by(owner, &flag));
        }
    }
    let _restore = Restore(WORKERS.replace(workers), done);
    run()
}

/// Runs parts of split work until `done`, or until none have come for [`PATIENCE`].
fn stand_by(owner: usize, done: &AtomicBool) {
    if rayon::current_thread_index() == Some(owner) {
        // The owner, while it waits in its own run, would wait here for itself.
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

/// Declares that this thread, outside the pool, runs chunks of a job of `workers` workers.
pub(crate) fn drive_for(workers: usize) {
    JOB_WORKERS.set(workers);
}

/// Number of threads that compute along with this one: of its pool, or of its job.
pub(crate) fn threads() -> usize {
    match (rayon::current_thread_index(), JOB_WORKERS.get()) {
        (Some(_), _) => rayon::current_num_threads(),
        (None, 0) => platform::parallelism(),
        (None, workers) => workers,
    }
}

/// Whether this thread is within [`sharing`].
///
/// While it waits there, it takes up any work of the pool, which delays the work that it is in the
/// middle of. Long work should then be left to other workers.
pub(crate) fn shares() -> bool {
    SHARES.get()
}

/// Runs `run`, which gives parts of this thread's work to other workers and waits for them.
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

/// Number of workers that this thread may split its work over.
pub(crate) fn workers() -> usize {
    if rayon::current_thread_index().is_none() { 1 } else { WORKERS.get() }
}

/// Number of parts to cut work of `flop` operations into.
pub(crate) fn parts(flop: usize) -> usize {
    let workers = workers();
    if workers < 2 {
        return 1;
    }
    (flop / LEAST_FLOP).clamp(1, workers)
}

/// Number of parts to cut a pass over `count` elements into: one takes as long as some tens of operations of a product.
pub(crate) fn parts_of_pass(count: usize) -> usize {
    parts(count.saturating_mul(50))
}

/// Calls `run` for `parts` disjoint spans of `range`, on as many workers.
///
/// The spans' lengths differ by at most one.
pub(crate) fn each(range: Range<usize>, parts: usize, run: &(impl Fn(Range<usize>) + Sync)) {
    let parts = parts.min(range.len());
    if parts < 2 {
        return run(range);
    }
    let left = parts / 2;
    let middle = range.start + range.len() * left / parts;
    sharing(|| rayon::join(|| each(range.start..middle, left, run), || each(middle..range.end, parts - left, run)));
}

/// Calls `run` with `parts` disjoint parts of `to`, of whole rows of `row` elements, and where each begins.
pub(crate) fn each_of<T: Send>(to: &mut [T], row: usize, parts: usize, run: &(impl Fn(usize, &mut [T]) + Sync)) {
    cut(to, 0, row.max(1), parts, run);
}

/// [`each_of`] of the elements from `start` on.
fn cut<T: Send>(to: &mut [T], start: usize, row: usize, parts: usize, run: &(impl Fn(usize, &mut [T]) + Sync)) {
    let rows = to.len().div_ceil(row);
    let parts = parts.min(rows);
    if parts < 2 {
        return run(start, to);
    }
    let left = parts / 2;
    let middle = rows * left / parts * row;
    let (first, second) = to.split_at_mut(middle);
    let second_start = start + middle;
    sharing(|| {
        rayon::join(|| cut(first, start, row, left, run), || cut(second, second_start, row, parts - left, run));
    });
}
