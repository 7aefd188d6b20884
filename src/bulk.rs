//! Bulk jobs: many items through one model, every core busy, results in order.
//!
//! ```
//! use gristmill::{bulk::Bulk, from_fn};
//! let squares = Bulk::new(from_fn(|number: &u64| Ok(number * number)));
//! let mut results = squares.map(0..1000);
//! let sum: u64 = results.by_ref().map(Result::unwrap).sum();
//! assert_eq!(sum, 332_833_500);
//! assert_eq!(results.report().items, 1000);
//! ```

//!
//! # Shares
//!
//! Jobs, queues and single runs of one pool take turns. Whose turn it is follows from the time that
//! each has used, divided by its [share](Bulk::share): a job with twice the share of another gets
//! twice its time while both have work, and all of it otherwise. A turn is one chunk, or half a
//! millisecond of preparing items. Chunks are cut for at most [`turn_time`](Bulk::turn_time) while
//! others want the workers, so a request of a [`Queue`] waits about that long for a worker, and then
//! goes first: its share is 8 by default, that of a job 1.
//!
//! # Services
//!
//! A [`Queue`] gathers single items, from any thread or task, into chunks.
//! [`Queue::try_submit`] hands an item back instead of waiting for room, [`Queue::submit_async`]
//! waits as a future, and [`Queue::report`] has numbers for metrics. `examples/serve` is a web
//! service over a queue with a bulk job beside it.

#[cfg(feature = "cache")]
pub(crate) mod cache;
mod cancel;
mod dedupe;
mod hot;
mod job;
#[cfg(feature = "hugging-face")]
mod jobs;
mod queue;
mod report;
mod results;
mod runner;
mod scoped;
mod settings;
mod stages;
#[cfg(feature = "stream")]
mod stream;

use std::borrow::Borrow;

#[cfg(feature = "cache")]
pub use cache::{Cache, CacheKey, CacheValue, Cached, KeyHasher};
pub use cancel::CancelToken;
pub use dedupe::Deduped;
pub use hot::{
    Hot,
    publish::{publish, publish_folder, read_published},
};
#[cfg(feature = "hugging-face")]
pub(crate) use jobs::Jobs;
pub use queue::{Full, Handle, Queue, QueueReport, Submission};
#[cfg(feature = "files")]
pub(crate) use report::failures::Failures;
pub use report::{DeviceItems, Percentiles, Report, SlowItem, Spread};
pub use results::{Results, UnorderedResults};
pub use runner::Bulk;
pub use settings::{OnError, Progress};
#[doc(hidden)]
pub use stages::Ready;
pub use stages::{Plain, Staged, Stages};
#[cfg(feature = "stream")]
pub use stream::ResultStream;

use crate::{inference::Inference, threads::sync};

/// Runs `items` through `model` with automatic settings, and returns the results in order; see
/// [`Bulk::map`].
pub fn map<M, It>(model: M, items: It) -> Results<M::Output, It::IntoIter>
where
    M: Inference + 'static,
    It: IntoIterator<Item: Borrow<M::Input> + Send + 'static>,
{
    Bulk::new(model).map(items)
}
