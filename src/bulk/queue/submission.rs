//! Submitting without blocking: at once or not at all, or as a future.

use std::{
    error::Error as StdError,
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use crate::bulk::queue::{core::Submit, handle::Handle};

/// The queue was full: an item that was not submitted.
///
/// Returned by [`Queue::try_submit`](super::Queue::try_submit).
pub struct Full<I>(pub I);

impl<I> fmt::Debug for Full<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Full").finish_non_exhaustive()
    }
}

impl<I> fmt::Display for Full<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the queue is full: as many items or bytes wait as its limits allow")
    }
}

impl<I> StdError for Full<I> {}

/// An item that waits for room in a queue: a future of its [`Handle`], for any executor.
///
/// Made by [`Queue::submit_async`](super::Queue::submit_async). Dropping it before it is ready
/// drops the item.
#[must_use = "nothing is submitted before it is polled"]
pub struct Submission<'q, I, O> {
    queue: &'q Arc<dyn Submit<I, O>>,
    /// `None` once it is submitted.
    item: Option<(I, usize)>,
    /// Identifies its waker in the queue, once it has waited.
    number: Option<u64>,
}

impl<'q, I, O> Submission<'q, I, O> {
    pub(in crate::bulk) fn new(queue: &'q Arc<dyn Submit<I, O>>, item: I) -> Self {
        let bytes = queue.bytes(&item);
        Self { queue, item: Some((item, bytes)), number: None }
    }
}

/// Nothing in it is pinned.
impl<I, O> Unpin for Submission<'_, I, O> {}

/// The handle of the item, once there is room for it.
///
/// # Panics
/// If it is polled after it has returned the handle.
impl<I, O> Future for Submission<'_, I, O> {
    type Output = Handle<O>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Handle<O>> {
        let Some((item, bytes)) = self.item.take() else { panic!("the item was submitted before") };
        let mut number = self.number;
        let polled = Arc::clone(self.queue).submit_or_wait(item, bytes, &mut number, context.waker());
        self.number = number;
        match polled {
            Ok(handle) => Poll::Ready(handle),
            Err(item) => {
                self.item = Some((item, bytes));
                Poll::Pending
            }
        }
    }
}

impl<I, O> Drop for Submission<'_, I, O> {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            self.queue.stop_waiting(number);
        }
    }
}

impl<I, O> fmt::Debug for Submission<'_, I, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Submission").finish_non_exhaustive()
    }
}
