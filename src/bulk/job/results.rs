//! Results between workers and consumer, which move in runs instead of one by one.

use std::{collections::VecDeque, vec};

use crate::error::{ItemError, Result};

/// The result of an item, once it has one.
pub(in crate::bulk) type Slot<O> = Option<Result<O, ItemError>>;

/// A result with the index of its item.
pub(in crate::bulk) type Numbered<O> = (usize, Result<O, ItemError>);

/// Results in order of completion.
pub(in crate::bulk) type Done<O> = VecDeque<Run<O>>;

/// Results that move together.
#[derive(Debug)]
pub(in crate::bulk) struct Run<O> {
    indices: Indices,
    slots: vec::IntoIter<Slot<O>>,
    /// Bytes that the results hold, if they were counted when they were made.
    bytes: Option<usize>,
}

/// The places of some items in their window.
#[derive(Clone, Debug)]
pub(in crate::bulk) enum Places {
    /// Consecutive places from this one on.
    From(usize),
    Listed(Vec<usize>),
}

impl Places {
    pub(in crate::bulk) fn of(places: impl Iterator<Item = usize> + Clone) -> Self {
        let mut all = places.clone();
        let start = all.next().unwrap_or(0);
        if all.zip(start + 1..).all(|(place, next)| place == next) {
            Places::From(start)
        } else {
            Places::Listed(places.collect())
        }
    }
}

#[derive(Debug)]
enum Indices {
    /// Consecutive indices from this one on.
    From(usize),
    Listed(vec::IntoIter<usize>),
}

impl<O> Run<O> {
    /// Results of items at `places` of a window whose first item has the index `first`.
    pub(in crate::bulk) fn new(first: usize, places: Places, slots: Vec<Slot<O>>, bytes: Option<usize>) -> Self {
        debug_assert!(slots.iter().all(Option::is_some));
        let indices = match places {
            Places::From(start) => Indices::From(first + start),
            Places::Listed(places) => {
                Indices::Listed(places.into_iter().map(|place| first + place).collect::<Vec<_>>().into_iter())
            }
        };
        Self { indices, slots: slots.into_iter(), bytes }
    }

    pub(in crate::bulk) fn len(&self) -> usize {
        self.slots.len()
    }

    /// The results without their indices.
    pub(in crate::bulk) fn into_slots(self) -> vec::IntoIter<Slot<O>> {
        self.slots
    }

    #[inline]
    fn pop(&mut self) -> Option<Numbered<O>> {
        let result = self.slots.next()??;
        let index = match &mut self.indices {
            Indices::From(next) => {
                *next += 1;
                *next - 1
            }
            Indices::Listed(indices) => indices.next()?,
        };
        Some((index, result))
    }

    /// Bytes that the results hold; `count` returns those of one.
    fn bytes(&self, count: impl Fn(&O) -> usize) -> usize {
        self.bytes.unwrap_or_else(|| self.slots.as_slice().iter().flatten().flatten().map(count).sum())
    }
}

/// Results that the consumer's side took from the job and has not handed on yet.
#[derive(Debug)]
pub(in crate::bulk) struct Batch<O> {
    first: Run<O>,
    rest: VecDeque<Run<O>>,
    len_of_rest: usize,
}

impl<O> Batch<O> {
    pub(in crate::bulk) fn new() -> Self {
        Self { first: Run::new(0, Places::From(0), Vec::new(), Some(0)), rest: VecDeque::new(), len_of_rest: 0 }
    }

    /// The next result if it is not an error.
    #[inline]
    pub(in crate::bulk) fn pop_sound(&mut self) -> Option<Numbered<O>> {
        match self.first.slots.as_slice().first() {
            Some(Some(Ok(_))) => self.first.pop(),
            _ => None,
        }
    }

    /// The next result.
    pub(in crate::bulk) fn pop(&mut self) -> Option<Numbered<O>> {
        loop {
            if let Some(result) = self.first.pop() {
                return Some(result);
            }
            self.first = self.rest.pop_front()?;
            self.len_of_rest -= self.first.len();
        }
    }

    pub(in crate::bulk) fn push(&mut self, run: Run<O>) {
        self.len_of_rest += run.len();
        self.rest.push_back(run);
    }

    pub(in crate::bulk) fn len(&self) -> usize {
        self.first.len() + self.len_of_rest
    }

    /// Bytes of the runs of which no result is handed on; `count` returns those of one result.
    pub(in crate::bulk) fn bytes(&self, count: impl Fn(&O) -> usize) -> usize {
        self.rest.iter().map(|run| run.bytes(&count)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Error, Stage};

    #[test]
    fn runs_come_one_after_another() {
        let failed = || Err(ItemError { index: 7, stage: Stage::Run, source: Error::internal("x") });
        let mut batch = Batch::new();
        assert!(batch.pop().is_none() && batch.pop_sound().is_none());
        batch.push(Run::new(2, Places::of(3..6), vec![Some(Ok('a')), Some(Ok('b')), Some(failed())], Some(100)));
        batch.push(Run::new(1, Places::of([8, 1].into_iter()), vec![Some(Ok('c')), Some(Ok('d'))], None));
        assert_eq!((batch.len(), batch.bytes(|_| 3)), (5, 106));
        assert!(matches!(batch.pop(), Some((5, Ok('a')))));
        assert_eq!((batch.len(), batch.bytes(|_| 3)), (4, 6));
        assert!(matches!(batch.pop_sound(), Some((6, Ok('b')))));
        assert!(batch.pop_sound().is_none());
        assert!(matches!(batch.pop(), Some((7, Err(_)))));
        assert!(matches!(batch.pop(), Some((9, Ok('c')))));
        assert_eq!(batch.len(), 1);
        assert!(matches!(batch.pop_sound(), Some((2, Ok('d')))));
        assert!(batch.pop().is_none());
    }
}
