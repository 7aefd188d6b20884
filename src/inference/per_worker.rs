//! One model per worker, for models that cannot be shared.

use std::{
    cell::Cell,
    fmt,
    marker::PhantomData,
    sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError},
    thread,
    time::Instant,
};

use crate::{
    error::{AnyError, Error, ErrorKind, Result, chain},
    inference::{Description, Inference, Slots},
    threads::panics,
};

/// One model per worker, made when the worker first needs it and kept as long as this value.
///
/// For models that are not `Sync`. A call leases its worker's model, so nothing that runs inside
/// the call can enter the model again. After a panic in a call the model is dropped and made anew.
///
/// A worker whose model could not be made does not try again. Its chunks go to the other workers,
/// and a note in the report says so; if no worker has a model, each item gets the error. If a model
/// cannot be made anew after a panic, the rest of that chunk gets the error too: on another worker
/// the item that panics would run again and cost that worker its model as well.
///
/// ```
/// use gristmill::{PerWorker, bulk};
/// let model = PerWorker::new(
///     |worker| Ok(format!("model of worker {worker}")),
///     |model: &mut String, number: &u32| Ok(format!("{number} by the {model}")),
/// );
/// let answer = bulk::map(model, [7]).next().unwrap().unwrap();
/// assert!(answer.starts_with("7 by the model of worker"));
/// ```
pub struct PerWorker<T, I: ?Sized, O, F, G> {
    make: F,
    call: G,
    models: Mutex<Vec<Arc<Mutex<WorkerModel<T>>>>>,
    types: PhantomData<fn(&I) -> O>,
}

/// The model of one worker.
enum WorkerModel<T> {
    Unmade,
    Made { model: T, seconds: f64 },
    Failed(String),
}

impl<T> WorkerModel<T> {
    fn is_failed(&self) -> bool {
        matches!(self, Self::Failed(_))
    }
}

thread_local! {
    /// The number of nested leases that this thread holds.
    static LEASES: Cell<usize> = const { Cell::new(0) };
}

impl<T, I, O, F, G> PerWorker<T, I, O, F, G>
where
    T: Send,
    I: Send + ?Sized,
    O: Send,
    F: Fn(usize) -> Result<T, AnyError> + Send + Sync,
    G: Fn(&mut T, &I) -> Result<O, AnyError> + Send + Sync,
{
    /// Makes models with `make`, which gets the worker's number, and calls them item by item with
    /// `call`. `?` converts any error in both.
    pub fn new(make: F, call: G) -> Self {
        Self { make, call, models: Mutex::new(Vec::new()), types: PhantomData }
    }

    fn models(&self) -> Vec<Arc<Mutex<WorkerModel<T>>>> {
        // Outside a pool, `current_num_threads` would start rayon's global pool.
        let workers = rayon::current_thread_index().map_or(1, |_| rayon::current_num_threads());
        let mut models = self.models.lock().unwrap_or_else(PoisonError::into_inner);
        while models.len() < workers {
            models.push(Arc::new(Mutex::new(WorkerModel::Unmade)));
        }
        models.clone()
    }

    /// The calling worker's number; 0 for a thread outside any pool.
    fn worker() -> usize {
        rayon::current_thread_index().unwrap_or(0)
    }

    /// Runs `work` on this worker's model or, if an outer call on this thread holds that, on a free
    /// one.
    fn lease<R>(&self, work: impl FnOnce(usize, &mut WorkerModel<T>) -> R) -> Result<R> {
        let (models, own) = (self.models(), Self::worker());
        let nested = LEASES.get() > 0;
        let leased = try_lock(&models[own]).map(|model| (own, model)).or_else(|| {
            let mut free = models.iter().enumerate().filter_map(|(at, model)| Some((at, try_lock(model)?)));
            free.find(|(_, model)| !model.is_failed())
        });
        let (worker, mut model) = match leased {
            Some(leased) => leased,
            // The holder of the lock may be waiting for this very thread.
            None if nested => return Err(Error::limit("every worker's model is in use, and this call is inside one")),
            None => (own, models[own].lock().unwrap_or_else(PoisonError::into_inner)),
        };
        LEASES.set(LEASES.get() + 1);
        let result = work(worker, &mut model);
        LEASES.set(LEASES.get() - 1);
        Ok(result)
    }

    /// A leased model, made now if it is unmade.
    fn made<'m>(&self, worker: usize, leased: &'m mut WorkerModel<T>) -> Result<&'m mut T> {
        if matches!(leased, WorkerModel::Unmade) {
            let started = Instant::now();
            *leased = match panics::catch(|| (self.make)(worker).map_err(Error::of_closure)) {
                Ok(model) => {
                    let seconds = started.elapsed().as_secs_f64();
                    tracing::info!(worker = thread::current().name(), seconds, "model loaded");
                    WorkerModel::Made { model, seconds }
                }
                Err(error) => WorkerModel::Failed(chain(&error)),
            };
        }
        match leased {
            WorkerModel::Made { model, .. } => Ok(model),
            WorkerModel::Failed(why) => {
                Err(Error::new(ErrorKind::User, format!("the model of worker {worker} could not be made: {why}")))
            }
            WorkerModel::Unmade => Err(Error::internal("a worker's model was made and is missing")),
        }
    }
}

fn try_lock<T>(mutex: &Mutex<T>) -> Option<MutexGuard<'_, T>> {
    match mutex.try_lock() {
        Ok(guard) => Some(guard),
        Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}

impl<T, I, O, F, G> Inference for PerWorker<T, I, O, F, G>
where
    T: Send,
    I: Send + ?Sized,
    O: Send,
    F: Fn(usize) -> Result<T, AnyError> + Send + Sync,
    G: Fn(&mut T, &I) -> Result<O, AnyError> + Send + Sync,
{
    type Input = I;
    type Output = O;

    fn infer(&self, chunk: &[&I], out: &mut Slots<'_, O>) -> Result<()> {
        self.lease(|worker, leased| {
            // An error here, before anything has run, lets the whole chunk go to another worker.
            self.made(worker, leased)?;
            for (index, input) in chunk.iter().enumerate() {
                match self
                    .made(worker, leased)
                    .and_then(|model| panics::catch(|| (self.call)(model, input).map_err(Error::of_closure)))
                {
                    Ok(output) => out.set(index, output),
                    Err(error) => {
                        if error.kind() == ErrorKind::Panic {
                            // The panic may have left the model in an invalid state.
                            panics::drop_quietly(std::mem::replace(leased, WorkerModel::Unmade));
                        }
                        out.fail(index, error);
                    }
                }
            }
            Ok(())
        })?
    }

    fn ready_here(&self) -> bool {
        let models = self.models();
        // A leased model is made, or being made: neither failed nor free.
        let failed = |model: &Arc<Mutex<WorkerModel<T>>>| try_lock(model).is_some_and(|model| model.is_failed());
        let free = |model: &Arc<Mutex<WorkerModel<T>>>| try_lock(model).is_some_and(|model| !model.is_failed());
        let own = &models[Self::worker()];
        if LEASES.get() > 0 && try_lock(own).is_none() {
            // Inside a call that holds this worker's model: needs another one.
            return models.iter().any(free);
        }
        !failed(own) || models.iter().all(failed)
    }

    fn describe(&self) -> Description {
        let models = self.models.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (mut load_seconds, mut failures) = (0.0_f64, Vec::new());
        for (worker, model) in models.iter().enumerate() {
            match try_lock(model).as_deref() {
                Some(WorkerModel::Made { seconds, .. }) => load_seconds = load_seconds.max(*seconds),
                Some(WorkerModel::Failed(why)) => failures.push((worker, why.clone())),
                _ => {}
            }
        }
        let notes = failures.first().map(|(worker, why)| {
            format!("{} workers have no model; making the one of worker {worker} failed: {why}", failures.len())
        });
        Description { load_seconds, notes: notes.into_iter().collect(), ..Description::default() }
    }
}

impl<T, I: ?Sized, O, F, G> fmt::Debug for PerWorker<T, I, O, F, G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PerWorker").finish_non_exhaustive()
    }
}
