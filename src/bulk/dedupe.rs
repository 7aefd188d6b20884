//! Equal items of a job run once.
//!
//! The job below sees every item, so order, windows and memory work as ever; but of equal items only the first comes
//! as itself. The others come as a mark, whose result is known to be somebody else's without running, and get that
//! result here, on the consumer's side.

mod distinct;
mod once;
mod store;

use std::{
    borrow::Borrow,
    collections::{HashMap, VecDeque},
    error::Error as StdError,
    fmt,
    hash::Hash,
    marker::PhantomData,
    sync::{Arc, Mutex},
};

use distinct::{Distinct, Marking};
pub use distinct::{DistinctMap, DistinctUnordered};
pub use once::{Marked, Once};
use store::{Store, copy};

use crate::{
    bulk::{
        job::pooled::Pooled,
        report::Report,
        results_iter::{Fallible, Running, Sound},
        runner::Bulk,
        scoped::fill,
        settings::OnError,
        stages::{Staged, Stages},
    },
    error::{ItemError, Result},
    threads::panics,
};

impl<S: Staged> Bulk<S> {
    /// Has equal items of a job run once: each gets the result of the first, its error too, in its own place.
    ///
    /// Memory stays within [`memory_limit`](Self::memory_limit): a quarter of it holds finished results, those used
    /// last; an item whose equal was long ago may therefore run again. Results are cloned. There is no such thing for
    /// queues and streams, which run every item.
    ///
    /// ```
    /// use gristmill::{bulk::Bulk, from_fn};
    /// let upper = Bulk::new(from_fn(|text: &str| Ok(text.to_uppercase()))).dedupe();
    /// let mut results = upper.map(["a", "b", "a"]);
    /// assert_eq!(results.by_ref().map(Result::unwrap).collect::<String>(), "ABA");
    /// assert_eq!(results.report().duplicates, 1);
    /// ```
    #[must_use]
    pub fn dedupe<K>(self) -> Deduped<S, impl Fn(&S::Item) -> K + Send + Sync + Clone + 'static>
    where
        S::Item: ToOwned<Owned = K>,
        K: Hash + Eq + Send + 'static,
        S::Output: Clone,
    {
        self.dedupe_by(|item: &S::Item| item.to_owned())
    }

    /// [`dedupe`](Self::dedupe) for items that have no equality of their own: those with equal keys count as equal.
    #[must_use]
    pub fn dedupe_by<K, F>(self, key: F) -> Deduped<S, F>
    where
        F: Fn(&S::Item) -> K + Send + Sync + Clone + 'static,
        K: Hash + Eq + Send + 'static,
        S::Output: Clone,
    {
        Deduped { bulk: self, key }
    }
}

/// A [`Bulk`] whose jobs run equal items once; made by [`Bulk::dedupe`].
pub struct Deduped<S, F> {
    bulk: Bulk<S>,
    key: F,
}

impl<S, K, F> Deduped<S, F>
where
    S: Staged<Output: Clone>,
    F: Fn(&S::Item) -> K + Send + Sync + Clone + 'static,
    K: Hash + Eq + Send + 'static,
{
    /// [`Bulk::map`], equal items once.
    pub fn map<It>(&self, items: It) -> DistinctMap<S, It::Item, Sound<It::IntoIter>, K, F>
    where
        It: IntoIterator<Item: Send + 'static>,
        S: Stages<It::Item> + 'static,
    {
        DistinctMap(self.start(Sound(items.into_iter()), true))
    }

    /// [`Bulk::map_results`], equal items once.
    pub fn map_results<It, I, E>(&self, items: It) -> DistinctMap<S, I, Fallible<It::IntoIter>, K, F>
    where
        It: IntoIterator<Item = Result<I, E>>,
        I: Send + 'static,
        E: Into<Box<dyn StdError + Send + Sync>>,
        S: Stages<I> + 'static,
    {
        DistinctMap(self.start(Fallible(items.into_iter()), true))
    }

    /// [`Bulk::map_unordered`], equal items once.
    pub fn map_unordered<It>(&self, items: It) -> DistinctUnordered<S, It::Item, Sound<It::IntoIter>, K, F>
    where
        It: IntoIterator<Item: Send + 'static>,
        S: Stages<It::Item> + 'static,
    {
        DistinctUnordered(self.start(Sound(items.into_iter()), false))
    }

    /// [`Bulk::run`], equal items once.
    pub fn run<'i, I>(&self, items: &'i [I]) -> (Vec<Result<S::Output, ItemError>>, Report)
    where
        I: Borrow<<S as Staged>::Item>,
        <S as Staged>::Item: Sync + 'i,
        S: for<'u> Stages<&'u <S as Staged>::Item>,
    {
        // The place of each item among those that run.
        let (mut places, mut distinct) = (Vec::with_capacity(items.len()), Vec::new());
        let mut known = HashMap::new();
        for item in items.iter().map(Borrow::borrow) {
            // An item whose key panics runs for itself.
            let key = panics::catch(|| Ok((self.key)(item))).ok();
            let own = distinct.len();
            let place = key.map_or(own, |key| *known.entry(key).or_insert(own));
            if place == own {
                distinct.push(item);
            }
            places.push(place);
        }
        drop(known);
        let (own, mut report) = self.bulk.run(&distinct);
        let mut results = Vec::with_capacity(items.len());
        let (mut seen, mut errors) = (0, 0);
        // The errors of equals count, so the job may end before the one below did, which knew of one of them.
        for (index, &place) in places.iter().enumerate().take_while(|(_, place)| **place < report.items) {
            let result = copy(index, &own[place]);
            errors += usize::from(result.is_err());
            seen = seen.max(place + 1);
            let enough = match self.bulk.settings.on_error {
                OnError::Skip => false,
                OnError::FailFast => errors > 0,
                OnError::Collect { max_errors } => errors > max_errors,
            };
            results.push(result);
            if enough {
                break;
            }
        }
        // What the job below says of an item that it did not reach.
        let unreached = own.get(report.items).and_then(|result| result.as_ref().err());
        let why = unreached.map_or_else(|| "an error ended the job".to_owned(), |error| error.source.to_string());
        report.renumber(&places[..results.len()]);
        let below = own.iter().find_map(|result| result.as_ref().err()).map(ToString::to_string);
        let first = results.iter().find_map(|result| result.as_ref().err()).map(ToString::to_string);
        report.recount(results.len(), errors, &below.unwrap_or_default(), &first.unwrap_or_default());
        report.duplicates = results.len() - seen;
        (fill(results, items.len(), &why), report)
    }

    fn start<I, It>(&self, source: It, ordered: bool) -> Distinct<S, I, It, K, F>
    where
        It: Iterator<Item = Result<I>>,
        I: Send + 'static,
        S: Stages<I> + 'static,
    {
        let stages = self.bulk.stages();
        let mut settings = self.bulk.settings.clone();
        let policy = std::mem::take(&mut settings.on_error);
        let kept_bytes = settings.memory_limit / 4;
        settings.memory_limit -= kept_bytes;
        let store = Arc::new(Mutex::new(Store::new(kept_bytes)));
        let once = Arc::new(Once(Arc::clone(&stages), PhantomData));
        let job = self.bulk.pool().map(|pool| Pooled::new(once, pool, settings, ordered));
        let source =
            Marking { source, stages: Arc::clone(&stages), key: self.key.clone(), store: Arc::clone(&store), index: 0 };
        Distinct {
            running: Running::new(job, source),
            stages,
            store,
            policy,
            ready: VecDeque::new(),
            items: 0,
            errors: 0,
            first_error: None,
            duplicates: 0,
            over: false,
        }
    }
}

impl<S, F> fmt::Debug for Deduped<S, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deduped").finish_non_exhaustive()
    }
}
