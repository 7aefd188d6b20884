//! The keys and results that a deduplicated job keeps.

use std::{
    collections::{BTreeMap, HashMap, hash_map::Entry},
    hash::Hash,
    sync::Arc,
};

use crate::error::{ItemError, Result};

/// Bytes that a kept result costs besides its own and those of its key.
const OVERHEAD: usize = 128;

/// The result of an item, for an equal item with the given index.
pub(in crate::bulk) fn copy<O: Clone>(index: usize, result: &Result<O, ItemError>) -> Result<O, ItemError> {
    match result {
        Ok(output) => Ok(output.clone()),
        Err(ItemError { stage, source, .. }) => Err(ItemError { index, stage: *stage, source: source.clone() }),
    }
}

/// The distinct items so far, and those in flight that are equal to them.
pub(in crate::bulk) struct Store<K, O> {
    /// The index of the first item of each key.
    known: HashMap<Arc<K>, usize>,
    /// The first items by index.
    firsts: HashMap<usize, First<K, O>>,
    /// The index of the first item, for each item in flight that is equal to one.
    repeats: HashMap<usize, usize>,
    /// Finished first items that no item in flight is equal to, by the time of their last use.
    idle: BTreeMap<u64, usize>,
    /// Counts uses.
    clock: u64,
    /// Bytes of finished first items.
    bytes: usize,
    most_bytes: usize,
}

/// The first of equal items.
struct First<K, O> {
    key: Arc<K>,
    key_bytes: usize,
    result: Option<Result<O, ItemError>>,
    bytes: usize,
    /// Equal items in flight.
    repeats: usize,
    /// Equal items that were resolved before it, in an unordered job.
    early: Vec<usize>,
    /// When it was used last.
    used: u64,
}

impl<K: Hash + Eq, O: Clone> Store<K, O> {
    pub(in crate::bulk) fn new(most_bytes: usize) -> Self {
        Self {
            known: HashMap::new(),
            firsts: HashMap::new(),
            repeats: HashMap::new(),
            idle: BTreeMap::new(),
            clock: 0,
            bytes: 0,
            most_bytes,
        }
    }

    /// Records an item; whether it is the first of equal items.
    pub(in crate::bulk) fn see(&mut self, index: usize, key: K, key_bytes: usize) -> bool {
        let key = Arc::new(key);
        match self.known.entry(Arc::clone(&key)) {
            Entry::Vacant(place) => {
                place.insert(index);
                let first = First { key, key_bytes, result: None, bytes: 0, repeats: 0, early: Vec::new(), used: 0 };
                self.firsts.insert(index, first);
                true
            }
            Entry::Occupied(place) => {
                let number = *place.get();
                if let Some(first) = self.firsts.get_mut(&number) {
                    first.repeats += 1;
                    self.idle.remove(&first.used);
                }
                self.repeats.insert(index, number);
                false
            }
        }
    }

    /// Keeps the result of a first item; returns equal items that were resolved before it.
    pub(in crate::bulk) fn finished(
        &mut self,
        index: usize,
        result: &Result<O, ItemError>,
        bytes: usize,
    ) -> Vec<usize> {
        let Some(first) = self.firsts.get_mut(&index) else { return Vec::new() };
        first.result = Some(copy(index, result));
        first.bytes = bytes + first.key_bytes + OVERHEAD;
        self.bytes += first.bytes;
        let early = std::mem::take(&mut first.early);
        self.rest(index);
        early
    }

    /// The result of an item that is equal to an earlier one; `None` if that one has none yet.
    pub(in crate::bulk) fn repeat(&mut self, index: usize) -> Option<Result<O, ItemError>> {
        let number = *self.repeats.get(&index)?;
        let first = self.firsts.get_mut(&number)?;
        match &first.result {
            Some(result) => {
                let result = copy(index, result);
                self.forget(index);
                Some(result)
            }
            None => {
                first.early.push(index);
                None
            }
        }
    }

    /// Forgets an item that is equal to an earlier one; false if it is not.
    pub(in crate::bulk) fn forget(&mut self, index: usize) -> bool {
        let Some(number) = self.repeats.remove(&index) else { return false };
        if let Some(first) = self.firsts.get_mut(&number) {
            first.repeats -= 1;
        }
        self.rest(number);
        true
    }

    /// Adds a first item to the idle ones if it is idle, and removes the oldest ones past the
    /// limit.
    fn rest(&mut self, number: usize) {
        if let Some(first) = self.firsts.get_mut(&number)
            && first.repeats == 0
            && first.result.is_some()
        {
            self.clock += 1;
            first.used = self.clock;
            self.idle.insert(self.clock, number);
        }
        while self.bytes > self.most_bytes {
            let Some((_, oldest)) = self.idle.pop_first() else { return };
            if let Some(first) = self.firsts.remove(&oldest) {
                self.known.remove(&first.key);
                self.bytes -= first.bytes;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Error, Stage};

    #[test]
    fn finished_results_stay_within_the_limit_and_go_by_last_use() {
        let mut store = Store::<u32, u8>::new(3 * (OVERHEAD + 10));
        for key in 0..3 {
            assert!(store.see(key as usize, key, 9));
            store.finished(key as usize, &Ok(0), 1);
        }
        // Number 0 is used again, so that number 1 is the oldest now.
        assert!(!store.see(3, 0, 9));
        assert!(store.repeat(3).is_some_and(|result| result.is_ok()));
        assert!(store.see(4, 100, 9));
        store.finished(4, &Ok(0), 1);
        assert!(store.bytes <= store.most_bytes);
        assert!(!store.see(5, 0, 9) && store.see(6, 1, 9) && !store.see(7, 2, 9) && !store.see(8, 100, 9));
    }

    #[test]
    fn a_result_that_an_item_waits_for_stays() {
        let mut store = Store::<u32, u8>::new(0);
        assert!(store.see(0, 7, 1) && !store.see(1, 7, 1));
        store.finished(0, &Ok(5), 1);
        assert!(matches!(store.repeat(1), Some(Ok(5))));
        // No item waits any more, and no bytes may be kept.
        assert!(store.see(2, 7, 1) && store.firsts.len() == 1 && store.bytes == 0 && store.repeats.is_empty());
    }

    #[test]
    fn an_error_has_the_index_of_its_own_item() {
        let mut store = Store::<u32, u8>::new(1 << 20);
        store.see(3, 7, 1);
        store.see(9, 7, 1);
        let error = ItemError { index: 3, stage: Stage::Run, source: Error::invalid_input("bad") };
        assert!(store.repeat(9).is_none());
        assert_eq!(store.finished(3, &Err(error), 0), [9]);
        let error = store.repeat(9).unwrap().unwrap_err();
        assert_eq!((error.index, error.stage, error.source.to_string()), (9, Stage::Run, "bad".into()));
    }
}
