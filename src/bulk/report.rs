//! What a job did: numbers for programs, and a few lines for people.

mod devices;
mod display;
mod duplicates;
pub(in crate::bulk) mod failures;
pub(in crate::bulk) mod history;
mod html;
mod json;
pub(in crate::bulk) mod measures;
pub(in crate::bulk) mod notes;
pub(in crate::bulk) mod slowest;
pub(in crate::bulk) mod spread;

pub use devices::DeviceItems;
pub use slowest::SlowItem;
pub use spread::{Percentiles, Spread};

use crate::{
    bulk::report::{failures::Failures, history::Period},
    error::{Error, Stage, chain},
    inference::Fingerprint,
};

/// What a job did: counts, times, chunks, devices and notes.
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
#[non_exhaustive]
pub struct Report {
    /// Results that the consumer took, errors included.
    pub items: usize,
    /// Items that failed.
    pub errors: usize,
    /// Inputs that were truncated to the longest that the model accepts.
    pub truncated: u64,
    /// Seconds from the first pull to the last result.
    pub seconds: f64,
    /// `items` divided by `seconds`.
    pub items_per_second: f64,
    /// Seconds that loading the model took; not part of `seconds`.
    pub load_seconds: f64,
    /// The device that ran the model.
    pub device: String,
    /// The CPU kernel set that it used.
    pub kernel_set: String,
    /// The precision of the arithmetic.
    pub precision: String,
    /// Worker threads of the pool; 0 if the job could not start.
    pub workers: usize,
    /// Chunks that were run.
    pub chunks: usize,
    /// Items per chunk.
    pub chunk_items: Spread,
    /// Cost units that were spent on padding.
    pub padding: u64,
    /// The fraction of `seconds` that each worker was busy.
    ///
    /// A chunk that is split over idle workers counts for the worker that took it.
    pub worker_busy: Vec<f64>,
    /// Bytes that each worker holds besides the shared weights.
    pub scratch_bytes_per_worker: u64,
    /// The peak resident set of the process so far, where the system reports it.
    pub peak_rss_bytes: Option<u64>,
    /// Identifies the weights.
    pub model_fingerprint: Fingerprint,
    /// Remarks for people: errors, early ends, advice.
    pub notes: Vec<String>,
    /// Seconds from the first pull to the first result.
    pub first_result_seconds: f64,
    /// Results that came from a [cache](super::Bulk::cached).
    pub cache_hits: usize,
    /// Items that took the result of an equal item, under [`Bulk::dedupe`](super::Bulk::dedupe).
    pub duplicates: usize,
    /// Seconds that running and finishing a chunk took. The median is within a fifth.
    pub chunk_seconds: Spread<f64>,
    /// Seconds from preparing an item to running its chunk, the longest of each chunk.
    ///
    /// The median is within a fifth.
    pub queue_wait_seconds: Spread<f64>,
    /// The slowest items, slowest first; at most five.
    pub slowest: Vec<SlowItem>,
    /// The fraction of `seconds` that each driver spent in the model; empty if the workers call it.
    pub driver_busy: Vec<f64>,
    /// Which items ran on which device, if not all ran on [`device`](Self::device).
    ///
    /// A job changes its device when it loses one. Results from a cache ran on none.
    pub devices: Vec<DeviceItems>,
    /// What [`to_html`](Self::to_html) shows beside the fields; a report that serde has read has none of it.
    #[cfg_attr(feature = "serde", serde(skip))]
    pub(in crate::bulk) details: Details,
}

/// What a report for people shows beside the fields.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::bulk) struct Details {
    /// What happened over time, and the seconds of each period.
    pub(in crate::bulk) periods: Vec<(Period, f64)>,
    /// The number of chunks by their items.
    pub(in crate::bulk) chunk_sizes: Vec<(usize, usize)>,
    pub(in crate::bulk) failures: Failures,
    /// The names of the slowest items, where they have some.
    pub(in crate::bulk) slow_names: Vec<String>,
}

impl Report {
    /// The report of a job that could not start, all of whose `items` failed.
    pub(in crate::bulk) fn not_started(why: &Error, items: usize) -> Self {
        let note = format!("the job did not start: {}", chain(why));
        let mut report = Self { items, errors: items.max(1), notes: vec![note], ..Self::default() };
        (0..report.errors).for_each(|_| report.details.failures.add(Stage::Read, why));
        report
    }

    /// Counts items that failed when their results were delivered.
    #[cfg(feature = "files")]
    pub(crate) fn not_delivered(&mut self, failures: &Failures) {
        self.errors += self.details.failures.join(failures);
    }

    /// Names the slowest items by their indices.
    #[cfg(feature = "files")]
    pub(crate) fn name_slowest(&mut self, name: impl Fn(usize) -> String) {
        self.details.slow_names = self.slowest.iter().map(|item| name(item.index)).collect();
    }

    /// The device that ran the item at `index`, if [`devices`](Self::devices) lists it.
    pub fn device_of(&self, index: usize) -> Option<&str> {
        self.devices.iter().find(|share| share.has(index)).map(|share| share.device.as_str())
    }
}
