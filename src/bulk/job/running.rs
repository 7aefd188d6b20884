//! A running job, without the types of its stages and items: what iterators and streams of results
//! hold.

use std::sync::Arc;
#[cfg(feature = "stream")]
use std::task::{Context, Poll};

use crate::{
    bulk::{
        job::{feed::Feed, results::Numbered},
        report::Report,
    },
    error::{ItemError, Result, Stage},
};

/// A job as its consumer calls it: once for each batch of results, not for each result.
pub(in crate::bulk) trait Serve<It, O>: Send + Sync {
    /// The next result; waits for it.
    fn next(self: Arc<Self>, feed: &mut Feed<It, O>) -> Option<Numbered<O>>;
    /// [`next`](Self::next) without waiting.
    #[cfg(feature = "stream")]
    fn poll_next(self: Arc<Self>, feed: &mut Feed<It, O>, context: &Context<'_>) -> Poll<Option<Numbered<O>>>;
    /// Ends the job; the feed has no more results.
    fn stop(&self, feed: &mut Feed<It, O>);
    /// Ends the job when its consumer is dropped.
    fn give_up(&self);
    /// The stage that an item waits for when it has been read.
    fn first() -> Stage
    where
        Self: Sized;
    /// Items pulled so far.
    fn pulled(&self) -> usize;
    /// What the job did so far.
    fn report(&self, feed: &Feed<It, O>) -> Report;
}

/// Why there is no job.
struct NotStarted {
    error: ItemError,
    /// Whether the consumer has it.
    taken: bool,
}

/// A running job, from a source `It` to results `O`.
pub(in crate::bulk) struct Running<O, It> {
    /// The error that kept the job from starting is the result of its first item.
    job: Result<Arc<dyn Serve<It, O>>, Box<NotStarted>>,
    feed: Feed<It, O>,
}

impl<O, It: Iterator> Running<O, It> {
    pub(in crate::bulk) fn new(job: Result<impl Serve<It, O> + 'static>, source: It) -> Self {
        Self::with(job, Feed::new(source))
    }

    /// A job from a polled source; `waits` returns whether it has no item yet.
    #[cfg(feature = "stream")]
    pub(in crate::bulk) fn polled(
        job: Result<impl Serve<It, O> + 'static>,
        source: It,
        waits: fn(&It) -> bool,
    ) -> Self {
        Self::with(job, Feed::polled(source, waits))
    }

    fn with<J: Serve<It, O> + 'static>(job: Result<J>, feed: Feed<It, O>) -> Self {
        let not_started = |source| {
            let error = ItemError { index: 0, stage: J::first(), source };
            Box::new(NotStarted { error, taken: false })
        };
        Self { job: job.map(|job| Arc::new(job) as Arc<dyn Serve<It, O>>).map_err(not_started), feed }
    }

    /// The next result; waits for it.
    #[inline]
    pub(in crate::bulk) fn next(&mut self) -> Option<Numbered<O>> {
        self.feed.ready().or_else(|| self.wait())
    }

    #[inline(never)]
    fn wait(&mut self) -> Option<Numbered<O>> {
        match &mut self.job {
            Ok(job) => Arc::clone(job).next(&mut self.feed),
            Err(why) if why.taken => None,
            Err(why) => {
                why.taken = true;
                Some((0, Err(why.error.clone())))
            }
        }
    }

    /// [`next`](Self::next) without waiting.
    #[cfg(feature = "stream")]
    pub(in crate::bulk) fn poll_next(&mut self, context: &Context<'_>) -> Poll<Option<Numbered<O>>> {
        match &mut self.job {
            Ok(job) => Arc::clone(job).poll_next(&mut self.feed, context),
            Err(_) => Poll::Ready(self.next()),
        }
    }

    /// Bounds on the number of results to come.
    pub(in crate::bulk) fn size_hint(&self) -> (usize, Option<usize>) {
        match &self.job {
            Ok(job) => self.feed.size_hint(job.pulled()),
            Err(why) => (0, Some(usize::from(!why.taken))),
        }
    }

    /// The source, until it has ended.
    #[cfg(feature = "stream")]
    pub(in crate::bulk) fn source_mut(&mut self) -> Option<&mut It> {
        self.feed.source.as_mut()
    }

    /// Ends the job here.
    pub(in crate::bulk) fn stop(&mut self) {
        if let Ok(job) = &self.job {
            job.stop(&mut self.feed);
        }
    }
}

impl<O, It> Running<O, It> {
    /// What the job did so far.
    pub(in crate::bulk) fn report(&self) -> Report {
        match &self.job {
            Ok(job) => job.report(&self.feed),
            Err(why) => Report::not_started(&why.error.source, 1),
        }
    }
}

impl<O, It> Drop for Running<O, It> {
    fn drop(&mut self) {
        if let Ok(job) = &self.job {
            job.give_up();
        }
    }
}
