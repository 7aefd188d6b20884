//! Splitting one operator over workers, where there are fewer chunks than workers.
//!
//! A kernel asks `parts` how many pieces its work is worth and hands them to `each`. What it computes is the same to
//! the bit, however many there are: products are split over rows or columns, never over K.

use std::{cell::Cell, ops::Range};

thread_local! {
    static WORKERS: Cell<usize> = const { Cell::new(1) };
}

/// Floating-point operations that are worth waking another worker for.
const LEAST_FLOP: usize = 2_000_000;

/// Runs `run` so that kernels called in it, on this thread, may split their work over `workers` of the thread's pool.
///
/// Without effect outside a rayon pool: no other pool is started.
pub fn with_workers<R>(workers: usize, run: impl FnOnce() -> R) -> R {
    /// Restores the number, after a panic too.
    struct Restore(usize);
    impl Drop for Restore {
        fn drop(&mut self) {
            WORKERS.set(self.0);
        }
    }
    let _restore = Restore(WORKERS.replace(workers));
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
    rayon::join(|| each(range.start..middle, left, run), || each(middle..range.end, parts - left, run));
}
