//! A model that can be replaced while jobs run.

pub(in crate::bulk) mod publish;

use std::{
    fmt,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::{
    bulk::{
        hot::publish::read_published,
        stages::{Plain, Staged},
    },
    error::{AnyError, Error, Result},
    inference::{Description, Inference, Pipeline},
    threads::panics,
};

type Load<S> = Box<dyn Fn(&Path) -> Result<S, AnyError> + Send + Sync>;
type Signature<S> = Box<dyn Fn(&S) -> String + Send + Sync>;

/// A model that can be replaced by a newer version while jobs run.
///
/// A job of [`Bulk::hot`](super::Bulk::hot) keeps the version that it started with until it ends;
/// the next job takes the current one. A new version is loaded beside the current one; if it cannot
/// be loaded, or has another signature, nothing changes. Files that are
/// [published](super::publish_folder) at its path are not replaced while they are loaded.
pub struct Hot<S> {
    load: Load<S>,
    signature: Signature<S>,
    /// The current version and its number.
    current: Mutex<(u64, Arc<S>)>,
    /// Held while a version is loaded, so that versions are replaced one at a time.
    loading: Mutex<()>,
}

impl<M: Inference> Hot<Plain<M>> {
    /// Loads the first version from `path` with `load`, which also loads later versions.
    ///
    /// `signature` returns what callers rely on (names, types and shapes of inputs and outputs); a
    /// later version must have the same signature. `?` converts any error in `load`.
    ///
    /// # Errors
    /// Those of `load`.
    pub fn open(
        path: impl AsRef<Path>,
        load: impl Fn(&Path) -> Result<M, AnyError> + Send + Sync + 'static,
        signature: impl Fn(&M) -> String + Send + Sync + 'static,
    ) -> Result<Self> {
        Self::first(
            path.as_ref(),
            Box::new(move |path| load(path).map(Plain)),
            Box::new(move |plain| signature(&plain.0)),
        )
    }
}

impl<T: ?Sized, M: Inference<Input: Sized>, R: Send> Hot<Pipeline<T, M, R>> {
    /// [`open`](Hot::open) for a pipeline.
    ///
    /// # Errors
    /// Those of `load`.
    pub fn open_pipeline(
        path: impl AsRef<Path>,
        load: impl Fn(&Path) -> Result<Pipeline<T, M, R>, AnyError> + Send + Sync + 'static,
        signature: impl Fn(&M) -> String + Send + Sync + 'static,
    ) -> Result<Self> {
        Self::first(path.as_ref(), Box::new(load), Box::new(move |pipeline| signature(pipeline.model())))
    }
}

impl<S: Staged> Hot<S> {
    fn first(path: &Path, load: Load<S>, signature: Signature<S>) -> Result<Self> {
        let first = read_published(path, &load)?;
        Ok(Self { load, signature, current: Mutex::new((1, Arc::new(first))), loading: Mutex::new(()) })
    }

    /// Loads the model at `path`, makes it the current version and returns the version's number.
    ///
    /// Blocks while it loads; jobs continue meanwhile.
    ///
    /// # Errors
    /// If loading fails or panics, or if the signature differs. The current version then stays.
    pub fn reload(&self, path: impl AsRef<Path>) -> Result<u64> {
        let path = path.as_ref();
        let _one_at_a_time = self.loading.lock().unwrap_or_else(PoisonError::into_inner);
        let place = |error: Error| error.context(format!("reloading {}", path.display()));
        let next = read_published(path, &self.load).map_err(place)?;
        let current = Arc::clone(&self.lock().1);
        let (old, new) = panics::catch(|| Ok(((self.signature)(&current), (self.signature)(&next)))).map_err(place)?;
        if old != new {
            return Err(place(Error::invalid_model(format!(
                "the signature is `{new}`, and callers rely on `{old}`; open it as a model of its own"
            ))));
        }
        let mut current = self.lock();
        let version = current.0 + 1;
        let before = std::mem::replace(&mut *current, (version, Arc::new(next)));
        drop(current);
        drop(before);
        Ok(version)
    }

    /// The number of the current version; the first is 1.
    pub fn version(&self) -> u64 {
        self.lock().0
    }

    /// The description of the current version, including its fingerprint.
    pub fn describe(&self) -> Description {
        self.current().model().describe()
    }

    pub(super) fn current(&self) -> Arc<S> {
        Arc::clone(&self.lock().1)
    }

    fn lock(&self) -> MutexGuard<'_, (u64, Arc<S>)> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S> fmt::Debug for Hot<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hot").finish_non_exhaustive()
    }
}
