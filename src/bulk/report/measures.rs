//! What a job measures of its chunks.

use std::time::Duration;

use crate::bulk::report::{SlowItem, Spread};

/// Items that a report names as the slowest.
pub(in crate::bulk) const SLOWEST: usize = 5;

/// The spread of times, of any number of them in little room: each is counted with its like, within a fifth of it;
/// the smallest and the largest are exact.
#[derive(Debug)]
pub(in crate::bulk) struct Times {
    /// Four to each power of two nanoseconds.
    counts: [u32; 256],
    count: u32,
    min: Duration,
    max: Duration,
}

impl Times {
    pub(in crate::bulk) fn add(&mut self, time: Duration) {
        let ns = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX).max(1);
        let power = ns.ilog2();
        // The two binary places behind the first.
        let quarter = if power >= 2 { ns >> (power - 2) } else { ns << (2 - power) } & 3;
        let count = &mut self.counts[power as usize * 4 + quarter as usize];
        *count = count.saturating_add(1);
        self.min = if self.count == 0 { time } else { self.min.min(time) };
        self.max = self.max.max(time);
        self.count = self.count.saturating_add(1);
    }

    /// Smallest, median and largest, in seconds.
    pub(in crate::bulk) fn spread(&self) -> Spread<f64> {
        let mut before = 0_u64;
        let median = self.counts.iter().position(|&count| {
            before += u64::from(count);
            before * 2 > u64::from(self.count)
        });
        let middle = median.map_or(0.0, |place| {
            let (power, quarter) = ((place / 4) as i32, (place % 4) as f64);
            2_f64.powi(power) * (1.0 + quarter / 4.0 + 0.125) * 1e-9
        });
        let (min, max) = (self.min.as_secs_f64(), self.max.as_secs_f64());
        Spread { min, median: middle.clamp(min, max), max }
    }
}

impl Default for Times {
    fn default() -> Self {
        Self { counts: [0; 256], count: 0, min: Duration::ZERO, max: Duration::ZERO }
    }
}

/// The slowest items so far, the slowest first.
#[derive(Debug, Default)]
pub(in crate::bulk) struct Slowest(Vec<SlowItem>);

impl Slowest {
    /// Takes note of a chunk: the indices and costs of its costliest items, the first ones at least, the costliest first; and
    /// the cost of all of it and the time it took.
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
    fn times_are_told_within_a_fifth() {
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
