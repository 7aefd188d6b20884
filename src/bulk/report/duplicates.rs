//! The report of a deduplicated job, made from that of the inner job, which ran each distinct item
//! once.

use std::sync::Arc;

use crate::bulk::report::{Report, devices::DeviceTally, notes::failures};

impl Report {
    /// Sets the counts of the deduplicated job, and the first error in the note on failures.
    ///
    /// `inner_first` is the first error that the inner job noted, `first` the one that replaces it.
    pub(in crate::bulk) fn recount(&mut self, items: usize, errors: usize, inner_first: &str, first: &str) {
        let inner_note = failures(self.errors, inner_first);
        if let Some(note) = self.notes.iter_mut().find(|note| **note == inner_note) {
            *note = failures(errors, first);
        }
        (self.items, self.errors) = (items, errors);
        self.items_per_second = if self.seconds > 0.0 { items as f64 / self.seconds } else { 0.0 };
    }

    /// Renumbers the items that the report names.
    ///
    /// Item `i` of the deduplicated job was item `places[i]` of the inner job. Of several items
    /// with the same place, the first one is named.
    pub(in crate::bulk) fn renumber(&mut self, places: &[usize]) {
        if !self.devices.is_empty() {
            let mut tally = DeviceTally::default();
            let names: Vec<Arc<str>> = self.devices.iter().map(|share| share.device.as_str().into()).collect();
            for (index, &place) in places.iter().enumerate() {
                if let Some(own) = self.devices.iter().position(|share| share.has(place)) {
                    tally.add(&names[own], &[index]);
                }
            }
            self.devices = tally.listed("");
        }
        for item in &mut self.slowest {
            item.index = places.iter().position(|&place| place == item.index).unwrap_or(item.index);
        }
    }
}
