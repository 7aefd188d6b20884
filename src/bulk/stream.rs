//! A job as an asynchronous stream, for any runtime.
//!
//! The task that polls pulls the source and takes results; the pool does the work.

use std::{
    error::Error as StdError,
    fmt,
    pin::Pin,
    task::{Context, Poll, Waker},
};

use futures_core::Stream;

use crate::{
    bulk::{
        job::{
            intake::{FallibleItems, Intake, Items},
            running::Running,
        },
        report::Report,
        runner::Bulk,
        stages::{Staged, Stages},
    },
    error::{ItemError, Result},
};

impl<S: Staged> Bulk<S> {
    /// [`map`](Self::map) from a stream to a stream: lazy, in order, with bounded memory.
    ///
    /// Polling never blocks: it pulls `items` while there is room, and is woken by a worker when
    /// the next result is ready, or by `items`. Cancelling and the deadline take effect at the next
    /// poll. Dropping the stream stops the work.
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
    pub fn stream<St>(&self, items: St) -> ResultStream<S::Output, St>
    where
        St: Stream<Item: Send + 'static>,
        S: Stages<St::Item> + 'static,
    {
        self.start_stream(items, Items)
    }

    /// [`map_results`](Self::map_results) from a stream to a stream.
    pub fn stream_results<St, I, E>(&self, items: St) -> ResultStream<S::Output, St>
    where
        St: Stream<Item = Result<I, E>>,
        I: Send + 'static,
        E: Into<Box<dyn StdError + Send + Sync>>,
        S: Stages<I> + 'static,
    {
        self.start_stream(items, FallibleItems)
    }

    fn start_stream<St, I, C>(&self, items: St, intake: C) -> ResultStream<S::Output, St>
    where
        St: Stream,
        C: Intake<St::Item, Item = I> + 'static,
        I: Send + 'static,
        S: Stages<I> + 'static,
    {
        let source = Polled { stream: Box::pin(items), waker: Waker::noop().clone(), waits: false };
        ResultStream(Running::polled(self.job(true, intake), source, |source| source.waits))
    }
}

/// A stream as a source: if it has no item yet it returns none, and `waits`.
struct Polled<St: Stream> {
    stream: Pin<Box<St>>,
    /// The waker of the task that polls now.
    waker: Waker,
    waits: bool,
}

impl<St: Stream> Iterator for Polled<St> {
    type Item = St::Item;

    fn next(&mut self) -> Option<St::Item> {
        let polled = self.stream.as_mut().poll_next(&mut Context::from_waker(&self.waker));
        self.waits = polled.is_pending();
        match polled {
            Poll::Ready(item) => item,
            Poll::Pending => None,
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.stream.size_hint()
    }
}

/// The results of a job in the order of its items, as a stream.
///
/// `O` is a result, `St` the stream of items. Made by [`Bulk::stream`].
#[must_use = "nothing runs before the results are asked for"]
pub struct ResultStream<O, St: Stream>(Running<O, Polled<St>>);

/// The stream of items is pinned in a box of its own.
impl<O, St: Stream> Unpin for ResultStream<O, St> {}

impl<O, St: Stream> ResultStream<O, St> {
    /// What the job did so far; complete once the stream has ended.
    pub fn report(&self) -> Report {
        self.0.report()
    }
}

impl<O, St: Stream> Stream for ResultStream<O, St> {
    type Item = Result<O, ItemError>;

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

impl<O, St: Stream> fmt::Debug for ResultStream<O, St> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResultStream").finish_non_exhaustive()
    }
}
