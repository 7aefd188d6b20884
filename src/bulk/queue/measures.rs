//! What a queue counts and measures, and its report.

use std::time::{Duration, Instant};

use crate::bulk::report::{
    Percentiles, Spread,
    spread::{ChunkItems, Times},
};

/// What a queue did so far, and what it holds now: numbers for metrics.
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
#[non_exhaustive]
pub struct QueueReport {
    /// Items submitted so far.
    pub submitted: usize,
    /// Items answered so far, with results and with errors.
    pub answered: usize,
    /// Errors among the answers, without those of cancelled items.
    pub errors: usize,
    /// Items that were cancelled before they began.
    pub cancelled: usize,
    /// Items that [`Queue::try_submit`](super::Queue::try_submit) handed back.
    pub rejected: usize,
    /// Items submitted and not answered now.
    pub waiting: usize,
    /// Bytes of these items.
    pub waiting_bytes: usize,
    /// How long the oldest of them has waited, in seconds; 0 without any.
    pub oldest_seconds: f64,
    /// Chunks that were run.
    pub chunks: usize,
    /// Items per chunk.
    pub chunk_items: Spread,
    /// Time that preparing, running and finishing a chunk took.
    pub chunk_seconds: Percentiles,
    /// Time from an item's submission until a worker took it, without cancelled items.
    pub wait_seconds: Percentiles,
    /// Time from an item's submission to its answer, without cancelled items.
    pub answer_seconds: Percentiles,
}

/// The counts and measurements of a queue.
#[derive(Debug, Default)]
pub(in crate::bulk) struct QueueMeasures {
    pub(in crate::bulk) submitted: usize,
    pub(in crate::bulk) rejected: usize,
    answered: usize,
    errors: usize,
    cancelled: usize,
    chunks: ChunkItems,
    chunk_times: Times,
    waits: Times,
    answers: Times,
}

/// How an item was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::bulk) enum Answer {
    Result,
    Error,
    Cancelled,
}

impl QueueMeasures {
    /// Records when a worker took an item.
    pub(in crate::bulk) fn taken(&mut self, since: Instant, now: Instant) {
        self.waits.add(now.saturating_duration_since(since));
    }

    /// Records an answer.
    pub(in crate::bulk) fn answered(&mut self, answer: Answer, since: Instant, now: Instant) {
        self.answered += 1;
        match answer {
            Answer::Result => {}
            Answer::Error => self.errors += 1,
            Answer::Cancelled => {
                self.cancelled += 1;
                return;
            }
        }
        self.answers.add(now.saturating_duration_since(since));
    }

    /// Records a chunk of that many items.
    pub(in crate::bulk) fn ran(&mut self, items: usize, took: Duration) {
        self.chunks.add(items, took);
        self.chunk_times.add(took);
    }

    /// The report, of a queue that holds `waiting` items of `waiting_bytes`.
    pub(in crate::bulk) fn report(
        &self,
        waiting: usize,
        waiting_bytes: usize,
        oldest: Option<Duration>,
    ) -> QueueReport {
        QueueReport {
            submitted: self.submitted,
            answered: self.answered,
            errors: self.errors,
            cancelled: self.cancelled,
            rejected: self.rejected,
            waiting,
            waiting_bytes,
            oldest_seconds: oldest.map_or(0.0, |oldest| oldest.as_secs_f64()),
            chunks: self.chunks.count,
            chunk_items: self.chunks.spread(),
            chunk_seconds: self.chunk_times.percentiles(),
            wait_seconds: self.waits.percentiles(),
            answer_seconds: self.answers.percentiles(),
        }
    }
}
