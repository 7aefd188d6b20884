//! The slowest items of a job.

use std::time::Duration;

/// Slowest items that a report lists.
pub(in crate::bulk) const SLOWEST: usize = 5;

/// One of the slowest items of a job.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
#[non_exhaustive]
pub struct SlowItem {
    /// Its index in the job, from 0.
    pub index: usize,
    /// Seconds that running and finishing it took: its chunk's time, shared out by cost.
    pub seconds: f64,
    /// Whether it was alone in its chunk: then `seconds` is measured, not shared out.
    pub alone: bool,
}

/// The slowest items so far, slowest first.
#[derive(Debug, Default)]
pub(in crate::bulk) struct Slowest(Vec<SlowItem>);

impl Slowest {
    /// Records a chunk of total cost `cost` that took `took`.
    ///
    /// `items` holds index and cost of its costliest items, costliest first: [`SLOWEST`] of them,
    /// or all.
    pub(in crate::bulk) fn add(&mut self, items: &[(usize, u64)], cost: u64, took: Duration) {
        let alone = items.len() == 1;
        for &(index, share) in items.iter().take(SLOWEST) {
            let seconds = took.as_secs_f64() * share as f64 / cost.max(1) as f64;
            if self.0.len() == SLOWEST && self.0.last().is_some_and(|last| last.seconds >= seconds) {
                return;
            }
            let place = self.0.partition_point(|before| before.seconds >= seconds);
            self.0.insert(place, SlowItem { index, seconds, alone });
            self.0.truncate(SLOWEST);
        }
    }

    pub(in crate::bulk) fn get(&self) -> Vec<SlowItem> {
        self.0.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slowest_are_kept_in_order() {
        let mut slowest = Slowest::default();
        slowest.add(&[(7, 30), (8, 10)], 40, Duration::from_secs(4));
        for index in 10..20 {
            slowest.add(&[(index, 9)], 9, Duration::from_millis(index as u64 * 100));
        }
        let slow: Vec<_> = slowest.get().iter().map(|item| (item.index, item.alone)).collect();
        assert_eq!(slow, [(7, false), (19, true), (18, true), (17, true), (16, true)]);
        assert!((slowest.get()[0].seconds - 3.0).abs() < 1e-9);
    }
}
