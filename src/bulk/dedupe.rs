//! Jobs that run equal items once.
//!
//! An inner job gets every item, so order, windows and memory work as in any job. Of equal items it
//! gets the first one as it is and the others as marks, which have no result of their own. They get
//! the result of the first one on the consumer's side.

pub(in crate::bulk) mod distinct;
mod marker;
mod once;
mod store;

use std::{
    borrow::Borrow, collections::HashMap, error::Error as StdError, fmt, hash::Hash, marker::PhantomData, sync::Arc,
};

use crate::{
    bulk::{
        dedupe::{
            distinct::Distinct,
            marker::{Key, Marker, Marking},
            once::Once,
            store::copy,
        },
        job::{
            intake::{FallibleItems, Intake, Items},
            pooled::Pooled,
            running::Running,
        },
        report::{Report, failures::Failures},
        results::{Results, UnorderedResults},
        runner::Bulk,
        scoped::fill,
        settings::OnError,
        stages::{Staged, Stages},
    },
    error::{Error, ErrorKind, ItemError, Result, chain},
    threads::panics,
};

impl<S: Staged> Bulk<S> {
    /// Runs equal items of a job once: each gets the result or error of the first, in its own
    /// place.
    ///
    /// Memory stays within [`memory_limit`](Self::memory_limit): a quarter of it holds finished
    /// results, those used last. An item whose equal was long ago may therefore run again. Results
    /// are cloned. Queues and streams run every item.
    ///
    /// ```
    /// use gristmill::{bulk::Bulk, from_fn};
    /// let upper = Bulk::new(from_fn(|text: &str| Ok(text.to_uppercase()))).dedupe();
    /// let mut results = upper.map(["a", "b", "a"]);
    /// assert_eq!(results.by_ref().map(Result::unwrap).collect::<String>(), "ABA");
    /// assert_eq!(results.report().duplicates, 1);
    /// ```
    #[must_use]
    pub fn dedupe<K>(self) -> Deduped<S, K>
    where
        S::Item: ToOwned<Owned = K>,
        K: Hash + Eq + Send + Sync + 'static,
        S::Output: Clone,
    {
        self.dedupe_by(|item: &S::Item| item.to_owned())
    }

    /// [`dedupe`](Self::dedupe) by a key: items with equal keys count as equal.
    #[must_use]
    pub fn dedupe_by<K, F>(self, key: F) -> Deduped<S, K>
    where
        F: Fn(&S::Item) -> K + Send + Sync + 'static,
        K: Hash + Eq + Send + Sync + 'static,
        S::Output: Clone,
    {
        Deduped { bulk: self, key: Arc::new(key) }
    }
}

/// A [`Bulk`] whose jobs run equal items once; made by [`Bulk::dedupe`].
///
/// `K` is the key by which items are compared.
pub struct Deduped<S: Staged, K> {
    bulk: Bulk<S>,
    key: Key<S::Item, K>,
}

impl<S, K> Deduped<S, K>
where
    S: Staged<Output: Clone>,
    K: Hash + Eq + Send + Sync + 'static,
{
    /// [`Bulk::map`], running equal items once.
    pub fn map<It>(&self, items: It) -> Results<S::Output, It::IntoIter>
    where
        It: IntoIterator<Item: Send + 'static>,
        S: Stages<It::Item> + 'static,
    {
        Results::distinct(self.start(items.into_iter(), Items, true))
    }

    /// [`Bulk::map_results`], running equal items once.
    pub fn map_results<It, I, E>(&self, items: It) -> Results<S::Output, It::IntoIter>
    where
        It: IntoIterator<Item = Result<I, E>>,
        I: Send + 'static,
        E: Into<Box<dyn StdError + Send + Sync>>,
        S: Stages<I> + 'static,
    {
        Results::distinct(self.start(items.into_iter(), FallibleItems, true))
    }

    /// [`Bulk::map_unordered`], running equal items once.
    pub fn map_unordered<It>(&self, items: It) -> UnorderedResults<S::Output, It::IntoIter>
    where
        It: IntoIterator<Item: Send + 'static>,
        S: Stages<It::Item> + 'static,
    {
        UnorderedResults::distinct(self.start(items.into_iter(), Items, false))
    }

    /// [`Bulk::run`], running equal items once.
    pub fn run<'i, I>(&self, items: &'i [I]) -> (Vec<Result<S::Output, ItemError>>, Report)
    where
        I: Borrow<<S as Staged>::Item>,
        <S as Staged>::Item: Sync + 'i,
        S: for<'u> Stages<&'u <S as Staged>::Item>,
    {
        // The place of each item among the distinct items, which run.
        let (mut places, mut distinct) = (Vec::with_capacity(items.len()), Vec::new());
        let mut known = HashMap::new();
        for item in items.iter().map(Borrow::borrow) {
            // An item whose key panics counts as distinct.
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
        let (mut seen, mut errors, mut failures) = (0, 0, Failures::default());
        // Errors of equal items count, so this job may end before the inner one did, which counted
        // one of them.
        for (index, &place) in places.iter().enumerate().take_while(|(_, place)| **place < report.items) {
            let result = copy(index, &own[place]);
            if let Err(error) = &result {
                errors += 1;
                failures.add(error.stage, &error.source);
            }
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
        // The error of an item that the inner job did not reach.
        let unreached = own.get(report.items).and_then(|result| result.as_ref().err());
        let why = unreached.map_or_else(
            || Error::new(ErrorKind::Cancelled, "an error ended the job"),
            |error: &ItemError| error.source.clone(),
        );
        report.renumber(&places[..results.len()]);
        let inner_first = own.iter().find_map(|result| result.as_ref().err()).map(|error| chain(error));
        let first = results.iter().find_map(|result| result.as_ref().err()).map(|error| chain(error));
        report.recount(results.len(), errors, &inner_first.unwrap_or_default(), &first.unwrap_or_default());
        report.details.failures = failures;
        report.duplicates = results.len() - seen;
        (fill(results, items.len(), <S as Stages<&S::Item>>::FIRST, &why), report)
    }

    /// Starts the inner job, in which first items run.
    fn start<It, C>(&self, source: It, intake: C, ordered: bool) -> Distinct<S::Output, It>
    where
        It: Iterator,
        C: Intake<It::Item, Item: Send + 'static> + 'static,
        S: Stages<C::Item> + 'static,
    {
        let stages = self.bulk.stages();
        let mut settings = self.bulk.settings.clone();
        let policy = std::mem::take(&mut settings.on_error);
        let kept_bytes = settings.memory_limit / 4;
        settings.memory_limit -= kept_bytes;
        let marker = Arc::new(Marker::new(Arc::clone(&stages), Arc::clone(&self.key), kept_bytes));
        let once = Arc::new(Once(stages, PhantomData));
        let marking = Marking { marker: Arc::clone(&marker), intake };
        let job = self.bulk.pool().map(|pool| Pooled::new(once, pool, settings, ordered, marking));
        Distinct::new(Running::new(job, source), marker, policy)
    }
}

impl<S: Staged, K> fmt::Debug for Deduped<S, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deduped").finish_non_exhaustive()
    }
}
