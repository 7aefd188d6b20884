//! A model with the settings to run it in bulk.

use std::{
    error::Error as StdError,
    fmt,
    sync::{Arc, OnceLock},
    time::Duration,
};

use crate::{
    bulk::{
        cancel::CancelToken,
        hot::Hot,
        job::{
            intake::{FallibleItems, Items},
            pooled::Pooled,
            running::Running,
        },
        queue::Queue,
        results::{Results, UnorderedResults},
        settings::{OnError, Progress, Settings},
        stages::{Plain, Staged, Stages},
    },
    error::Result,
    inference::{Inference, Pipeline},
    threads::pool::{Pool, pool},
};

/// A model with the settings to run it in bulk: any number of jobs, also at the same time.
///
/// Chunk sizes are chosen from the durations of a job's first chunks, unless you fix them. All
/// `Bulk`s of one worker count share one pool, whose threads are named `mill-worker-0`,
/// `mill-worker-1`, ... Jobs, queues and callers of one pool take turns from chunk to chunk, by
/// their [`share`](Self::share).
///
/// A clone runs the same model. Settings of one job alone are set on a clone:
///
/// ```
/// # use std::time::Duration;
/// use gristmill::{bulk::{Bulk, CancelToken}, from_fn};
/// let squares = Bulk::new(from_fn(|number: &u64| Ok(number * number)));
/// let token = CancelToken::new();
/// let job = squares.clone().cancel(token.clone()).deadline(Duration::from_secs(60)).map(0..1000);
/// # assert_eq!(job.count(), 1000);
/// ```
pub struct Bulk<S> {
    pub(in crate::bulk) model: Choice<S>,
    pub(in crate::bulk) settings: Settings,
    pub(in crate::bulk) pool: OnceLock<Arc<Pool>>,
}

impl<S> Clone for Bulk<S> {
    fn clone(&self) -> Self {
        Self { model: self.model.clone(), settings: self.settings.clone(), pool: self.pool.clone() }
    }
}

/// Which model a job runs.
pub(in crate::bulk) enum Choice<S> {
    /// The same one in every job.
    Fixed(Arc<S>),
    /// The version that is current when the job starts.
    Hot(Arc<Hot<S>>),
    /// One that is made for each job, and for each version of what it is made of.
    #[cfg(feature = "cache")]
    Made { make: Arc<dyn Fn() -> Arc<S> + Send + Sync>, version: Arc<dyn Fn() -> u64 + Send + Sync> },
}

impl<S> Clone for Choice<S> {
    fn clone(&self) -> Self {
        match self {
            Self::Fixed(stages) => Self::Fixed(Arc::clone(stages)),
            Self::Hot(hot) => Self::Hot(Arc::clone(hot)),
            #[cfg(feature = "cache")]
            Self::Made { make, version } => Self::Made { make: Arc::clone(make), version: Arc::clone(version) },
        }
    }
}

impl<S: Staged> Choice<S> {
    pub(in crate::bulk) fn stages(&self) -> Arc<S> {
        match self {
            Choice::Fixed(stages) => Arc::clone(stages),
            Choice::Hot(hot) => hot.current(),
            #[cfg(feature = "cache")]
            Choice::Made { make, .. } => make(),
        }
    }

    /// The version of what [`stages`](Self::stages) returns now.
    pub(in crate::bulk) fn version(&self) -> u64 {
        match self {
            Choice::Fixed(_) => 1,
            Choice::Hot(hot) => hot.version(),
            #[cfg(feature = "cache")]
            Choice::Made { version, .. } => version(),
        }
    }
}

impl<M: Inference> Bulk<Plain<M>> {
    /// Runs `model`; an item is its input.
    pub fn new(model: M) -> Self {
        Self::of(Choice::Fixed(Arc::new(Plain(model))))
    }
}

impl<T: ?Sized, M: Inference<Input: Sized>, R: Send> Bulk<Pipeline<T, M, R>> {
    /// Runs `pipeline`, its steps item by item on the workers: each item is prepared and finished
    /// once.
    pub fn pipeline(pipeline: impl Into<Arc<Pipeline<T, M, R>>>) -> Self {
        Self::of(Choice::Fixed(pipeline.into()))
    }
}

impl<S: Staged> Bulk<S> {
    fn of(model: Choice<S>) -> Self {
        Self { model, settings: Settings::default(), pool: OnceLock::new() }
    }

    /// Sets the number of worker threads.
    ///
    /// By default there are as many as the machine, its quotas and the process's affinity allow.
    #[must_use]
    pub fn workers(mut self, workers: usize) -> Self {
        self.settings.workers = Some(workers);
        self.pool = OnceLock::new();
        self
    }

    /// Fixes the number of items in a chunk; a sorted window's last chunk may have fewer.
    #[must_use]
    pub fn chunk_size(mut self, items: usize) -> Self {
        self.settings.chunk_size = Some(items);
        self
    }

    /// Limits the cost of a chunk, in the unit of [`Inference::cost`]; an item that costs more runs
    /// alone.
    #[must_use]
    pub fn max_chunk_cost(mut self, cost: u64) -> Self {
        self.settings.max_chunk_cost = Some(cost);
        self
    }

    /// Fixes how many consecutive items are sorted by cost and cut into chunks together.
    ///
    /// Up to four times as many are in flight.
    #[must_use]
    pub fn window(mut self, items: usize) -> Self {
        self.settings.window = Some(items);
        self
    }

    /// Limits the bytes that a job holds; 512 MiB by default.
    ///
    /// These are items, prepared inputs and results that wait to be taken, as
    /// [`Inference::input_bytes`] and [`Inference::output_bytes`] count them, and what workers hold
    /// to run chunks, by [`Hints::scratch_bytes`](crate::Hints::scratch_bytes), which counts for at
    /// most half of the limit. The oldest item always proceeds; one that exceeds the limit runs
    /// alone.
    #[must_use]
    pub fn memory_limit(mut self, bytes: usize) -> Self {
        self.settings.memory_limit = bytes;
        self
    }

    /// Limits the items of a queue that are submitted and not answered; no limit by default.
    ///
    /// See [`Queue::submit`] and [`Queue::try_submit`]. The limit in bytes is
    /// [`memory_limit`](Self::memory_limit).
    #[must_use]
    pub fn queue_limit(mut self, items: usize) -> Self {
        self.settings.queue_limit = items.max(1);
        self
    }

    /// Sets what to do about items that fail.
    #[must_use]
    pub fn on_error(mut self, policy: OnError) -> Self {
        self.settings.on_error = policy;
        self
    }

    /// Lets `token` stop the jobs of this `Bulk` and of its clones, running and future ones.
    ///
    /// It takes the place of an earlier token.
    #[must_use]
    pub fn cancel(mut self, token: CancelToken) -> Self {
        self.settings.cancel = token;
        self
    }

    /// Stops each job this long after its first pull, as a [`CancelToken`] does.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.settings.deadline = Some(deadline);
        self
    }

    /// Calls `call` with a job's progress about ten times a second and at its end, on the
    /// consumer's thread.
    #[must_use]
    pub fn progress(mut self, call: impl Fn(&Progress) + Send + Sync + 'static) -> Self {
        self.settings.progress = Some(Arc::new(call));
        self
    }

    /// Sets the share of the workers' time while several jobs, queues and callers want it; 1 by
    /// default for a job, 8 for a queue.
    ///
    /// A job with the share 3 gets three times the time of a job with the share 1 beside it. Alone,
    /// each gets all. Turns change between chunks, and of two whose turn it may be, the larger share
    /// goes first. [`Session::run`](crate::Session::run) has the share of a queue.
    #[must_use]
    pub fn share(mut self, share: u32) -> Self {
        self.settings.share = Some(share);
        self
    }

    /// Sets how long a chunk may take while others want the workers; 20 ms by default.
    ///
    /// Chunks are cut for this time by what chunks have taken so far. An item that takes longer is a
    /// chunk of its own, and a [`chunk_size`](Self::chunk_size) stays as it is.
    #[must_use]
    pub fn turn_time(mut self, time: Duration) -> Self {
        self.settings.turn_time = time;
        self
    }

    /// Runs the version of `hot` that is current when a job starts, until that job ends.
    pub fn hot(hot: Arc<Hot<S>>) -> Self {
        Self::of(Choice::Hot(hot))
    }

    /// The stages that a job which starts now runs.
    pub(in crate::bulk) fn stages(&self) -> Arc<S> {
        self.model.stages()
    }

    pub(in crate::bulk) fn pool(&self) -> Result<Arc<Pool>> {
        if let Some(pool) = self.pool.get() {
            return Ok(Arc::clone(pool));
        }
        let pool = pool(self.settings.workers)?;
        Ok(Arc::clone(self.pool.get_or_init(|| pool)))
    }

    pub(in crate::bulk) fn job<I, C>(&self, ordered: bool, intake: C) -> Result<Pooled<S, I, C>>
    where
        S: Stages<I>,
    {
        Ok(Pooled::new(self.stages(), self.pool()?, self.settings.clone(), ordered, intake))
    }

    /// Runs `items` and returns the results lazily, in order.
    ///
    /// Items are pulled on the thread that calls `next`, as far ahead as keeps the workers busy and
    /// memory bounded; the source may be endless. Dropping the iterator stops the work.
    pub fn map<It>(&self, items: It) -> Results<S::Output, It::IntoIter>
    where
        It: IntoIterator<Item: Send + 'static>,
        S: Stages<It::Item> + 'static,
    {
        Results::new(Running::new(self.job(true, Items), items.into_iter()))
    }

    /// [`map`](Self::map) for a source that may return an error instead of an item.
    ///
    /// It becomes the error of its index, at [`Stage::Read`](crate::Stage::Read).
    pub fn map_results<It, I, E>(&self, items: It) -> Results<S::Output, It::IntoIter>
    where
        It: IntoIterator<Item = Result<I, E>>,
        I: Send + 'static,
        E: Into<Box<dyn StdError + Send + Sync>>,
        S: Stages<I> + 'static,
    {
        Results::new(Running::new(self.job(true, FallibleItems), items.into_iter()))
    }

    /// [`map`](Self::map) in order of completion, each result with the index of its item.
    pub fn map_unordered<It>(&self, items: It) -> UnorderedResults<S::Output, It::IntoIter>
    where
        It: IntoIterator<Item: Send + 'static>,
        S: Stages<It::Item> + 'static,
    {
        UnorderedResults::new(Running::new(self.job(false, Items), items.into_iter()))
    }

    /// Opens a queue for items that are submitted one at a time, from any thread.
    ///
    /// Items that are submitted within `longest_wait` of one another share a chunk. The queue has a
    /// thread of its own, `mill-queue`, which only waits.
    ///
    /// A queue uses [`workers`](Self::workers), [`chunk_size`](Self::chunk_size),
    /// [`max_chunk_cost`](Self::max_chunk_cost), [`memory_limit`](Self::memory_limit),
    /// [`queue_limit`](Self::queue_limit), [`share`](Self::share), [`turn_time`](Self::turn_time)
    /// and [`cancel`](Self::cancel). It has no order and no end, so [`window`](Self::window),
    /// [`on_error`](Self::on_error), [`deadline`](Self::deadline) and [`progress`](Self::progress)
    /// have no effect: an item's error is returned by its [`Handle`](super::Handle), which can also
    /// cancel the item.
    ///
    /// A queue made from a [`Hot`] model runs each chunk by the version that is current when the
    /// chunk is gathered: an item submitted after a `reload` is answered by the new version.
    ///
    /// # Errors
    /// If a thread cannot be started.
    pub fn queue<I>(&self, longest_wait: Duration) -> Result<Queue<I, S::Output>>
    where
        I: Send + 'static,
        S: Stages<I> + 'static,
    {
        Queue::new(self.model.clone(), self.pool()?, self.settings.clone(), longest_wait)
    }
}

impl<S> fmt::Debug for Bulk<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bulk").finish_non_exhaustive()
    }
}
