//! The workers of a job, as its parts see them.

use rayon::{ThreadPool, Yield};

/// How to start a turn of a pump.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::bulk) enum Launch {
    /// On any worker: a pump continues, or a new one starts.
    Turn,
    /// On every worker, uncounted: those that can run chunks become pumps.
    Probe,
}

/// The workers of a job.
pub(in crate::bulk) trait Crew {
    /// Has one worker call [`Job::turn`](super::Job::turn), or all of them
    /// [`Job::probe`](super::Job::probe).
    fn launch(&self, kind: Launch);
    /// If the calling thread is itself a worker, runs some of the work that waits; whether it is
    /// one.
    fn lend_a_hand(&self) -> bool;
}

/// Has a consumer that is itself a worker of `pool` run some of its work instead of sleeping;
/// whether it is one.
pub(in crate::bulk) fn lend_a_hand(pool: &ThreadPool) -> bool {
    let is_worker = pool.current_thread_index().is_some();
    if is_worker && pool.yield_now() != Some(Yield::Executed) {
        std::thread::yield_now();
    }
    is_worker
}
