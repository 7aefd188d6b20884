//! What the consumer counts, for the report.

use std::time::{Duration, Instant};

use crate::{
    bulk::{report::failures::Failures, sync},
    error::{ItemError, chain},
    threads::platform,
};

/// The shortest time between two looks at the memory of the process.
const SAMPLE: Duration = Duration::from_millis(20);
/// Later, this part of the elapsed time.
const SAMPLES: u32 = 64;

/// What the consumer counts.
#[derive(Debug)]
pub(in crate::bulk) struct Tally {
    /// Results taken from the job.
    pub(in crate::bulk) items: usize,
    /// Errors among the results handed on or skipped.
    pub(in crate::bulk) errors: usize,
    /// How many items the source has, if it knows.
    pub(in crate::bulk) total: Option<usize>,
    /// When the first item was pulled.
    pub(in crate::bulk) started: Option<Instant>,
    /// When the first result was ready.
    pub(in crate::bulk) first: Option<Instant>,
    /// When the memory of the process was looked at last.
    sampled: Option<Instant>,
    /// When the job ended.
    pub(in crate::bulk) ended: Option<Instant>,
    /// Time spent in the source.
    pub(in crate::bulk) pulling: Duration,
    /// Processor time of workers and of other threads, read once the job has turned out not to be
    /// short.
    pub(in crate::bulk) processor_time: Option<(Duration, Duration)>,
    /// Why the job ended early.
    pub(in crate::bulk) cut_off: Option<String>,
    pub(in crate::bulk) first_error: Option<String>,
    pub(in crate::bulk) failures: Failures,
}

impl Tally {
    pub(in crate::bulk) fn new(total: Option<usize>) -> Self {
        Self {
            items: 0,
            errors: 0,
            total,
            started: None,
            first: None,
            sampled: None,
            ended: None,
            pulling: Duration::ZERO,
            processor_time: None,
            cut_off: None,
            first_error: None,
            failures: Failures::default(),
        }
    }

    /// Counts an error.
    pub(in crate::bulk) fn failed(&mut self, error: &ItemError) {
        self.errors += 1;
        self.failures.add(error.stage, &error.source);
        if self.first_error.is_none() {
            self.first_error = Some(chain(error));
        }
    }

    /// Whether the memory of the process is to be looked at again; often at first, then less and less.
    pub(in crate::bulk) fn samples(&mut self, now: Instant) -> bool {
        let Some(started) = self.started else { return false };
        let wait = (now.saturating_duration_since(started) / SAMPLES).max(SAMPLE);
        let is_due = self.sampled.is_none_or(|last| now.saturating_duration_since(last) >= wait);
        if is_due {
            self.sampled = Some(now);
        }
        is_due
    }

    /// Processor time since the first reading: of workers, and of threads that are neither workers
    /// nor the consumer.
    pub(in crate::bulk) fn processor_time(&self) -> Option<(Duration, Duration)> {
        let (workers_before, others_before) = self.processor_time?;
        let (workers, others) = platform::processor_time()?;
        Some((workers.saturating_sub(workers_before), others.saturating_sub(others_before)))
    }

    /// Time since the first pull, until the end.
    pub(in crate::bulk) fn elapsed(&self) -> Duration {
        let Some(started) = self.started else { return Duration::ZERO };
        self.ended.unwrap_or_else(sync::now).saturating_duration_since(started)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_sampled_less_often_later() {
        let (mut tally, start) = (Tally::new(None), Instant::now());
        assert!(!tally.samples(start));
        tally.started = Some(start);
        let looks = (0..200_000).filter(|&look| tally.samples(start + Duration::from_millis(5) * look)).count();
        assert!((100..1500).contains(&looks), "{looks}");
    }
}
