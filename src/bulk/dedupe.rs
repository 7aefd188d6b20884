//! Equal items of a job run once.
//!
//! The job below sees every item, so order, windows and memory work as ever; but of equal items only the first comes
//! as itself. The others come as a mark, whose result is known to be somebody else's without running, and get that
//! result here, on the consumer's side.

use std::{
    borrow::Borrow,
    collections::{BTreeMap, HashMap, VecDeque, hash_map::Entry},
    error::Error as StdError,
    fmt,
    hash::Hash,
    marker::PhantomData,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{
    Bulk, OnError, guard,
    map::{Fallible, Pooled, Running, Sound},
    report::Report,
    stages::{Ready, Staged, Stages},
};
use crate::{
    error::{Context, ItemError, Result},
    inference::Inference,
};

/// What a kept result costs beside its own bytes and its key's.
const OVERHEAD: usize = 128;

impl<S: Staged> Bulk<S> {
    /// Has equal items of a job run once: each gets the result of the first, its error too, in its own place.
    ///
    /// Memory stays within [`memory_limit`](Self::memory_limit): a quarter of it holds finished results, those used
    /// last; an item whose equal was long ago may therefore run again. Results are cloned.
    ///
    /// ```
    /// use gristmill::{Shared, bulk::Bulk};
    /// let upper = Bulk::new(Shared::new(|text: &str| Ok(text.to_uppercase()))).dedupe();
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
        // The place of each item among those that run, and of each of those its first item.
        let (mut places, mut firsts, mut distinct) = (Vec::with_capacity(items.len()), Vec::new(), Vec::new());
        let mut known = HashMap::new();
        for (index, item) in items.iter().map(Borrow::borrow).enumerate() {
            // An item whose key panics runs for itself.
            let key = guard::catch(|| Ok((self.key)(item))).ok();
            let own = distinct.len();
            let place = key.map_or(own, |key| *known.entry(key).or_insert(own));
            if place == own {
                firsts.push(index);
                distinct.push(item);
            }
            places.push(place);
        }
        drop(known);
        let (results, mut report) = self.bulk.run(&distinct);
        let results: Vec<_> = places.iter().enumerate().map(|(index, &place)| copy(index, &results[place])).collect();
        report.duplicates = items.len() - firsts.len();
        if report.items == firsts.len() {
            report.items = items.len();
        }
        report.errors = results.iter().filter(|result| result.is_err()).count();
        (results, report)
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
            duplicates: 0,
            over: false,
        }
    }
}

/// The result of one item for another, equal one.
fn copy<O: Clone>(index: usize, result: &Result<O, ItemError>) -> Result<O, ItemError> {
    match result {
        Ok(output) => Ok(output.clone()),
        Err(ItemError { stage, source, .. }) => Err(ItemError { index, stage: *stage, source: source.clone() }),
    }
}

/// An item as the job below gets it.
#[derive(Debug)]
pub enum Marked<I> {
    /// The first of its equals.
    First(I),
    /// An equal of one that came before.
    Again,
}

/// The stages of a job in which only first items run.
pub struct Once<S, I>(Arc<S>, PhantomData<fn(I)>);

impl<S: Stages<I>, I> super::stages::Sealed for Once<S, I> {}

impl<S: Stages<I>, I> Staged for Once<S, I> {
    type Item = Marked<I>;
    type Model = S::Model;
    type Output = Option<S::Output>;

    fn model(&self) -> &S::Model {
        self.0.model()
    }
    fn finish(
        &self,
        input: &<S::Model as Inference>::Input,
        output: <S::Model as Inference>::Output,
    ) -> Result<Option<S::Output>> {
        self.0.finish(input, output).map(Some)
    }
    fn item_bytes(&self, item: &Marked<I>) -> usize {
        match item {
            Marked::First(item) => self.0.item_bytes(self.0.item(item)),
            Marked::Again => 0,
        }
    }
    fn output_bytes(&self, output: &Option<S::Output>) -> usize {
        output.as_ref().map_or(0, |output| self.0.output_bytes(output))
    }
    fn cached(&self) -> (usize, Vec<String>) {
        self.0.cached()
    }
}

impl<S: Stages<I>, I> Stages<Marked<I>> for Once<S, I> {
    const PREPARES: bool = true;
    type Entry = S::Entry;

    fn prepare(&self, item: Marked<I>) -> Result<Ready<S::Entry, Option<S::Output>>> {
        match item {
            Marked::First(item) => self.0.prepare(item).map(|ready| match ready {
                Ready::Run(entry) => Ready::Run(entry),
                Ready::Done(output) => Ready::Done(Some(output)),
            }),
            Marked::Again => Ok(Ready::Done(None)),
        }
    }
    fn finish_entry(&self, entry: &S::Entry, output: <S::Model as Inference>::Output) -> Result<Option<S::Output>> {
        self.0.finish_entry(entry, output).map(Some)
    }
    fn input<'e>(&self, entry: &'e S::Entry) -> &'e <S::Model as Inference>::Input {
        self.0.input(entry)
    }
    fn item<'i>(&self, item: &'i Marked<I>) -> &'i Marked<I> {
        item
    }
}

/// What is known of the items so far.
struct Store<K, O> {
    /// The index of the first item of each key.
    known: HashMap<Arc<K>, usize>,
    firsts: HashMap<usize, First<K, O>>,
    /// Items under way that are equal to others, and to which.
    repeats: HashMap<usize, usize>,
    /// Finished first items that nobody under way is equal to, by the time of their last use.
    idle: BTreeMap<u64, usize>,
    clock: u64,
    /// Of finished first items.
    bytes: usize,
    most_bytes: usize,
}

struct First<K, O> {
    key: Arc<K>,
    key_bytes: usize,
    result: Option<Result<O, ItemError>>,
    bytes: usize,
    /// Equals under way.
    repeats: usize,
    /// Equals that came out before it, where the order is that of completion.
    early: Vec<usize>,
    used: u64,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<K: Hash + Eq, O: Clone> Store<K, O> {
    fn new(most_bytes: usize) -> Self {
        Self {
            known: HashMap::new(),
            firsts: HashMap::new(),
            repeats: HashMap::new(),
            idle: BTreeMap::new(),
            clock: 0,
            bytes: 0,
            most_bytes,
        }
    }

    /// Takes note of an item; whether it is the first of its equals.
    fn see(&mut self, index: usize, key: K, key_bytes: usize) -> bool {
        let key = Arc::new(key);
        match self.known.entry(Arc::clone(&key)) {
            Entry::Vacant(place) => {
                place.insert(index);
                let first = First { key, key_bytes, result: None, bytes: 0, repeats: 0, early: Vec::new(), used: 0 };
                self.firsts.insert(index, first);
                true
            }
            Entry::Occupied(place) => {
                let number = *place.get();
                if let Some(first) = self.firsts.get_mut(&number) {
                    first.repeats += 1;
                    self.idle.remove(&first.used);
                }
                self.repeats.insert(index, number);
                false
            }
        }
    }

    /// Keeps the result of a first item; the equals that came out before it now have theirs.
    fn finished(&mut self, index: usize, result: &Result<O, ItemError>, bytes: usize) -> Vec<usize> {
        let Some(first) = self.firsts.get_mut(&index) else { return Vec::new() };
        first.result = Some(copy(index, result));
        first.bytes = bytes + first.key_bytes + OVERHEAD;
        self.bytes += first.bytes;
        let early = std::mem::take(&mut first.early);
        self.rest(index);
        early
    }

    /// The result of an item that is equal to another; `None` if that one has none yet.
    fn repeat(&mut self, index: usize) -> Option<Result<O, ItemError>> {
        let number = *self.repeats.get(&index)?;
        let first = self.firsts.get_mut(&number)?;
        match &first.result {
            Some(result) => {
                let result = copy(index, result);
                self.forget(index);
                Some(result)
            }
            None => {
                first.early.push(index);
                None
            }
        }
    }

    /// Lets an item go that is equal to another; whether it was one.
    fn forget(&mut self, index: usize) -> bool {
        let Some(number) = self.repeats.remove(&index) else { return false };
        if let Some(first) = self.firsts.get_mut(&number) {
            first.repeats -= 1;
        }
        self.rest(number);
        true
    }

    /// Puts a first item among the idle ones if it is one, and lets the oldest of them go while there are too many.
    fn rest(&mut self, number: usize) {
        if let Some(first) = self.firsts.get_mut(&number)
            && first.repeats == 0
            && first.result.is_some()
        {
            self.clock += 1;
            first.used = self.clock;
            self.idle.insert(self.clock, number);
        }
        while self.bytes > self.most_bytes {
            let Some((_, oldest)) = self.idle.pop_first() else { return };
            if let Some(first) = self.firsts.remove(&oldest) {
                self.known.remove(&first.key);
                self.bytes -= first.bytes;
            }
        }
    }
}

/// The source of the job below: marks what came before.
struct Marking<S, It, K, O, F> {
    source: It,
    stages: Arc<S>,
    key: F,
    store: Arc<Mutex<Store<K, O>>>,
    index: usize,
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
            let keyed = guard::catch(|| {
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
struct Distinct<S: Stages<I>, I, It, K, F> {
    running: Below<S, I, It, K, F>,
    stages: Arc<S>,
    store: Arc<Mutex<Store<K, S::Output>>>,
    policy: OnError,
    /// Results of equals whose first came after them.
    ready: VecDeque<(usize, Result<S::Output, ItemError>)>,
    items: usize,
    errors: usize,
    duplicates: usize,
    over: bool,
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
            if result.is_err() {
                self.errors += 1;
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
        (report.items, report.errors, report.duplicates) = (self.items, self.errors, self.duplicates);
        report
    }
}

/// The results of a job in order, equal items run once; made by [`Deduped::map`]. Otherwise like [`Map`](super::Map).
pub struct DistinctMap<S: Stages<I>, I, It, K, F>(Distinct<S, I, It, K, F>);

/// The results of a job in the order of completion, equal items run once; made by [`Deduped::map_unordered`].
/// Otherwise like [`Unordered`](super::Unordered).
pub struct DistinctUnordered<S: Stages<I>, I, It, K, F>(Distinct<S, I, It, K, F>);

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

impl<S, F> fmt::Debug for Deduped<S, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deduped").finish_non_exhaustive()
    }
}

impl<S, I> fmt::Debug for Once<S, I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Once").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Error, Stage};

    #[test]
    fn finished_results_stay_within_their_bytes_and_go_by_last_use() {
        let mut store = Store::<u32, u8>::new(3 * (OVERHEAD + 10));
        for key in 0..3 {
            assert!(store.see(key as usize, key, 9));
            store.finished(key as usize, &Ok(0), 1);
        }
        // Number 0 is used again, so that number 1 is the oldest now.
        assert!(!store.see(3, 0, 9));
        assert!(store.repeat(3).is_some_and(|result| result.is_ok()));
        assert!(store.see(4, 100, 9));
        store.finished(4, &Ok(0), 1);
        assert!(store.bytes <= store.most_bytes);
        assert!(!store.see(5, 0, 9) && store.see(6, 1, 9) && !store.see(7, 2, 9) && !store.see(8, 100, 9));
    }

    #[test]
    fn a_result_that_somebody_waits_for_stays() {
        let mut store = Store::<u32, u8>::new(0);
        assert!(store.see(0, 7, 1) && !store.see(1, 7, 1));
        store.finished(0, &Ok(5), 1);
        assert!(matches!(store.repeat(1), Some(Ok(5))));
        // Nobody waits any more, and there is no room.
        assert!(store.see(2, 7, 1) && store.firsts.len() == 1 && store.bytes == 0 && store.repeats.is_empty());
    }

    #[test]
    fn an_error_is_told_with_the_items_own_index() {
        let mut store = Store::<u32, u8>::new(1 << 20);
        store.see(3, 7, 1);
        store.see(9, 7, 1);
        let error = ItemError { index: 3, stage: Stage::Run, source: Error::invalid_input("bad") };
        assert!(store.repeat(9).is_none());
        assert_eq!(store.finished(3, &Err(error), 0), [9]);
        let error = store.repeat(9).unwrap().unwrap_err();
        assert_eq!((error.index, error.stage, error.source.to_string()), (9, Stage::Run, "bad".into()));
    }
}
