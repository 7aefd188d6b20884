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

#[cfg(feature = "cache")]
pub(crate) mod cache;
mod cancel;
mod dedupe;
mod hot;
mod job;
mod queue;
mod report;
mod results;
mod runner;
mod scoped;
mod settings;
mod stages;
#[cfg(feature = "stream")]
mod stream;
mod sync;

use std::borrow::Borrow;

#[cfg(feature = "cache")]
pub use cache::{Cache, CacheKey, CacheValue, Cached, KeyHasher};
pub use cancel::CancelToken;
pub use dedupe::Deduped;
pub use hot::{
    Hot,
    publish::{publish, publish_folder, read_published},
};
pub use queue::{Handle, Queue};
pub use report::{DeviceItems, Report, SlowItem, Spread};
pub use results::{Results, UnorderedResults};
pub use runner::Bulk;
pub use settings::{OnError, Progress};
#[doc(hidden)]
pub use stages::Ready;
pub use stages::{Plain, Staged, Stages};
#[cfg(feature = "stream")]
pub use stream::ResultStream;

use crate::inference::Inference;

/// Runs `items` through `model` with automatic settings, and returns the results in order; see
/// [`Bulk::map`].
pub fn map<M, It>(model: M, items: It) -> Results<M::Output, It::IntoIter>
where
    M: Inference + 'static,
    It: IntoIterator<Item: Borrow<M::Input> + Send + 'static>,
{
    Bulk::new(model).map(items)
}
