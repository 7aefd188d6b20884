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
    error::{Error, Result},
    inference::{Description, Inference, Pipeline},
    threads::panics,
};

type Load<S> = Box<dyn Fn(&Path) -> Result<S> + Send + Sync>;
type Signature<S> = Box<dyn Fn(&S) -> String + Send + Sync>;

/// A model with a way to load its successor.
///
/// A job of [`Bulk::hot`](super::Bulk::hot) keeps the version that it started with to its end; the next job takes
/// the current one. A successor is loaded beside the one that serves, and one that cannot be loaded, or that has
/// another signature, changes nothing. What is [published](super::publish_folder) at its path is not replaced while it
/// is loaded.
pub struct Hot<S> {
    load: Load<S>,
    signature: Signature<S>,
    current: Mutex<(u64, Arc<S>)>,
    /// Held while a successor is loaded, so that versions follow one another.
    loading: Mutex<()>,
}

impl<M: Inference> Hot<Plain<M>> {
    /// Loads the first version from `path` with `load`, which also loads the others. `signature` says what callers
    /// rely on (names, types and shapes of inputs and outputs); a successor must have the same.
    ///
    /// # Errors
    /// What `load` returns.
    pub fn open(
        path: impl AsRef<Path>,
        load: impl Fn(&Path) -> Result<M> + Send + Sync + 'static,
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
    /// What `load` returns.
    pub fn open_pipeline(
        path: impl AsRef<Path>,
        load: impl Fn(&Path) -> Result<Pipeline<T, M, R>> + Send + Sync + 'static,
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

    /// Loads the model at `path` and, if it has the same signature, makes it the one that the next job runs; says
    /// which version it is. Blocks while it loads; jobs go on meanwhile.
    ///
    /// # Errors
    /// If loading fails or panics, or if the signature is another. The version that serves goes on serving.
    pub fn reload(&self, path: impl AsRef<Path>) -> Result<u64> {
        let path = path.as_ref();
        let _one_at_a_time = self.loading.lock().unwrap_or_else(PoisonError::into_inner);
        let place = |error: Error| error.context(format!("reloading {}", path.display()));
        let next = read_published(path, &self.load).map_err(place)?;
        let serving = Arc::clone(&self.lock().1);
        let (old, new) = panics::catch(|| Ok(((self.signature)(&serving), (self.signature)(&next)))).map_err(place)?;
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

    /// What the current version says of itself, its fingerprint among it.
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
