//! Which items ran on which device, in a job that used several.

use std::{collections::BTreeMap, ops::Range, sync::Arc};

/// The items of a job that ran on one device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
#[non_exhaustive]
pub struct DeviceItems {
    /// The name of the device.
    pub device: String,
    /// Items that ran there, failed ones included.
    pub items: usize,
    /// Ranges of their indices in the job, from 0, in ascending order; at most 4096.
    #[cfg_attr(feature = "serde", serde(with = "pairs"))]
    pub ranges: Vec<Range<usize>>,
    /// Ranges past the limit, which `ranges` leaves out.
    pub ranges_left_out: usize,
}

impl DeviceItems {
    /// Whether `ranges` contains the item at `index`.
    pub(crate) fn has(&self, index: usize) -> bool {
        let place = self.ranges.partition_point(|range| range.end <= index);
        self.ranges.get(place).is_some_and(|range| range.contains(&index))
    }
}

/// Ranges as pairs of numbers, as in [`Report::to_json`](super::Report::to_json).
#[cfg(feature = "serde")]
mod pairs {
    use std::ops::Range;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(ranges: &[Range<usize>], to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(ranges.iter().map(|range| [range.start, range.end]))
    }

    pub(super) fn deserialize<'d, D: Deserializer<'d>>(from: D) -> Result<Vec<Range<usize>>, D::Error> {
        let pairs = Vec::<[usize; 2]>::deserialize(from)?;
        Ok(pairs.into_iter().map(|[start, end]| start..end).collect())
    }
}

/// Ranges that a report lists for a device.
const MOST_LISTED: usize = 4096;
/// Ranges that are kept for a device while a job runs.
///
/// Far more than are listed: the items of a window run in order of cost, and form one range only
/// once all have run.
const MOST_KEPT: usize = 1 << 17;

/// The items that each device ran, collected while a job runs.
#[derive(Debug, Default)]
pub(in crate::bulk) struct DeviceTally(Vec<DeviceRanges>);

#[derive(Debug)]
struct DeviceRanges {
    device: Arc<str>,
    items: usize,
    /// The end of each range by its start; ranges neither overlap nor touch.
    ranges: BTreeMap<usize, usize>,
    left_out: usize,
}

impl DeviceTally {
    /// Adds items to a device; `indices` must be ascending and not yet counted.
    pub(in crate::bulk) fn add(&mut self, device: &Arc<str>, indices: &[usize]) {
        let known = self.0.iter().position(|ranges| ranges.device == *device);
        let place = known.unwrap_or_else(|| {
            self.0.push(DeviceRanges { device: device.clone(), items: 0, ranges: BTreeMap::new(), left_out: 0 });
            self.0.len() - 1
        });
        let ranges = &mut self.0[place];
        ranges.items += indices.len();
        for run in indices.chunk_by(|a, b| a + 1 == *b) {
            if let (Some(&first), Some(&last)) = (run.first(), run.last()) {
                ranges.insert(first, last + 1);
            }
        }
    }

    /// The list for a report; empty if all items ran on `device`.
    pub(in crate::bulk) fn listed(&self, device: &str) -> Vec<DeviceItems> {
        if self.0.iter().all(|ranges| &*ranges.device == device) {
            return Vec::new();
        }
        self.0.iter().map(DeviceRanges::listed).collect()
    }
}

impl DeviceRanges {
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

    fn listed(&self) -> DeviceItems {
        let ranges: Vec<Range<usize>> = self.ranges.iter().take(MOST_LISTED).map(|(&start, &end)| start..end).collect();
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
        let mut tally = DeviceTally::default();
        assert_eq!(tally.listed("gpu"), []);
        tally.add(&gpu, &[0, 1, 5, 9]);
        assert_eq!(tally.listed("gpu"), []);
        tally.add(&gpu, &[2, 4, 6]);
        tally.add(&cpu, &[3, 10]);
        let listed = tally.listed("cpu");
        assert_eq!((listed[0].items, &listed[0].ranges[..]), (7, &[0..3, 4..7, 9..10][..]));
        assert_eq!((listed[1].items, &listed[1].ranges[..]), (2, &[3..4, 10..11][..]));
        assert!(listed[0].has(0) && listed[0].has(6) && !listed[0].has(3) && !listed[0].has(10) && listed[1].has(10));
        let odd: Vec<usize> = (0..MOST_KEPT + 10).map(|index| 2 * index + 20).collect();
        tally.add(&cpu, &odd);
        let listed = &tally.listed("cpu")[1];
        assert_eq!((listed.items, listed.ranges.len()), (MOST_KEPT + 12, MOST_LISTED));
        assert_eq!(listed.ranges_left_out, MOST_KEPT + 12 - MOST_LISTED);
    }
}
