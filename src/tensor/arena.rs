//! One buffer for the values of a run, handed out in disjoint parts.

#![allow(unsafe_code, reason = "parts of one buffer are read and written at the same time")]

use std::{cell::Cell, ops::Range};

use smallvec::SmallVec;

use crate::error::{Error, Result};

#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([u8; 64]);

/// Memory for one run at a time; grows to the largest run and is then kept.
#[derive(Default)]
pub(crate) struct Arena {
    lines: Vec<Line>,
}

impl Arena {
    /// Grows the arena to at least `bytes`.
    ///
    /// # Errors
    /// If the memory cannot be allocated.
    pub(crate) fn reserve(&mut self, bytes: usize) -> Result<()> {
        let lines = bytes.div_ceil(64);
        if let Some(more) = lines.checked_sub(self.lines.len()).filter(|&more| more > 0) {
            self.lines.try_reserve_exact(more).map_err(|_| {
                Error::limit(format!("{bytes} bytes for one run cannot be allocated; use smaller inputs"))
            })?;
            self.lines.resize(lines, Line([0; 64]));
        }
        Ok(())
    }

    /// Bytes held.
    pub(crate) fn len(&self) -> usize {
        self.lines.len() * 64
    }

    /// Borrows a part to read.
    pub(crate) fn part(&self, range: Range<usize>) -> &[u8] {
        &self.bytes()[range]
    }

    /// Borrows a part to write.
    pub(crate) fn part_mut(&mut self, range: Range<usize>) -> &mut [u8] {
        let len = self.len();
        // SAFETY: `Line` is plain bytes without padding, and the lines are exclusively borrowed for as long.
        let bytes = unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast::<u8>(), len) };
        &mut bytes[range]
    }

    fn bytes(&self) -> &[u8] {
        // SAFETY: `Line` is plain bytes without padding, and the lines are borrowed for as long.
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast::<u8>(), self.len()) }
    }

    /// Splits the arena into the operands and outputs of one step.
    pub(crate) fn split(&mut self) -> Split<'_> {
        Split {
            start: self.lines.as_mut_ptr().cast(),
            len: self.len(),
            written: SmallVec::new(),
            reading: Cell::new(false),
            _arena: self,
        }
    }
}

/// Hands out parts of an arena to read and parts to write at the same time.
pub(crate) struct Split<'a> {
    start: *mut u8,
    len: usize,
    written: SmallVec<[Range<usize>; 4]>,
    reading: Cell<bool>,
    _arena: &'a mut Arena,
}

impl<'a> Split<'a> {
    /// Takes a part to write. All parts to write are taken before any part to read.
    ///
    /// # Panics
    /// If it is out of bounds, overlaps another part to write, or follows a part to read: the plan is wrong.
    pub(crate) fn write(&mut self, range: Range<usize>) -> &'a mut [u8] {
        assert!(!self.reading.get(), "parts to be written are taken first");
        self.check(&range);
        self.written.push(range.clone());
        // SAFETY: in bounds, and disjoint from every other part handed out (checked above); the arena stays borrowed
        // for 'a.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(range.start), range.len()) }
    }

    /// Takes a part to read.
    ///
    /// # Panics
    /// If it is out of bounds or overlaps a part to write: the plan is wrong.
    pub(crate) fn read(&self, range: Range<usize>) -> &'a [u8] {
        self.reading.set(true);
        self.check(&range);
        // SAFETY: in bounds and disjoint from every part that is written (checked above); no part to write can be
        // taken from now on.
        unsafe { std::slice::from_raw_parts(self.start.add(range.start), range.len()) }
    }

    fn check(&self, range: &Range<usize>) {
        assert!(range.start <= range.end && range.end <= self.len, "part {range:?} of an arena of {} bytes", self.len);
        let overlaps = |other: &Range<usize>| range.start < other.end && other.start < range.end;
        assert!(!self.written.iter().any(overlaps), "part {range:?} overlaps one that is written");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "overlaps")]
    fn overlapping_parts_are_refused() {
        let mut arena = Arena::default();
        arena.reserve(128).unwrap();
        let mut split = arena.split();
        split.write(0..64);
        split.read(63..70);
    }

    #[test]
    #[should_panic(expected = "of an arena")]
    fn parts_out_of_bounds_are_refused() {
        let mut arena = Arena::default();
        arena.reserve(64).unwrap();
        arena.split().write(0..65);
    }

    #[test]
    fn an_impossible_size_is_an_error() {
        assert!(Arena::default().reserve(usize::MAX - 64).is_err());
    }
}
