//! The workers of a job, as its parts see them.

/// How to start a pump.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::bulk) enum Launch {
    /// On any worker: a new pump starts.
    Pump,
    /// On every worker, uncounted: those that can run chunks become pumps.
    Probe,
}

/// The workers of a job.
pub(in crate::bulk) trait Crew {
    /// Has one worker call [`Job::turn`](super::Job::turn), again and again while it returns true,
    /// or all of them [`Job::probe`](super::Job::probe).
    fn launch(&self, kind: Launch);
    /// Whether other jobs or callers want turns of the workers too.
    fn contended(&self) -> bool;
    /// If the calling thread is itself a worker, runs some of the work that waits; whether it is
    /// one.
    fn lend_a_hand(&self) -> bool;
}
