//! The submitter's side of an item: its result to come.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::{
        Arc, Condvar, Mutex, PoisonError, Weak,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll, Waker},
};

use crate::{
    error::{ItemError, Result},
    threads::panics::{self, lock},
};

/// The result to come of a submitted item: wait for it, poll it, await it or cancel it.
///
/// Dropping it cancels the item if it has not begun.
#[must_use = "dropping it cancels the item"]
pub struct Handle<O> {
    ticket: Arc<Ticket<O>>,
    /// The queue, while it exists.
    queue: Weak<dyn Help>,
}

/// The work that a worker of the pool does while it waits for a queue: its own work may be queued
/// behind it.
pub(in crate::bulk) trait Help: Send + Sync {
    /// Runs some of the pool's work until `done`; false if the calling thread is not one of its
    /// workers.
    fn help_until(&self, done: &dyn Fn() -> bool) -> bool;
}

/// What an item in flight and its handle share.
pub(in crate::bulk) struct Ticket<O> {
    state: Mutex<TicketState<O>>,
    /// Notified when the result is there.
    done: Condvar,
    cancelled: AtomicBool,
}

enum TicketState<O> {
    /// No result yet; with the waker of a task that awaits it.
    Pending(Option<Waker>),
    Done(Result<O, ItemError>),
    Taken,
}

impl<O> Ticket<O> {
    pub(in crate::bulk) fn new() -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(TicketState::Pending(None)),
            done: Condvar::new(),
            cancelled: AtomicBool::new(false),
        })
    }

    /// Sets the result, which is dropped here if the handle is gone.
    pub(in crate::bulk) fn fill(self: Arc<Self>, result: Result<O, ItemError>) {
        let before = std::mem::replace(&mut *lock(&self.state), TicketState::Done(result));
        self.done.notify_all();
        if let TicketState::Pending(Some(waker)) = before {
            panics::quietly(|| waker.wake());
        }
        panics::drop_quietly(self);
    }

    pub(in crate::bulk) fn is_cancelled(&self) -> bool {
        self.cancelled.load(Relaxed)
    }

    fn is_done(&self) -> bool {
        !matches!(*lock(&self.state), TicketState::Pending(_))
    }
}

impl<O> Handle<O> {
    pub(in crate::bulk) fn new(ticket: Arc<Ticket<O>>, queue: Weak<dyn Help>) -> Self {
        Self { ticket, queue }
    }

    /// Whether the result is there.
    pub fn is_done(&self) -> bool {
        self.ticket.is_done()
    }

    /// The result if it is there; `None` once it was taken.
    pub fn poll_now(&mut self) -> Option<Result<O, ItemError>> {
        let mut state = lock(&self.ticket.state);
        match std::mem::replace(&mut *state, TicketState::Taken) {
            TicketState::Done(result) => Some(result),
            before => {
                *state = before;
                None
            }
        }
    }

    /// Waits for the result; `None` if it was taken before.
    ///
    /// A worker of the pool does some of its work meanwhile.
    pub fn wait(mut self) -> Option<Result<O, ItemError>> {
        if !self.is_done()
            && let Some(queue) = self.queue.upgrade()
        {
            queue.help_until(&|| self.is_done());
        }
        let mut state = lock(&self.ticket.state);
        while matches!(*state, TicketState::Pending(_)) {
            state = self.ticket.done.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        drop(state);
        self.poll_now()
    }

    /// Cancels the item unless it has begun; its result is an error of kind
    /// [`ErrorKind::Cancelled`](crate::ErrorKind::Cancelled).
    pub fn cancel(&self) {
        self.ticket.cancelled.store(true, Relaxed);
    }
}

/// The result, for any executor.
///
/// # Panics
/// If it is polled after it has returned the result, or after [`Handle::poll_now`] has.
impl<O> Future for Handle<O> {
    type Output = Result<O, ItemError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = lock(&self.ticket.state);
        match std::mem::replace(&mut *state, TicketState::Taken) {
            TicketState::Done(result) => Poll::Ready(result),
            TicketState::Pending(_) => {
                *state = TicketState::Pending(Some(context.waker().clone()));
                Poll::Pending
            }
            TicketState::Taken => panic!("the result was taken before"),
        }
    }
}

impl<O> Drop for Handle<O> {
    fn drop(&mut self) {
        self.cancel();
    }
}

impl<O> fmt::Debug for Handle<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").finish_non_exhaustive()
    }
}
