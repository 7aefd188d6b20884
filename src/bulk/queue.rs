//! A queue: items that are submitted one at a time, from anywhere in the program, and share chunks.

mod core;
mod gather;
mod handle;
mod run;

use std::{fmt, io, sync::Arc, thread, time::Duration};

pub use handle::Handle;
use rayon::ThreadPool;

use crate::{
    bulk::{
        job::drivers,
        queue::core::{Core, Submit},
        settings::Settings,
        stages::Stages,
    },
    error::{Error, Result},
    threads::panics::{self, lock},
};

/// Submits single items to a model and batches those that arrive within a short time of one
/// another.
///
/// `I` is an item, `O` a result. Made by [`Bulk::queue`](super::Bulk::queue). An item waits at most
/// the longest wait for others, then for a free worker. Dropping the queue lets submitted items run
/// to their end.
pub struct Queue<I, O> {
    core: Arc<dyn Submit<I, O>>,
    longest_wait: Duration,
}

impl<I: Send + 'static, O: Send> Queue<I, O> {
    pub(in crate::bulk) fn new<S: Stages<I, Output = O> + 'static>(
        stages: Arc<S>,
        pool: Arc<ThreadPool>,
        settings: Settings,
        longest_wait: Duration,
    ) -> Result<Self> {
        panics::keep_backtraces();
        let drivers = drivers::wanted(stages.model());
        let core = Arc::new(Core::new(stages, pool, settings, longest_wait));
        // If a thread cannot be started the queue is dropped, which ends the threads before it.
        let queue = Self { core: core.clone(), longest_wait };
        let started = |thread: io::Result<thread::JoinHandle<()>>| {
            thread.map(drop).map_err(|error| Error::io(error, "starting a thread of a queue"))
        };
        for number in 0..drivers {
            lock(&core.state).drivers.enter();
            let task = Arc::clone(&core);
            started(drivers::thread(number).spawn(move || task.drive()))?;
        }
        started(thread::Builder::new().name("mill-queue".into()).spawn(move || core.gather()))?;
        Ok(queue)
    }

    /// Submits an item.
    ///
    /// Returns at once, unless the items in flight hold as many bytes as the memory limit allows:
    /// then it blocks until there is room. A worker of the pool does some of its work meanwhile.
    pub fn submit(&self, item: I) -> Handle<O> {
        Arc::clone(&self.core).submit(item)
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
