//! The results of a window: written in any order, each once; taken in order.

use std::collections::BTreeMap;

use crate::{
    bulk::job::results::{Batch, Done, Places, Run, Slot},
    error::{ItemError, Result},
    threads::panics,
};

/// The results of a window's items, by their place in the window.
///
/// In an unordered job results go to the job's queue `done` instead, and are only counted here.
#[derive(Debug)]
pub(in crate::bulk) struct ResultSlots<O> {
    /// The job index of the window's first item.
    first: usize,
    /// Results of consecutive items that came together, with their bytes, by the place of the
    /// first.
    runs: BTreeMap<usize, (Vec<Slot<O>>, usize)>,
    /// Other results, each in its place; allocated with the first of them.
    slots: Vec<Slot<O>>,
    /// Items that have their result.
    written: usize,
    /// Results taken, from the front.
    taken: usize,
}

impl<O> ResultSlots<O> {
    pub(in crate::bulk) fn new(first: usize) -> Self {
        Self { first, runs: BTreeMap::new(), slots: Vec::new(), written: 0, taken: 0 }
    }

    /// Items that have their result.
    pub(in crate::bulk) fn written(&self) -> usize {
        self.written
    }

    /// Results taken.
    pub(in crate::bulk) fn taken(&self) -> usize {
        self.taken
    }

    /// Writes the result of the item at `place` of a window of `len` items.
    ///
    /// # Panics
    /// If the item has a result already: then two chunks have run it.
    pub(in crate::bulk) fn write(
        &mut self,
        place: usize,
        result: Result<O, ItemError>,
        len: usize,
        done: &mut Option<Done<O>>,
    ) {
        if let Some(done) = done {
            done.push_back(Run::new(self.first, Places::From(place), vec![Some(result)], None));
        } else {
            self.put(place, Some(result), len);
        }
        self.count(1, len);
    }

    /// Writes the results of the items at `places`, which hold `bytes`.
    ///
    /// # Panics
    /// As [`write`](Self::write).
    pub(in crate::bulk) fn write_chunk(
        &mut self,
        places: Places,
        results: Vec<Slot<O>>,
        bytes: usize,
        len: usize,
        done: &mut Option<Done<O>>,
    ) {
        let count = results.len();
        match (done, places) {
            (Some(done), places) => done.push_back(Run::new(self.first, places, results, Some(bytes))),
            (None, Places::From(start)) => {
                let free = self.slots.iter().skip(start).take(count).all(Option::is_none);
                let twice = start < self.taken || !free || self.has_run(start, start + count);
                assert!(!twice, "one of {count} items from {} on has two results", self.first + start);
                self.runs.insert(start, (results, bytes));
            }
            (None, Places::Listed(places)) => {
                places.into_iter().zip(results).for_each(|(place, result)| self.put(place, result, len));
            }
        }
        self.count(count, len);
    }

    fn put(&mut self, place: usize, result: Slot<O>, len: usize) {
        if self.slots.len() < len {
            // On a worker, not where items are pulled: the consumer is the bottleneck of small
            // items.
            self.slots.resize_with(len, || None);
        }
        let twice = place < self.taken || self.slots[place].is_some() || self.has_run(place, place + 1);
        assert!(!twice, "item {} has two results", self.first + place);
        self.slots[place] = result;
    }

    /// Whether a run has a result for any place in `start..end`.
    fn has_run(&self, start: usize, end: usize) -> bool {
        let last = self.runs.range(..end).next_back();
        last.is_some_and(|(at, (results, _))| at + results.len() > start)
    }

    fn count(&mut self, results: usize, len: usize) {
        self.written += results;
        assert!(self.written <= len, "more results than items");
    }

    /// Whether the next result in order can be taken.
    pub(in crate::bulk) fn is_ready(&self) -> bool {
        self.slots.get(self.taken).is_some_and(Option::is_some) || self.runs.contains_key(&self.taken)
    }

    /// Moves the results that are next in order to `batch`; `all`: every item has its result.
    pub(in crate::bulk) fn take_front(&mut self, batch: &mut Batch<O>, all: bool) {
        while self.is_ready() {
            let next = Places::From(self.taken);
            let run = if let Some((results, bytes)) = self.runs.remove(&self.taken) {
                Run::new(self.first, next, results, Some(bytes))
            } else if self.taken == 0 && all && self.runs.is_empty() {
                Run::new(self.first, next, std::mem::take(&mut self.slots), None)
            } else {
                let ready = self.slots[self.taken..].iter_mut().map_while(|slot| slot.take().map(Some));
                Run::new(self.first, next, ready.collect(), None)
            };
            self.taken += run.len();
            batch.push(run);
        }
    }

    /// Drops the results; a panic in a user's `drop` ends here.
    pub(in crate::bulk) fn let_go(self) {
        panics::drop_each(self.runs.into_values().flat_map(|(slots, _)| slots));
        panics::drop_each(self.slots);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes results that are their items' places.
    fn write(slots: &mut ResultSlots<usize>, places: &[usize], len: usize) {
        let results = places.iter().map(|&place| Some(Ok(place))).collect();
        slots.write_chunk(Places::of(places.iter().copied()), results, 0, len, &mut None);
    }

    #[test]
    fn runs_and_single_results_come_in_order() {
        let mut slots = ResultSlots::new(100);
        let mut batch = Batch::new();
        let mut taken = Vec::new();
        for places in [&[3, 4, 5][..], &[8], &[2, 0], &[6, 7], &[11, 9], &[1], &[10]] {
            write(&mut slots, places, 12);
            let all = slots.written() == 12;
            slots.take_front(&mut batch, all);
            taken.extend(std::iter::from_fn(|| batch.pop()).map(|(index, result)| (index, result.unwrap())));
            assert_eq!(slots.taken(), taken.len());
        }
        assert!(taken.into_iter().eq((0..12).map(|place| (100 + place, place))));
    }

    #[test]
    fn two_results_for_an_item_are_noticed() {
        for (first, second) in [
            (&[1, 2, 3][..], &[3][..]),
            (&[1, 2, 3], &[0, 1]),
            (&[1, 2, 3], &[5, 2]),
            (&[3, 1], &[2, 3]),
            (&[3, 1], &[5, 1]),
            (&[0, 1], &[1, 2]),
            (&[0, 1], &[4, 0]),
        ] {
            let mut slots = ResultSlots::new(0);
            write(&mut slots, first, 6);
            slots.take_front(&mut Batch::new(), false);
            let twice = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| write(&mut slots, second, 6)));
            assert!(twice.is_err(), "{first:?} and {second:?}");
        }
    }
}
