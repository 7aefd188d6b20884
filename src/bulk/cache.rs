//! Results that are kept on disk between jobs.

mod file;
mod key;
pub(crate) mod value;

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

pub use file::Cache;
use file::Key;
pub use key::{CacheKey, KeyHasher};
pub use value::CacheValue;

use crate::{
    bulk::{
        runner::{Bulk, Choice},
        stages::{Ready, Sealed, Staged, Stages},
    },
    error::{Error, Result},
    inference::{Description, Inference},
};

impl<S> Bulk<S>
where
    S: Staged<Item: CacheKey, Output: CacheValue> + 'static,
{
    /// Keeps results in `cache`, and takes cached results instead of running their items.
    ///
    /// A result is looked up by the item, the model's fingerprint and options, the device, kernel
    /// set and precision, the version of this library, and `name`. `name` identifies what the
    /// model's description does not: the version of closures, of steps before and after the model,
    /// or of a model of your own. A model without a fingerprint runs uncached unless `name` is
    /// given; a note in the report says so. Errors are not kept.
    ///
    /// ```
    /// # let folder = tempfile::tempdir()?;
    /// # let path = folder.path().join("results.redb");
    /// use gristmill::{bulk::{Bulk, Cache}, from_fn};
    /// let cache = Cache::open(path, 1 << 20)?;
    /// let lengths = Bulk::new(from_fn(|text: &str| Ok(text.len() as u64))).cached(&cache, "lengths 1");
    /// for hits in [0, 2] {
    ///     let mut results = lengths.map(["one", "three"]);
    ///     assert!(results.by_ref().map(Result::unwrap).eq([3, 5]));
    ///     assert_eq!(results.report().cache_hits, hits);
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn cached(self, cache: &Cache, name: impl Into<String>) -> Bulk<Cached<S>> {
        let Self { model, settings, pool } = self;
        let (cache, name) = (cache.clone(), name.into());
        let version = {
            let model = model.clone();
            Arc::new(move || model.version())
        };
        let make = Arc::new(move || Arc::new(Cached::new(model.stages(), &cache, &name)));
        Bulk { model: Choice::Made { make, version }, settings, pool }
    }
}

/// A model or pipeline whose results are kept in a cache; made by [`Bulk::cached`].
pub struct Cached<S> {
    inner: Arc<S>,
    /// If `None`, the job runs uncached.
    cache: Option<Cache>,
    /// Why the job runs uncached.
    why_not: Option<String>,
    /// The hash of everything but the item that a result depends on.
    context: Key,
    hits: AtomicUsize,
    /// Results that were not kept because too much waited to be written.
    lost: AtomicUsize,
}

impl<S: Staged> Cached<S> {
    fn new(inner: Arc<S>, cache: &Cache, name: &str) -> Self {
        let model = inner.model().describe();
        let fingerprint = model.model_fingerprint.as_str();
        let why_not = if fingerprint.starts_with("unknown") {
            Some(format!("nothing was cached: the model's fingerprint is {fingerprint}"))
        } else if fingerprint.is_empty() && name.is_empty() {
            Some("nothing was cached: the model has no fingerprint, and was given no name".into())
        } else if model.precision == "auto" || model.device == "auto" {
            Some("nothing was cached: device or precision was still to be chosen when the job began".into())
        } else {
            None
        };
        if why_not.is_none() {
            // This job is to see the results of earlier ones.
            cache.sync();
        }
        let Description { device, kernel_set, precision, options, .. } = &model;
        let output = std::any::type_name::<S::Output>();
        let parts = [fingerprint, env!("CARGO_PKG_VERSION"), device, kernel_set, precision, options, name, output];
        let mut context = KeyHasher::new(&[0; 32]);
        for part in parts {
            part.feed(&mut context);
        }
        Self {
            inner,
            cache: why_not.is_none().then(|| cache.clone()),
            why_not,
            context: context.key(),
            hits: AtomicUsize::new(0),
            lost: AtomicUsize::new(0),
        }
    }
}

impl<S> Sealed for Cached<S> {}

impl<S: Staged> Staged for Cached<S> {
    type Item = S::Item;
    type Model = S::Model;
    type Output = S::Output;

    fn model(&self) -> &S::Model {
        self.inner.model()
    }
    fn finish(
        &self,
        input: &<S::Model as Inference>::Input,
        output: <S::Model as Inference>::Output,
    ) -> Result<S::Output> {
        self.inner.finish(input, output)
    }
    fn item_bytes(&self, item: &S::Item) -> usize {
        self.inner.item_bytes(item)
    }
    fn output_bytes(&self, output: &S::Output) -> usize {
        self.inner.output_bytes(output)
    }
    fn cached(&self) -> (usize, Vec<String>) {
        let (hits, mut notes) = self.inner.cached();
        notes.extend(self.why_not.clone());
        if let Some(cache) = &self.cache {
            notes.extend(cache.notes());
        }
        match self.lost.load(Relaxed) {
            0 => {}
            lost => {
                notes.push(format!("{lost} results came faster than the cache could be written, and were not kept"))
            }
        }
        (hits + self.hits.load(Relaxed), notes)
    }
}

impl<S, I> Stages<I> for Cached<S>
where
    S: Stages<I> + Staged<Item: CacheKey, Output: CacheValue>,
{
    const PREPARES: bool = true;
    type Entry = (S::Entry, Key);

    fn prepare(&self, item: I) -> Result<Ready<Self::Entry, S::Output>> {
        let mut key = Key::default();
        if let Some(cache) = &self.cache {
            let mut hasher = KeyHasher::new(&self.context);
            self.inner.item(&item).feed(&mut hasher);
            key = hasher.key();
            let decode = |mut bytes: &[u8]| S::Output::decode(&mut bytes).filter(|_| bytes.is_empty());
            if let Some(output) = cache.get(&key, decode) {
                self.hits.fetch_add(1, Relaxed);
                return Ok(Ready::Done(output));
            }
        }
        Ok(match self.inner.prepare(item)? {
            Ready::Run(entry) => Ready::Run((entry, key)),
            Ready::Done(output) => Ready::Done(output),
        })
    }
    fn finish_entry(
        &self,
        (entry, key): &Self::Entry,
        output: <<Self as Staged>::Model as Inference>::Output,
    ) -> Result<S::Output> {
        let result = self.inner.finish_entry(entry, output)?;
        if let Some(cache) = &self.cache {
            let mut bytes = Vec::new();
            result.encode(&mut bytes);
            if !cache.put(*key, bytes) {
                self.lost.fetch_add(1, Relaxed);
            }
        }
        Ok(result)
    }
    fn input<'e>(&self, entry: &'e Self::Entry) -> &'e <<Self as Staged>::Model as Inference>::Input {
        self.inner.input(&entry.0)
    }
    fn item<'i>(&self, item: &'i I) -> &'i S::Item {
        self.inner.item(item)
    }
}

impl<S> fmt::Debug for Cached<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cached").finish_non_exhaustive()
    }
}

/// The error for a file that is not a cache.
fn foreign(path: &std::path::Path) -> Error {
    let path = path.display();
    Error::invalid_input(format!(
        "{path} is there and is no cache of this library; it was left alone: name another file"
    ))
}
