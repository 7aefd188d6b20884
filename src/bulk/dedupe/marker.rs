//! Marks the items of a deduplicated job as they are pulled, and copies results to equal items.

use std::{
    collections::VecDeque,
    hash::Hash,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use crate::{
    bulk::{
        dedupe::{distinct::Equals, once::Marked, store::Store},
        job::{intake::Intake, results::Numbered},
        stages::{Staged, Stages},
    },
    error::{Context, ItemError, Result},
    threads::panics::{self, lock},
};

/// The key of an item: items with equal keys count as equal.
pub(in crate::bulk) type Key<T, K> = Arc<dyn Fn(&T) -> K + Send + Sync>;

/// What both ends of a deduplicated job share: its source and its consumer.
pub(in crate::bulk) struct Marker<S: Staged, K> {
    stages: Arc<S>,
    key: Key<S::Item, K>,
    store: Mutex<Store<K, S::Output>>,
    /// Items pulled.
    pulled: AtomicUsize,
}

impl<S: Staged<Output: Clone>, K: Hash + Eq> Marker<S, K> {
    pub(in crate::bulk) fn new(stages: Arc<S>, key: Key<S::Item, K>, kept_bytes: usize) -> Self {
        Self { stages, key, store: Mutex::new(Store::new(kept_bytes)), pulled: AtomicUsize::new(0) }
    }
}

/// The intake of a deduplicated job, after that of its source.
pub(in crate::bulk) struct Marking<S: Staged, K, C> {
    pub(in crate::bulk) marker: Arc<Marker<S, K>>,
    pub(in crate::bulk) intake: C,
}

impl<T, S, K, C> Intake<T> for Marking<S, K, C>
where
    C: Intake<T>,
    S: Stages<C::Item, Output: Clone>,
    K: Hash + Eq + Send + Sync,
{
    type Item = Marked<C::Item>;

    fn take(&self, given: T) -> Result<Marked<C::Item>> {
        let marker = &self.marker;
        let index = marker.pulled.fetch_add(1, Relaxed);
        let item = self.intake.take(given)?;
        let keyed = panics::catch(|| {
            let borrowed = marker.stages.item(&item);
            Ok(((marker.key)(borrowed), marker.stages.item_bytes(borrowed)))
        });
        let (key, bytes) = keyed.context(|| "the key of the item".into())?;
        Ok(if lock(&marker.store).see(index, key, bytes) { Marked::First(item) } else { Marked::Again })
    }
}

impl<S, K> Equals<S::Output> for Marker<S, K>
where
    S: Staged<Output: Clone>,
    K: Hash + Eq + Send + Sync,
{
    fn resolve(
        &self,
        index: usize,
        result: Result<Option<S::Output>, ItemError>,
        ready: &mut VecDeque<Numbered<S::Output>>,
    ) -> Option<Result<S::Output, ItemError>> {
        let mut store = lock(&self.store);
        let result = match result {
            Ok(Some(output)) => Ok(output),
            Ok(None) => return store.repeat(index),
            Err(error) => Err(error),
        };
        // An item that equals an earlier one has an error of its own only if it was cut off.
        if !store.forget(index) {
            let bytes = result.as_ref().map_or(0, |output| self.stages.output_bytes(output));
            for early in store.finished(index, &result, bytes) {
                ready.extend(store.repeat(early).map(|result| (early, result)));
            }
        }
        Some(result)
    }

    fn clear(&self) {
        // The results are dropped without the lock: they are the caller's values.
        let stored = std::mem::replace(&mut *lock(&self.store), Store::new(0));
        drop(stored);
    }
}
