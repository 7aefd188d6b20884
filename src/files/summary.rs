//! How far a job has come.

use crate::bulk::Report;

/// How far a job over files has come.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Summary {
    /// Rows of all inputs.
    pub rows: u64,
    /// Rows of finished parts, of this process and others; failed ones included.
    pub finished: u64,
    /// Rows of finished parts that failed.
    pub failed: u64,
    /// All parts of the job.
    pub parts: usize,
    /// Parts that are finished.
    pub finished_parts: usize,
    /// Rows that this process ran, finished or not.
    pub ran: u64,
    /// Whether a [`CancelToken`](crate::bulk::CancelToken) stopped the job, which can be resumed.
    pub stopped: bool,
    /// The report of this process's last pass over the shards, if it ran any.
    pub report: Option<Report>,
}

impl Summary {
    /// Whether all rows are in finished parts, of this process and others.
    pub fn is_complete(&self) -> bool {
        self.finished_parts == self.parts
    }
}
