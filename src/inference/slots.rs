//! The results of one chunk while a model fills them.

use crate::error::{Error, Result};

/// The results of one chunk: one slot per item, filled once each, in any order.
#[derive(Debug)]
pub struct Slots<'a, T> {
    slots: &'a mut [Option<Result<T>>],
}

impl<'a, T> Slots<'a, T> {
    /// Wraps the slots of a chunk, which must all be `None`.
    pub fn new(slots: &'a mut [Option<Result<T>>]) -> Self {
        debug_assert!(slots.iter().all(Option::is_none));
        Self { slots }
    }

    /// The number of slots, which is the number of items in the chunk.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether the chunk is empty.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Sets the output of item `index` of the chunk.
    ///
    /// # Panics
    /// If `index` is out of range or the slot is filled already, both of which are faults of the
    /// model.
    pub fn set(&mut self, index: usize, output: T) {
        self.fill(index, Ok(output));
    }

    /// Sets an error for item `index` of the chunk alone.
    ///
    /// # Panics
    /// As [`set`](Self::set).
    pub fn fail(&mut self, index: usize, error: Error) {
        self.fill(index, Err(error));
    }

    fn fill(&mut self, index: usize, result: Result<T>) {
        let len = self.slots.len();
        let slot = self.slots.get_mut(index).unwrap_or_else(|| panic!("slot {index} of a chunk of {len}"));
        assert!(slot.is_none(), "slot {index} was filled twice");
        *slot = Some(result);
    }
}
