//! The iterators that a job is consumed through.

#[cfg(feature = "stream")]
use std::task::{Context, Poll};
use std::{error::Error as StdError, fmt, sync::Arc};

use crate::{
    bulk::{
        job::{feed::Feed, pooled::Pooled, pull::source_error, results::Numbered},
        report::Report,
        stages::Stages,
    },
    error::{Error, ItemError, Result, Stage},
};

/// A job under way, or the error that kept it from starting, to be told once.
type Started<S, I> = Result<Arc<Pooled<S, I>>, Option<Error>>;

/// The machinery behind [`Map`] and [`Unordered`].
pub(super) struct Running<S: Stages<I>, I, It> {
    job: Started<S, I>,
    feed: Feed<It, I, S::Output>,
}

impl<S, I, It> Running<S, I, It>
where
    S: Stages<I> + 'static,
    I: Send + 'static,
    It: Iterator<Item = Result<I>>,
{
    pub(super) fn new(job: Result<Pooled<S, I>>, source: It) -> Self {
        Self { job: job.map(Arc::new).map_err(Some), feed: Feed::new(source) }
    }

    #[inline]
    pub(super) fn next(&mut self) -> Option<Numbered<S::Output>> {
        self.feed.ready().or_else(|| self.wait())
    }

    #[inline(never)]
    fn wait(&mut self) -> Option<Numbered<S::Output>> {
        self.start_drivers();
        match &mut self.job {
            Ok(pooled) => self.feed.next(&pooled.job, pooled),
            Err(error) => {
                let source = error.take()?;
                Some((0, Err(ItemError { index: 0, stage: Stage::Read, source })))
            }
        }
    }

    /// Before the first pull: starts the threads outside the pool, if the model wants any.
    fn start_drivers(&self) {
        if let Ok(pooled) = &self.job
            && self.feed.tally.started.is_none()
        {
            pooled.start_drivers();
        }
    }

    pub(super) fn size_hint(&self) -> (usize, Option<usize>) {
        match &self.job {
            Ok(pooled) => self.feed.size_hint(pooled.job.lock().pulled),
            Err(error) => (0, Some(usize::from(error.is_some()))),
        }
    }

    /// For a source that is polled, of which `waits` tells whether it has nothing yet.
    #[cfg(feature = "stream")]
    pub(super) fn polled(job: Result<Pooled<S, I>>, source: It, waits: fn(&It) -> bool) -> Self {
        Self { job: job.map(Arc::new).map_err(Some), feed: Feed::polled(source, waits) }
    }

    /// [`next`](Self::next) without waiting.
    #[cfg(feature = "stream")]
    pub(super) fn poll_next(&mut self, context: &Context<'_>) -> Poll<Option<Numbered<S::Output>>> {
        self.start_drivers();
        match &mut self.job {
            Ok(pooled) => self.feed.poll_next(&pooled.job, pooled, context),
            Err(_) => Poll::Ready(self.next()),
        }
    }

    /// The source, until it has ended.
    #[cfg(feature = "stream")]
    pub(super) fn source_mut(&mut self) -> Option<&mut It> {
        self.feed.source.as_mut()
    }

    /// Ends the job here.
    pub(super) fn stop(&mut self) {
        if let Ok(pooled) = &self.job {
            self.feed.stop(&pooled.job);
        }
    }

    pub(super) fn report(&self) -> Report {
        self.job.as_ref().map_or_else(|_| Report::default(), |pooled| self.feed.report(&pooled.job))
    }
}

impl<S: Stages<I>, I, It> Drop for Running<S, I, It> {
    fn drop(&mut self) {
        if let Ok(pooled) = &self.job {
            pooled.job.stop(None);
        }
    }
}

/// The results of a job in the order of its items; made by [`Bulk::map`](super::Bulk::map).
///
/// Nothing is pulled before the first `next`. Dropping it stops the work: what waits is dropped, chunks that run
/// are run to their end and forgotten.
#[must_use = "nothing runs before the results are asked for"]
pub struct Map<S: Stages<I>, I, It>(Running<S, I, It>);

/// The results of a job in the order of completion, each with its item's index; made by
/// [`Bulk::map_unordered`](super::Bulk::map_unordered). Otherwise like [`Map`].
#[must_use = "nothing runs before the results are asked for"]
pub struct Unordered<S: Stages<I>, I, It>(Running<S, I, It>);

impl<S, I, It> Map<S, I, It>
where
    S: Stages<I> + 'static,
    I: Send + 'static,
    It: Iterator<Item = Result<I>>,
{
    pub(super) fn new(job: Result<Pooled<S, I>>, source: It) -> Self {
        Self(Running::new(job, source))
    }

    /// What the job did so far; all of it once the iterator has ended.
    pub fn report(&self) -> Report {
        self.0.report()
    }
}

impl<S, I, It> Unordered<S, I, It>
where
    S: Stages<I> + 'static,
    I: Send + 'static,
    It: Iterator<Item = Result<I>>,
{
    pub(super) fn new(job: Result<Pooled<S, I>>, source: It) -> Self {
        Self(Running::new(job, source))
    }

    /// What the job did so far; all of it once the iterator has ended.
    pub fn report(&self) -> Report {
        self.0.report()
    }
}

impl<S, I, It> Iterator for Map<S, I, It>
where
    S: Stages<I> + 'static,
    I: Send + 'static,
    It: Iterator<Item = Result<I>>,
{
    type Item = Result<S::Output, ItemError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().map(|(_, result)| result)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

impl<S, I, It> Iterator for Unordered<S, I, It>
where
    S: Stages<I> + 'static,
    I: Send + 'static,
    It: Iterator<Item = Result<I>>,
{
    type Item = (usize, Result<S::Output, ItemError>);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.0.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

impl<S: Stages<I>, I, It> fmt::Debug for Map<S, I, It> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Map").finish_non_exhaustive()
    }
}

impl<S: Stages<I>, I, It> fmt::Debug for Unordered<S, I, It> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unordered").finish_non_exhaustive()
    }
}

/// A source whose items are all there.
#[derive(Clone, Debug)]
pub struct Sound<It>(pub(super) It);

impl<It: Iterator> Iterator for Sound<It> {
    type Item = Result<It::Item>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().map(Ok)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

/// A source that may give an error in place of an item.
#[derive(Clone, Debug)]
pub struct Fallible<It>(pub(super) It);

impl<It, I, E> Iterator for Fallible<It>
where
    It: Iterator<Item = Result<I, E>>,
    E: Into<Box<dyn StdError + Send + Sync>>,
{
    type Item = Result<I>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().map(|item| item.map_err(source_error))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}
