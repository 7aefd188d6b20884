//! The slots that no value needs at a point of the run.

use std::collections::{HashMap, VecDeque};

use crate::shape::Dim;

/// The most sizes that are remembered of a slot.
const MAX_SIZES: usize = 8;

/// Slots that values have left, found by the sizes that they have held.
///
/// A queue may name a slot that is taken again; it is passed over.
#[derive(Debug, Default)]
pub(super) struct FreeSlots {
    slots: Vec<Slot>,
    by_size: HashMap<Dim, VecDeque<usize>>,
    any: Vec<usize>,
}

#[derive(Debug, Default)]
struct Slot {
    free: bool,
    /// The last sizes that it has held.
    sizes: VecDeque<Dim>,
}

impl FreeSlots {
    /// Takes a slot for a value of that size; one more than there are, if none is free.
    ///
    /// A slot that has held the same size costs nothing more; else any free one.
    pub(super) fn take(&mut self, size: Dim) -> usize {
        let same = self
            .by_size
            .get_mut(&size)
            .and_then(|queue| std::iter::from_fn(|| queue.pop_front()).find(|&slot| self.slots[slot].free));
        let any = || std::iter::from_fn(|| self.any.pop()).find(|&slot| self.slots[slot].free);
        let index = same.or_else(any).unwrap_or(self.slots.len());
        if index == self.slots.len() {
            self.slots.push(Slot::default());
        }
        let slot = &mut self.slots[index];
        slot.free = false;
        if !slot.sizes.contains(&size) {
            slot.sizes.push_back(size);
            if slot.sizes.len() > MAX_SIZES {
                slot.sizes.pop_front();
            }
        }
        index
    }

    /// Gives a slot back.
    pub(super) fn release(&mut self, index: usize) {
        let slot = &mut self.slots[index];
        slot.free = true;
        self.any.push(index);
        for size in &slot.sizes {
            self.by_size.entry(size.clone()).or_default().push_back(index);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_of_the_same_size_is_preferred() {
        let mut free = FreeSlots::default();
        assert_eq!([3, 5, 7].map(|size| free.take(Dim::from(size))), [0, 1, 2]);
        [0, 1, 2].into_iter().for_each(|slot| free.release(slot));
        assert_eq!([5, 5, 9, 9].map(|size| free.take(Dim::from(size))), [1, 2, 0, 3]);
    }

    #[test]
    fn a_slot_that_is_taken_is_not_taken_twice() {
        let mut free = FreeSlots::default();
        assert_eq!(free.take(Dim::from(3)), 0);
        free.release(0);
        assert_eq!(free.take(Dim::from(5)), 0);
        free.release(0);
        assert_eq!([3, 5, 3].map(|size| free.take(Dim::from(size))), [0, 1, 2]);
    }
}
