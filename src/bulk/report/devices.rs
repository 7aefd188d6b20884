//! On which device each item ran, where a job had more than one.

use std::{collections::BTreeMap, fmt::Write as _, ops::Range, sync::Arc};

/// What one device has run of a job.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeviceItems {
    /// The device.
    pub device: String,
    /// How many items ran there, those that failed there too.
    pub items: usize,
    /// Their positions in the job, counted from 0, in ascending order; 4096 ranges at most.
    pub ranges: Vec<Range<usize>>,
    /// Ranges that are left out of `ranges` for being too many.
    pub ranges_left_out: usize,
}

impl DeviceItems {
    /// Whether the item at `index` ran there, as far as `ranges` says.
    pub fn has(&self, index: usize) -> bool {
        let place = self.ranges.partition_point(|range| range.end <= index);
        self.ranges.get(place).is_some_and(|range| range.contains(&index))
    }

    pub(in crate::bulk) fn json(&self) -> String {
        let mut json = format!("{{\"device\":{},\"items\":{},\"ranges\":[", super::quote(&self.device), self.items);
        for (place, Range { start, end }) in self.ranges.iter().enumerate() {
            let comma = if place > 0 { "," } else { "" };
            // Writing to a string cannot fail.
            let _ = write!(json, "{comma}[{start},{end}]");
        }
        let _ = write!(json, "],\"ranges_left_out\":{}}}", self.ranges_left_out);
        json
    }
}

/// Ranges that a report has of a device.
const MOST_TOLD: usize = 4096;
/// Ranges that are kept of a device while a job runs: a window's items run in the order of their costs, and become one
/// range only with the last of them.
const MOST_KEPT: usize = 1 << 17;

/// The items of each device, while a job runs.
#[derive(Debug, Default)]
pub(in crate::bulk) struct Shares(Vec<Share>);

#[derive(Debug)]
struct Share {
    device: Arc<str>,
    items: usize,
    /// The end of each range by its start; no two touch.
    ranges: BTreeMap<usize, usize>,
    left_out: usize,
}

impl Shares {
    /// Counts the items at `indices`, which are in ascending order and not yet counted, for a device.
    pub(in crate::bulk) fn add(&mut self, device: &Arc<str>, indices: &[usize]) {
        let known = self.0.iter().position(|share| share.device == *device);
        let place = known.unwrap_or_else(|| {
            self.0.push(Share { device: device.clone(), items: 0, ranges: BTreeMap::new(), left_out: 0 });
            self.0.len() - 1
        });
        let share = &mut self.0[place];
        share.items += indices.len();
        for run in indices.chunk_by(|a, b| a + 1 == *b) {
            if let (Some(&first), Some(&last)) = (run.first(), run.last()) {
                share.insert(first, last + 1);
            }
        }
    }

    /// What a report says: nothing where all items ran on `device`, which it names anyway.
    pub(in crate::bulk) fn told(&self, device: &str) -> Vec<DeviceItems> {
        if self.0.iter().all(|share| &*share.device == device) {
            return Vec::new();
        }
        self.0.iter().map(Share::told).collect()
    }
}

impl Share {
    fn insert(&mut self, mut start: usize, mut end: usize) {
        if let Some((&before, &its_end)) = self.ranges.range(..start).next_back()
            && its_end == start
        {
            start = before;
        }
        if let Some(its_end) = self.ranges.remove(&end) {
            end = its_end;
        }
        if self.ranges.len() < MOST_KEPT || self.ranges.contains_key(&start) {
            self.ranges.insert(start, end);
        } else {
            self.left_out += 1;
        }
    }

    fn told(&self) -> DeviceItems {
        let ranges: Vec<Range<usize>> = self.ranges.iter().take(MOST_TOLD).map(|(&start, &end)| start..end).collect();
        DeviceItems {
            device: self.device.to_string(),
            items: self.items,
            ranges_left_out: self.ranges.len() - ranges.len() + self.left_out,
            ranges,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_grow_together_and_are_bounded() {
        let (gpu, cpu): (Arc<str>, Arc<str>) = ("gpu".into(), "cpu".into());
        let mut shares = Shares::default();
        assert_eq!(shares.told("gpu"), []);
        shares.add(&gpu, &[0, 1, 5, 9]);
        assert_eq!(shares.told("gpu"), []);
        shares.add(&gpu, &[2, 4, 6]);
        shares.add(&cpu, &[3, 10]);
        let told = shares.told("cpu");
        assert_eq!((told[0].items, &told[0].ranges[..]), (7, &[0..3, 4..7, 9..10][..]));
        assert_eq!((told[1].items, &told[1].ranges[..]), (2, &[3..4, 10..11][..]));
        assert!(told[0].has(0) && told[0].has(6) && !told[0].has(3) && !told[0].has(10) && told[1].has(10));
        assert_eq!(told[1].json(), r#"{"device":"cpu","items":2,"ranges":[[3,4],[10,11]],"ranges_left_out":0}"#);
        let odd: Vec<usize> = (0..MOST_KEPT + 10).map(|index| 2 * index + 20).collect();
        shares.add(&cpu, &odd);
        let told = &shares.told("cpu")[1];
        assert_eq!((told.items, told.ranges.len()), (MOST_KEPT + 12, MOST_TOLD));
        assert_eq!(told.ranges_left_out, MOST_KEPT + 12 - MOST_TOLD);
    }
}
