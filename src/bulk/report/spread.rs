//! Smallest, median and largest of what a job measures.

use std::{collections::BTreeMap, time::Duration};

/// Smallest, median and largest value of a number over a job.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Spread<T = usize> {
    /// The smallest value.
    pub min: T,
    /// The median.
    pub median: T,
    /// The largest value.
    pub max: T,
}

/// Times in seconds: their median, the times that 95 and 99 of 100 do not exceed, and the largest.
///
/// All but the largest are within a fifth.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
#[non_exhaustive]
pub struct Percentiles {
    /// The median.
    pub median: f64,
    /// The 95th percentile.
    pub p95: f64,
    /// The 99th percentile.
    pub p99: f64,
    /// The largest value.
    pub max: f64,
}

/// A histogram of durations in constant memory.
///
/// Its median is within a fifth of the true one; smallest and largest are exact.
#[derive(Debug)]
pub(in crate::bulk) struct Times {
    /// Four buckets for each power of two nanoseconds.
    counts: [u32; 256],
    count: u32,
    min: Duration,
    max: Duration,
}

impl Times {
    pub(in crate::bulk) fn add(&mut self, time: Duration) {
        let ns = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX).max(1);
        let power = ns.ilog2();
        // The two bits after the leading one.
        let quarter = if power >= 2 { ns >> (power - 2) } else { ns << (2 - power) } & 3;
        let count = &mut self.counts[power as usize * 4 + quarter as usize];
        *count = count.saturating_add(1);
        self.min = if self.count == 0 { time } else { self.min.min(time) };
        self.max = self.max.max(time);
        self.count = self.count.saturating_add(1);
    }

    /// Smallest, median and largest, in seconds.
    pub(in crate::bulk) fn spread(&self) -> Spread<f64> {
        Spread { min: self.min.as_secs_f64(), median: self.quantile(1, 2), max: self.max.as_secs_f64() }
    }

    /// Median, high percentiles and largest, in seconds.
    pub(in crate::bulk) fn percentiles(&self) -> Percentiles {
        let [median, p95, p99] = [(1, 2), (95, 100), (99, 100)].map(|(part, of)| self.quantile(part, of));
        Percentiles { median, p95, p99, max: self.max.as_secs_f64() }
    }

    /// The time in seconds that `part` of every `of` times do not reach, within a fifth.
    fn quantile(&self, part: u64, of: u64) -> f64 {
        let mut before = 0_u64;
        let place = self.counts.iter().position(|&count| {
            before += u64::from(count);
            before * of > u64::from(self.count) * part
        });
        let seconds = place.map_or(0.0, |place| {
            let (power, quarter) = ((place / 4) as i32, (place % 4) as f64);
            2_f64.powi(power) * (1.0 + quarter / 4.0 + 0.125) * 1e-9
        });
        seconds.clamp(self.min.as_secs_f64(), self.max.as_secs_f64())
    }
}

impl Default for Times {
    fn default() -> Self {
        Self { counts: [0; 256], count: 0, min: Duration::ZERO, max: Duration::ZERO }
    }
}

/// A histogram of chunk sizes, and what all chunks add up to.
#[derive(Debug, Default)]
pub(in crate::bulk) struct ChunkItems {
    sizes: BTreeMap<usize, usize>,
    /// Chunks.
    pub(in crate::bulk) count: usize,
    /// Items of all chunks.
    pub(in crate::bulk) items: usize,
    /// Time spent running and finishing all chunks.
    pub(in crate::bulk) running: Duration,
}

impl ChunkItems {
    /// Distinct sizes that are counted exactly; further sizes are rounded down to a power of two.
    const MOST_SIZES: usize = 4096;

    pub(in crate::bulk) fn add(&mut self, items: usize, took: Duration) {
        self.items += items;
        self.running += took;
        let items = if self.sizes.len() < Self::MOST_SIZES { items } else { 1 << items.max(1).ilog2() };
        *self.sizes.entry(items).or_default() += 1;
        self.count += 1;
    }

    /// The number of chunks by their items, ascending.
    pub(in crate::bulk) fn sizes(&self) -> Vec<(usize, usize)> {
        self.sizes.iter().map(|(&items, &count)| (items, count)).collect()
    }

    pub(in crate::bulk) fn spread(&self) -> Spread {
        let mut before = 0;
        let median = self.sizes.iter().find(|&(_, count)| {
            before += count;
            before * 2 > self.count
        });
        let size = |entry: Option<(&usize, &usize)>| entry.map_or(0, |(&size, _)| size);
        Spread { min: size(self.sizes.first_key_value()), median: size(median), max: size(self.sizes.last_key_value()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_are_within_a_fifth() {
        assert_eq!(Times::default().spread(), Spread::default());
        for middle in [1_u64, 2, 3, 5, 7, 100, 1000, 123_456, 999_999_999, u64::MAX / 4] {
            let mut times = Times::default();
            for ns in [middle, middle / 2, middle * 3, middle, middle] {
                times.add(Duration::from_nanos(ns));
            }
            let Spread { min, median, max } = times.spread();
            let seconds = |ns: u64| Duration::from_nanos(ns).as_secs_f64();
            assert_eq!((min, max), (seconds(middle / 2), seconds(middle * 3)));
            assert!((median / seconds(middle) - 1.0).abs() < 0.2, "{median} for {middle} ns");
        }
    }

    #[test]
    fn percentiles_are_within_a_fifth() {
        assert_eq!(Times::default().percentiles(), Percentiles::default());
        let mut times = Times::default();
        (1..=1000).for_each(|ms| times.add(Duration::from_millis(ms)));
        let Percentiles { median, p95, p99, max } = times.percentiles();
        for (value, due) in [(median, 0.5), (p95, 0.95), (p99, 0.99)] {
            assert!((value / due - 1.0).abs() < 0.2, "{value} for {due}");
        }
        assert_eq!(max, 1.0);
    }

    #[test]
    fn chunk_sizes_are_counted() {
        let mut sizes = ChunkItems::default();
        assert_eq!(sizes.spread(), Spread::default());
        for items in [5, 1, 9, 5, 2] {
            sizes.add(items, Duration::ZERO);
        }
        assert_eq!(sizes.spread(), Spread { min: 1, median: 5, max: 9 });
        (0..10_000).for_each(|items| sizes.add(items, Duration::ZERO));
        assert!(sizes.sizes.len() < 2 * ChunkItems::MOST_SIZES);
    }
}
