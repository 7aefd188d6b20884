//! The iterators over the results of a job.

use std::fmt;

use crate::{
    bulk::{
        dedupe::distinct::Distinct,
        job::{results::Numbered, running::Running},
        report::Report,
    },
    error::{ItemError, Result},
};

/// A job as both kinds of iterators consume it.
#[allow(clippy::large_enum_variant, reason = "one a job, and the plain variant is the one that is polled often")]
enum Consumer<O, It> {
    Plain(Running<O, It>),
    /// A job in which equal items run once.
    Distinct(Box<Distinct<O, It>>),
}

impl<O, It: Iterator> Consumer<O, It> {
    #[inline]
    fn next(&mut self) -> Option<Numbered<O>> {
        match self {
            Self::Plain(running) => running.next(),
            Self::Distinct(distinct) => distinct.next(),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        match self {
            Self::Plain(running) => running.size_hint(),
            Self::Distinct(distinct) => distinct.size_hint(),
        }
    }
}

impl<O, It> Consumer<O, It> {
    fn report(&self) -> Report {
        match self {
            Self::Plain(running) => running.report(),
            Self::Distinct(distinct) => distinct.report(),
        }
    }
}

/// The results of a job in the order of its items, each a [`Result`] of its own.
///
/// `O` is a result, `It` the iterator over the items. Made by [`Bulk::map`](super::Bulk::map) and
/// its like. Nothing is pulled before the first `next`. Dropping it stops the work: waiting items
/// are dropped, running chunks are run to their end and discarded.
#[must_use = "nothing runs before the results are asked for"]
pub struct Results<O, It>(Consumer<O, It>);

/// The results of a job in order of completion, each with the index of its item; otherwise like
/// [`Results`].
///
/// Made by [`Bulk::map_unordered`](super::Bulk::map_unordered) and its like.
#[must_use = "nothing runs before the results are asked for"]
pub struct UnorderedResults<O, It>(Consumer<O, It>);

impl<O, It> Results<O, It> {
    pub(in crate::bulk) fn new(running: Running<O, It>) -> Self {
        Self(Consumer::Plain(running))
    }

    pub(in crate::bulk) fn distinct(distinct: Distinct<O, It>) -> Self {
        Self(Consumer::Distinct(Box::new(distinct)))
    }

    /// What the job did so far; complete once the iterator has ended.
    pub fn report(&self) -> Report {
        self.0.report()
    }
}

impl<O, It> UnorderedResults<O, It> {
    pub(in crate::bulk) fn new(running: Running<O, It>) -> Self {
        Self(Consumer::Plain(running))
    }

    pub(in crate::bulk) fn distinct(distinct: Distinct<O, It>) -> Self {
        Self(Consumer::Distinct(Box::new(distinct)))
    }

    /// What the job did so far; complete once the iterator has ended.
    pub fn report(&self) -> Report {
        self.0.report()
    }
}

impl<O, It: Iterator> Iterator for Results<O, It> {
    type Item = Result<O, ItemError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().map(|(_, result)| result)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

impl<O, It: Iterator> Iterator for UnorderedResults<O, It> {
    type Item = (usize, Result<O, ItemError>);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.0.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

impl<O, It> fmt::Debug for Results<O, It> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Results").finish_non_exhaustive()
    }
}

impl<O, It> fmt::Debug for UnorderedResults<O, It> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnorderedResults").finish_non_exhaustive()
    }
}
