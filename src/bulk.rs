//! Bulk jobs: a great many items through one model, every core busy, results in order.
//!
//! ```
//! use gristmill::{bulk::Bulk, from_fn};
//! let squares = Bulk::new(from_fn(|number: &u64| Ok(number * number)));
//! let mut results = squares.map(0..1000);
//! let sum: u64 = results.by_ref().map(Result::unwrap).sum();
//! assert_eq!(sum, 332_833_500);
//! assert_eq!(results.report().items, 1000);
//! ```

#[cfg(feature = "cache")]
mod cache;
mod cancel;
mod dedupe;
mod hot;
mod job;
mod queue;
mod report;
mod results_iter;
mod settings;
mod stages;
#[cfg(feature = "stream")]
mod stream;
mod sync;

use std::{
    borrow::Borrow,
    error::Error as StdError,
    fmt,
    sync::{Arc, OnceLock},
    thread,
    time::Duration,
};

use rayon::{Scope, ThreadPool};

#[cfg(feature = "cache")]
pub use cache::{Cache, CacheKey, CacheValue, Cached, KeyHasher};
pub use cancel::CancelToken;
pub use dedupe::{Deduped, DistinctMap, DistinctUnordered, Marked, Once};
pub use hot::Hot;
pub use hot::publish::{publish, publish_folder, read_published};
use job::feed::Feed;
use job::{Crew, Job, Launch};
pub use queue::{Handle, Queue};
pub use report::{DeviceItems, Report, SlowItem, Spread};
pub use results_iter::{Fallible, Map, Sound, Unordered};
use results_iter::{Pooled, lend_a_hand};
use settings::Settings;
pub use settings::{OnError, Progress};
pub use stages::{Plain, Ready, Staged, Stages};
#[cfg(feature = "stream")]
pub use stream::ResultStream;

use crate::{
    error::{Error, ItemError, Result, Stage},
    inference::{Inference, Pipeline},
    threads,
};

/// Runs `items` through `model` and gives the results in order, with everything chosen automatically; see
/// [`Bulk::map`].
pub fn map<M, It>(model: M, items: It) -> Map<Plain<M>, It::Item, Sound<It::IntoIter>>
where
    M: Inference + 'static,
    It: IntoIterator<Item: Borrow<M::Input> + Send + 'static>,
{
    Bulk::new(model).map(items)
}

/// A model with the way to run it in bulk: any number of jobs, at the same time if you like, on one pool of workers.
///
/// Chunk sizes are chosen for you, from what the first chunks of a job took, unless you choose them. All
/// `Bulk`s of one worker count share one pool, whose threads are named `mill-worker-0`, `mill-worker-1`, ...
pub struct Bulk<S> {
    model: Choice<S>,
    settings: Settings,
    pool: OnceLock<Arc<ThreadPool>>,
}

/// Which model a job takes.
enum Choice<S> {
    Fixed(Arc<S>),
    /// The one that is current when the job starts.
    Hot(Arc<Hot<S>>),
    /// One of its own for each job.
    #[cfg(feature = "cache")]
    Made(Arc<dyn Fn() -> Arc<S> + Send + Sync>),
}

impl<S: Staged> Choice<S> {
    fn stages(&self) -> Arc<S> {
        match self {
            Choice::Fixed(stages) => Arc::clone(stages),
            Choice::Hot(hot) => hot.current(),
            #[cfg(feature = "cache")]
            Choice::Made(make) => make(),
        }
    }
}

impl<M: Inference> Bulk<Plain<M>> {
    /// Runs `model`, an item being its input.
    pub fn new(model: M) -> Self {
        Self::of(Choice::Fixed(Arc::new(Plain(model))))
    }
}

impl<T: ?Sized, M: Inference<Input: Sized>, R: Send> Bulk<Pipeline<T, M, R>> {
    /// Runs `pipeline`, its steps item by item on the workers: each item is prepared once, and finished once.
    pub fn pipeline(pipeline: impl Into<Arc<Pipeline<T, M, R>>>) -> Self {
        Self::of(Choice::Fixed(pipeline.into()))
    }
}

impl<S: Staged> Bulk<S> {
    fn of(model: Choice<S>) -> Self {
        Self { model, settings: Settings::default(), pool: OnceLock::new() }
    }

    /// How many threads work; without it, as many as the machine, its quotas and the process's affinity allow.
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

    /// Caps the cost of a chunk, in the unit of [`Inference::cost`]; an item that costs more runs alone.
    #[must_use]
    pub fn max_chunk_cost(mut self, cost: u64) -> Self {
        self.settings.max_chunk_cost = Some(cost);
        self
    }

    /// Fixes how many consecutive items are sorted by cost and cut together; up to four times as many are in
    /// flight.
    #[must_use]
    pub fn window(mut self, items: usize) -> Self {
        self.settings.window = Some(items);
        self
    }

    /// Caps the bytes that a job holds; 512 MiB without it: items, prepared inputs and results that wait to be taken, as
    /// [`Inference::input_bytes`] and [`Inference::output_bytes`] count them, and what the workers hold to run chunks, by
    /// [`Hints::scratch_bytes`](crate::Hints::scratch_bytes), which takes at most half of it. The oldest item always goes ahead, and one that is
    /// larger than the limit goes alone.
    #[must_use]
    pub fn memory_limit(mut self, bytes: usize) -> Self {
        self.settings.memory_limit = bytes;
        self
    }

    /// What to do about items that fail.
    #[must_use]
    pub fn on_error(mut self, policy: OnError) -> Self {
        self.settings.on_error = policy;
        self
    }

    /// Lets `token` stop this `Bulk`'s jobs, running and future ones.
    #[must_use]
    pub fn cancel(mut self, token: CancelToken) -> Self {
        self.settings.cancel = token;
        self
    }

    /// Stops each job this long after its first pull, as a [`CancelToken`] would.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.settings.deadline = Some(deadline);
        self
    }

    /// Has `call` told how far a job has come, some ten times a second and at its end, on the consumer's thread.
    #[must_use]
    pub fn progress(mut self, call: impl Fn(&Progress) + Send + Sync + 'static) -> Self {
        self.settings.progress = Some(Arc::new(call));
        self
    }

    /// Runs whatever version of `hot` is current when a job starts, and that version to the job's end.
    pub fn hot(hot: Arc<Hot<S>>) -> Self {
        Self::of(Choice::Hot(hot))
    }

    /// The stages that a job which starts now would run, held as long as the caller likes.
    fn stages(&self) -> Arc<S> {
        self.model.stages()
    }

    fn pool(&self) -> Result<Arc<ThreadPool>> {
        if let Some(pool) = self.pool.get() {
            return Ok(Arc::clone(pool));
        }
        let pool = threads::pool::pool(self.settings.workers)?;
        Ok(Arc::clone(self.pool.get_or_init(|| pool)))
    }

    fn job<I>(&self, ordered: bool) -> Result<Pooled<S, I>>
    where
        S: Stages<I>,
    {
        Ok(Pooled::new(self.stages(), self.pool()?, self.settings.clone(), ordered))
    }

    /// Runs `items` and gives the results lazily, in order.
    ///
    /// Items are pulled on the thread that calls `next`, as far ahead as keeps the workers busy and
    /// memory bounded; the source may be endless. Dropping the iterator stops the work.
    pub fn map<It>(&self, items: It) -> Map<S, It::Item, Sound<It::IntoIter>>
    where
        It: IntoIterator<Item: Send + 'static>,
        S: Stages<It::Item> + 'static,
    {
        Map::new(self.job(true), Sound(items.into_iter()))
    }

    /// [`map`](Self::map) for a source that may give an error instead of an item: that becomes the error of its
    /// index, at [`Stage::Read`].
    pub fn map_results<It, I, E>(&self, items: It) -> Map<S, I, Fallible<It::IntoIter>>
    where
        It: IntoIterator<Item = Result<I, E>>,
        I: Send + 'static,
        E: Into<Box<dyn StdError + Send + Sync>>,
        S: Stages<I> + 'static,
    {
        Map::new(self.job(true), Fallible(items.into_iter()))
    }

    /// [`map`](Self::map) in the order of completion, each result with its item's index.
    pub fn map_unordered<It>(&self, items: It) -> Unordered<S, It::Item, Sound<It::IntoIter>>
    where
        It: IntoIterator<Item: Send + 'static>,
        S: Stages<It::Item> + 'static,
    {
        Unordered::new(self.job(false), Sound(items.into_iter()))
    }

    /// Opens a queue for items that come one at a time, from any thread: those that come within `longest_wait` of
    /// one another share a chunk. The queue has a thread of its own, `mill-queue`, which only waits.
    ///
    /// Of the settings it keeps [`workers`](Self::workers), [`chunk_size`](Self::chunk_size),
    /// [`max_chunk_cost`](Self::max_chunk_cost), [`memory_limit`](Self::memory_limit) and [`cancel`](Self::cancel). The
    /// others are a job's, which has an order, an end and a report: [`window`](Self::window),
    /// [`on_error`](Self::on_error), [`deadline`](Self::deadline) and [`progress`](Self::progress) do nothing here; an
    /// item's error is its [`Handle`]'s, which can also cancel it.
    ///
    /// # Errors
    /// If a thread cannot be started.
    pub fn queue<I>(&self, longest_wait: Duration) -> Result<Queue<S, I>>
    where
        I: Send + 'static,
        S: Stages<I> + 'static,
    {
        Queue::new(self.stages(), self.pool()?, self.settings.clone(), longest_wait)
    }

    /// Runs borrowed items, uncopied, and comes back when all are done: one result for each item, in order.
    ///
    /// Errors stand in their items' places under [`OnError::Skip`] too; items that an early end left out have an
    /// error of kind [`ErrorKind::Cancelled`](crate::ErrorKind::Cancelled).
    pub fn run<'i, I>(&self, items: &'i [I]) -> (Vec<Result<S::Output, ItemError>>, Report)
    where
        I: Borrow<<S as Staged>::Item>,
        <S as Staged>::Item: Sync + 'i,
        S: Stages<&'i <S as Staged>::Item>,
    {
        let mut bulk_settings = self.settings.clone();
        if bulk_settings.on_error == OnError::Skip {
            bulk_settings.on_error = OnError::default();
        }
        let pool = match self.pool() {
            Ok(pool) => pool,
            Err(error) => return (fill(Vec::new(), items.len(), &error.to_string()), Report::default()),
        };
        let job = Job::new(self.stages(), pool.current_num_threads(), bulk_settings, true);
        let mut results = Vec::with_capacity(items.len());
        let report = pool.in_place_scope(|scope| {
            thread::scope(|threads| {
                let crew = Scoped { job: &job, pool: &pool, scope };
                // However this ends, the drivers and the pumps end too, and the scopes with them.
                let _stop = StopOnDrop(&job);
                job.start_drivers(|number| {
                    job::drivers::thread(number).spawn_scoped(threads, move || crew.job.drive(number, &crew)).map(drop)
                });
                let mut feed = Feed::new(Sound(items.iter().map(Borrow::borrow)));
                while let Some((_, result)) = feed.ready().or_else(|| feed.next(&job, &crew)) {
                    results.push(result);
                }
                feed.report(&job)
            })
        });
        let why = report.notes.last().map_or("an error ended the job", String::as_str);
        (fill(results, items.len(), why), report)
    }
}

/// Gives the items that were not reached an error that says why.
fn fill<O>(mut results: Vec<Result<O, ItemError>>, len: usize, why: &str) -> Vec<Result<O, ItemError>> {
    for index in results.len()..len {
        let source = Error::new(crate::error::ErrorKind::Cancelled, why);
        results.push(Err(ItemError { index, stage: Stage::Read, source }));
    }
    results
}

/// Workers that run borrowed items inside a scope.
struct Scoped<'a, 's, S: Stages<I>, I> {
    job: &'s Job<S, I>,
    pool: &'s ThreadPool,
    scope: &'a Scope<'s>,
}

impl<S: Stages<I>, I> Clone for Scoped<'_, '_, S, I> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S: Stages<I>, I> Copy for Scoped<'_, '_, S, I> {}

impl<S: Stages<I>, I: Send> Crew for Scoped<'_, '_, S, I> {
    fn launch(&self, kind: Launch) {
        let (job, pool) = (self.job, self.pool);
        match kind {
            Launch::Turn => self.scope.spawn(move |scope| job.turn(&Scoped { job, pool, scope })),
            Launch::Probe => self.scope.spawn_broadcast(move |scope, _| job.probe(&Scoped { job, pool, scope })),
        }
    }

    fn lend_a_hand(&self) -> bool {
        lend_a_hand(self.pool)
    }
}

struct StopOnDrop<'j, S: Stages<I>, I>(&'j Job<S, I>);

impl<S: Stages<I>, I> Drop for StopOnDrop<'_, S, I> {
    fn drop(&mut self) {
        self.0.stop(None);
    }
}

impl<S> fmt::Debug for Bulk<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bulk").finish_non_exhaustive()
    }
}
