//! The settings of a job.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use crate::bulk::{cancel::CancelToken, sync};

/// What a job does about items that fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnError {
    /// The first error, in the order of the results, ends the job and is its last result.
    FailFast,
    /// Errors are counted in the report and left out of the results.
    Skip,
    /// Errors are returned in the places of their items; one more than `max_errors` ends the job.
    Collect {
        /// Errors that do not end the job.
        max_errors: usize,
    },
}

/// Every error is returned in the place of its item, and none ends the job.
impl Default for OnError {
    fn default() -> Self {
        Self::Collect { max_errors: usize::MAX }
    }
}

/// How far a job has come.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Progress {
    /// Results returned, errors included.
    pub items: usize,
    /// Items that failed.
    pub errors: usize,
    /// Items of the source, if it knows their number.
    pub total: Option<usize>,
    /// Time since the first pull.
    pub elapsed: Duration,
    /// Whether this is the last call.
    pub last: bool,
}

pub(in crate::bulk) type OnProgress = Arc<dyn Fn(&Progress) + Send + Sync>;

/// The settings of a job; see the methods of [`Bulk`](crate::bulk::Bulk).
#[derive(Clone)]
pub(in crate::bulk) struct Settings {
    pub(in crate::bulk) workers: Option<usize>,
    pub(in crate::bulk) chunk_size: Option<usize>,
    pub(in crate::bulk) max_chunk_cost: Option<u64>,
    pub(in crate::bulk) window: Option<usize>,
    pub(in crate::bulk) memory_limit: usize,
    pub(in crate::bulk) on_error: OnError,
    pub(in crate::bulk) cancel: CancelToken,
    pub(in crate::bulk) deadline: Option<Duration>,
    pub(in crate::bulk) progress: Option<OnProgress>,
    /// The share of the pool, if the caller set one.
    pub(in crate::bulk) share: Option<u32>,
    /// Items of a queue that may be unanswered.
    pub(in crate::bulk) queue_limit: usize,
    /// How long a chunk may take while others want turns.
    pub(in crate::bulk) turn_time: Duration,
}

impl Settings {
    /// Why the job must end now; `None` if it may continue.
    pub(in crate::bulk) fn cut_off(&self, started: Instant) -> Option<String> {
        if self.cancel.is_cancelled() {
            return Some("the job was cancelled".into());
        }
        let deadline = self.deadline.filter(|deadline| sync::now().duration_since(started) >= *deadline)?;
        Some(format!("the deadline of {deadline:?} has passed"))
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            workers: None,
            chunk_size: None,
            max_chunk_cost: None,
            window: None,
            memory_limit: 512 << 20,
            on_error: OnError::default(),
            cancel: CancelToken::new(),
            deadline: None,
            progress: None,
            share: None,
            queue_limit: usize::MAX,
            turn_time: Duration::from_millis(20),
        }
    }
}
