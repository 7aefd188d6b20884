//! A queue: items that are submitted one at a time, from anywhere in the program, and share chunks.

mod core;
mod gather;
mod handle;
mod measures;
mod run;
mod submission;

use std::{fmt, io, sync::Arc, thread, time::Duration};

pub use handle::Handle;
pub use measures::QueueReport;
pub use submission::{Full, Submission};

use crate::{
    bulk::{
        job::drivers,
        queue::core::{Core, Submit},
        runner::Choice,
        settings::Settings,
        stages::Stages,
    },
    error::{Error, Result},
    threads::{
        panics::{self, lock},
        pool::Pool,
    },
};

/// Submits single items to a model and batches those that arrive within a short time of one
/// another.
///
/// `I` is an item, `O` a result. Made by [`Bulk::queue`](super::Bulk::queue). An item waits at most
/// the longest wait for others, then for its turn on a worker. Dropping the queue lets submitted
/// items run to their end.
pub struct Queue<I, O> {
    core: Arc<dyn Submit<I, O>>,
    longest_wait: Duration,
}

impl<I: Send + 'static, O: Send> Queue<I, O> {
    pub(in crate::bulk) fn new<S: Stages<I, Output = O> + 'static>(
        model: Choice<S>,
        pool: Arc<Pool>,
        settings: Settings,
        longest_wait: Duration,
    ) -> Result<Self> {
        panics::keep_backtraces();
        let core = Arc::new(Core::new(model, pool, settings, longest_wait));
        // If a thread cannot be started the queue is dropped, which ends the threads before it.
        let queue = Self { core: core.clone(), longest_wait };
        let started =
            |started: io::Result<()>| started.map_err(|error| Error::io(error, "starting a thread of a queue"));
        let drivers = drivers::wanted(lock(&core.state).current.1.model());
        for number in 0..drivers {
            lock(&core.state).drivers.enter();
            started(core.start_driver(number))?;
        }
        started(thread::Builder::new().name("mill-queue".into()).spawn(move || core.gather()).map(drop))?;
        Ok(queue)
    }

    /// Submits an item.
    ///
    /// Returns at once, unless as many items are unanswered as
    /// [`queue_limit`](super::Bulk::queue_limit) allows, or hold as many bytes as the
    /// [`memory_limit`](super::Bulk::memory_limit): then it blocks until there is room. A worker of
    /// the pool does some of its work meanwhile.
    pub fn submit(&self, item: I) -> Handle<O> {
        Arc::clone(&self.core).submit(item)
    }

    /// Submits an item if there is room for it, without blocking.
    ///
    /// A service answers what is handed back with 429, or tries again later.
    ///
    /// # Errors
    /// [`Full`] with the item, if [`submit`](Self::submit) would block.
    pub fn try_submit(&self, item: I) -> Result<Handle<O>, Full<I>> {
        Arc::clone(&self.core).try_submit(item).map_err(Full)
    }

    /// Submits an item once there is room for it, without blocking: a future of its handle, which
    /// is itself the future of the result.
    ///
    /// Tasks that wait for room get it in no particular order.
    pub fn submit_async(&self, item: I) -> Submission<'_, I, O> {
        Submission::new(&self.core, item)
    }

    /// Items that are submitted and not answered.
    pub fn len(&self) -> usize {
        self.core.load().0
    }

    /// Whether every item that was submitted is answered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How long the oldest item that is not answered has waited; `None` if all are answered.
    pub fn age(&self) -> Option<Duration> {
        self.core.load().1
    }

    /// What the queue did so far and holds now: numbers for metrics.
    pub fn report(&self) -> QueueReport {
        self.core.report()
    }
}

impl<I, O> Drop for Queue<I, O> {
    fn drop(&mut self) {
        self.core.close();
    }
}

impl<I, O> fmt::Debug for Queue<I, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue").field("longest_wait", &self.longest_wait).finish_non_exhaustive()
    }
}
