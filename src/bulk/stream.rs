//! A job as an asynchronous stream, for any runtime: whoever polls pulls the source and takes what is ready; the work is
//! done by the pool, as ever.

use std::{
    error::Error as StdError,
    fmt,
    pin::Pin,
    task::{Context, Poll, Waker},
};

use futures_core::Stream;

use crate::{
    bulk::{
        job::pull::source_error,
        report::Report,
        results_iter::Running,
        runner::Bulk,
        stages::{Staged, Stages},
    },
    error::{ItemError, Result},
};

impl<S: Staged> Bulk<S> {
    /// [`map`](Self::map) from a stream to a stream: lazy, in order, bounded.
    ///
    /// Polling never blocks: it pulls `items` while there is room, and is woken by a worker when the next result is
    /// there, or by `items`. Cancelling and the deadline are noticed at the next poll. Dropping the stream stops the
    /// work.
    ///
    /// ```
    /// # use std::{pin::Pin, task::{Context, Poll, Waker}};
    /// # use futures_core::Stream;
    /// # struct Three(u32);
    /// # impl Stream for Three {
    /// #     type Item = u32;
    /// #     fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<u32>> {
    /// #         self.0 += 1;
    /// #         Poll::Ready((self.0 <= 3).then_some(self.0))
    /// #     }
    /// # }
    /// use gristmill::{bulk::Bulk, from_fn};
    /// let squares = Bulk::new(from_fn(|number: &u32| Ok(number * number)));
    /// let mut results = squares.stream(Three(0)); // a stream of 1, 2, 3
    /// # let mut context = Context::from_waker(Waker::noop());
    /// # let mut all = Vec::new();
    /// # loop {
    /// #     match Pin::new(&mut results).poll_next(&mut context) {
    /// #         Poll::Ready(Some(result)) => all.push(result.unwrap()),
    /// #         Poll::Ready(None) => break,
    /// #         Poll::Pending => std::thread::yield_now(),
    /// #     }
    /// # }
    /// # assert_eq!(all, [1, 4, 9]);
    /// ```
    pub fn stream<St>(&self, items: St) -> ResultStream<S, St::Item, St>
    where
        St: Stream<Item: Send + 'static>,
        S: Stages<St::Item> + 'static,
    {
        self.start_stream(items, Ok)
    }

    /// [`map_results`](Self::map_results) from a stream to a stream.
    pub fn stream_results<St, I, E>(&self, items: St) -> ResultStream<S, I, St>
    where
        St: Stream<Item = Result<I, E>>,
        I: Send + 'static,
        E: Into<Box<dyn StdError + Send + Sync>>,
        S: Stages<I> + 'static,
    {
        self.start_stream(items, |item| item.map_err(source_error))
    }

    fn start_stream<St, I>(&self, items: St, convert: fn(St::Item) -> Result<I>) -> ResultStream<S, I, St>
    where
        St: Stream,
        I: Send + 'static,
        S: Stages<I> + 'static,
    {
        let source = Polled { stream: Box::pin(items), convert, waker: Waker::noop().clone(), waits: false };
        ResultStream(Running::polled(self.job(true), source, |source| source.waits))
    }
}

/// A stream as a source: one that has nothing yet gives no item, and says that it waits.
struct Polled<I, St: Stream> {
    stream: Pin<Box<St>>,
    convert: fn(St::Item) -> Result<I>,
    /// Of the task that polls now.
    waker: Waker,
    waits: bool,
}

impl<I, St: Stream> Iterator for Polled<I, St> {
    type Item = Result<I>;

    fn next(&mut self) -> Option<Result<I>> {
        let polled = self.stream.as_mut().poll_next(&mut Context::from_waker(&self.waker));
        self.waits = polled.is_pending();
        match polled {
            Poll::Ready(item) => item.map(self.convert),
            Poll::Pending => None,
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.stream.size_hint()
    }
}

/// The results of a job in the order of its items, as a stream; made by [`Bulk::stream`].
#[must_use = "nothing runs before the results are asked for"]
pub struct ResultStream<S: Stages<I>, I, St: Stream>(Running<S, I, Polled<I, St>>);

/// Nothing in it is ever pinned: the source has a box of its own.
impl<S: Stages<I>, I, St: Stream> Unpin for ResultStream<S, I, St> {}

impl<S, I, St> ResultStream<S, I, St>
where
    S: Stages<I> + 'static,
    I: Send + 'static,
    St: Stream,
{
    /// What the job did so far; all of it once the stream has ended.
    pub fn report(&self) -> Report {
        self.0.report()
    }
}

impl<S, I, St> Stream for ResultStream<S, I, St>
where
    S: Stages<I> + 'static,
    I: Send + 'static,
    St: Stream,
{
    type Item = Result<S::Output, ItemError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(source) = self.0.source_mut() {
            source.waker.clone_from(context.waker());
        }
        self.0.poll_next(context).map(|next| next.map(|(_, result)| result))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

impl<S: Stages<I>, I, St: Stream> fmt::Debug for ResultStream<S, I, St> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResultStream").finish_non_exhaustive()
    }
}
