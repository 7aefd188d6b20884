//! The consumer's side: equals get the result of the first.

use std::{
    collections::VecDeque,
    fmt,
    hash::Hash,
    sync::{Arc, Mutex},
};

use crate::{
    bulk::{
        dedupe::{
            once::{Marked, Once},
            store::Store,
        },
        report::Report,
        results_iter::Running,
        settings::OnError,
        stages::{Staged, Stages},
    },
    error::{Context, ItemError, Result},
    threads::panics::{self, lock},
};

/// The source of the job below: marks what came before.
pub(in crate::bulk) struct Marking<S, It, K, O, F> {
    pub(in crate::bulk) source: It,
    pub(in crate::bulk) stages: Arc<S>,
    pub(in crate::bulk) key: F,
    pub(in crate::bulk) store: Arc<Mutex<Store<K, O>>>,
    pub(in crate::bulk) index: usize,
}

impl<S, I, It, K, F> Iterator for Marking<S, It, K, S::Output, F>
where
    S: Stages<I, Output: Clone>,
    It: Iterator<Item = Result<I>>,
    K: Hash + Eq,
    F: Fn(&S::Item) -> K,
{
    type Item = Result<Marked<I>>;

    fn next(&mut self) -> Option<Self::Item> {
        let item = self.source.next()?;
        let index = self.index;
        self.index += 1;
        Some(item.and_then(|item| {
            let keyed = panics::catch(|| {
                let borrowed = self.stages.item(&item);
                Ok(((self.key)(borrowed), self.stages.item_bytes(borrowed)))
            });
            let (key, bytes) = keyed.context(|| "the key of the item".into())?;
            Ok(if lock(&self.store).see(index, key, bytes) { Marked::First(item) } else { Marked::Again })
        }))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.source.size_hint()
    }
}

/// The job in which first items run.
type Below<S, I, It, K, F> = Running<Once<S, I>, Marked<I>, Marking<S, It, K, <S as Staged>::Output, F>>;

/// The machinery behind [`DistinctMap`] and [`DistinctUnordered`].
pub(in crate::bulk) struct Distinct<S: Stages<I>, I, It, K, F> {
    pub(in crate::bulk) running: Below<S, I, It, K, F>,
    pub(in crate::bulk) stages: Arc<S>,
    pub(in crate::bulk) store: Arc<Mutex<Store<K, S::Output>>>,
    pub(in crate::bulk) policy: OnError,
    /// Results of equals whose first came after them.
    pub(in crate::bulk) ready: VecDeque<(usize, Result<S::Output, ItemError>)>,
    pub(in crate::bulk) items: usize,
    pub(in crate::bulk) errors: usize,
    pub(in crate::bulk) first_error: Option<String>,
    pub(in crate::bulk) duplicates: usize,
    pub(in crate::bulk) over: bool,
}

impl<S, I, It, K, F> Distinct<S, I, It, K, F>
where
    S: Stages<I, Output: Clone> + 'static,
    I: Send + 'static,
    It: Iterator<Item = Result<I>>,
    K: Hash + Eq,
    F: Fn(&S::Item) -> K,
{
    fn next(&mut self) -> Option<(usize, Result<S::Output, ItemError>)> {
        while !self.over {
            let (index, result) = match self.ready.pop_front() {
                Some(result) => result,
                None => {
                    let (index, result) = self.running.next()?;
                    let Some(result) = self.resolve(index, result) else { continue };
                    (index, result)
                }
            };
            self.items += 1;
            if let Err(error) = &result {
                self.errors += 1;
                if self.first_error.is_none() {
                    self.first_error = Some(error.to_string());
                }
                match self.policy {
                    OnError::Skip => continue,
                    OnError::FailFast => self.over = true,
                    OnError::Collect { max_errors } => self.over = self.errors > max_errors,
                }
            }
            if self.over {
                self.running.stop();
            }
            return Some((index, result));
        }
        None
    }

    /// The item's own result or that of its equal; `None`: its equal has none yet.
    fn resolve(
        &mut self,
        index: usize,
        result: Result<Option<S::Output>, ItemError>,
    ) -> Option<Result<S::Output, ItemError>> {
        let mut store = lock(&self.store);
        let result = match result {
            Ok(Some(output)) => Ok(output),
            Ok(None) => {
                self.duplicates += 1;
                return store.repeat(index);
            }
            Err(error) => Err(error),
        };
        // An equal can fail for itself only where it was cut off.
        if !store.forget(index) {
            let bytes = result.as_ref().map_or(0, |output| self.stages.output_bytes(output));
            for early in store.finished(index, &result, bytes) {
                self.ready.extend(store.repeat(early).map(|result| (early, result)));
            }
        }
        Some(result)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        if self.over { (0, Some(0)) } else { (0, self.running.size_hint().1.map(|most| most + self.ready.len())) }
    }

    fn report(&self) -> Report {
        let mut report = self.running.report();
        let first = self.first_error.as_deref().unwrap_or_default();
        report.recount(self.items, self.errors, first, first);
        report.duplicates = self.duplicates;
        report
    }
}

/// The results of a job in order, equal items run once; made by [`Deduped::map`](super::Deduped::map). Otherwise like [`Map`](crate::bulk::Map).
#[must_use = "nothing runs before the results are asked for"]
pub struct DistinctMap<S: Stages<I>, I, It, K, F>(pub(in crate::bulk) Distinct<S, I, It, K, F>);

/// The results of a job in the order of completion, equal items run once; made by
/// [`Deduped::map_unordered`](super::Deduped::map_unordered).
/// Otherwise like [`Unordered`](crate::bulk::Unordered).
#[must_use = "nothing runs before the results are asked for"]
pub struct DistinctUnordered<S: Stages<I>, I, It, K, F>(pub(in crate::bulk) Distinct<S, I, It, K, F>);

macro_rules! distinct {
    ($name:ident, $item:ty, $take:expr) => {
        impl<S, I, It, K, F> $name<S, I, It, K, F>
        where
            S: Stages<I, Output: Clone> + 'static,
            I: Send + 'static,
            It: Iterator<Item = Result<I>>,
            K: Hash + Eq,
            F: Fn(&S::Item) -> K,
        {
            /// What the job did so far; all of it once the iterator has ended.
            pub fn report(&self) -> Report {
                self.0.report()
            }
        }

        impl<S, I, It, K, F> Iterator for $name<S, I, It, K, F>
        where
            S: Stages<I, Output: Clone> + 'static,
            I: Send + 'static,
            It: Iterator<Item = Result<I>>,
            K: Hash + Eq,
            F: Fn(&S::Item) -> K,
        {
            type Item = $item;

            fn next(&mut self) -> Option<Self::Item> {
                self.0.next().map($take)
            }

            fn size_hint(&self) -> (usize, Option<usize>) {
                self.0.size_hint()
            }
        }

        impl<S: Stages<I>, I, It, K, F> fmt::Debug for $name<S, I, It, K, F> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name)).finish_non_exhaustive()
            }
        }
    };
}

distinct!(DistinctMap, Result<S::Output, ItemError>, |(_, result)| result);
distinct!(DistinctUnordered, (usize, Result<S::Output, ItemError>), |numbered| numbered);
