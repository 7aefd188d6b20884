//! A model per worker, for models that cannot be shared.

use std::{
    cell::Cell,
    fmt,
    marker::PhantomData,
    sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError},
    thread,
    time::Instant,
};

use crate::{
    error::{Error, ErrorKind, Result},
    inference::{Description, Inference, Slots},
    threads::panics,
};

/// A model for each worker, made on its first need and kept as long as this value: for models that are not `Sync`.
///
/// A model is leased for a call, so nothing that runs inside the call can enter it again. After a panic in a call
/// the model is dropped and made anew. Where making fails it is not tried again: the worker's chunks go to the
/// others, and a note in the report says so; where it fails on every worker, each item gets that error. Where it fails
/// after a panic, what is left of that one chunk gets that error too: elsewhere the item that panics would run again,
/// and cost worker after worker its model.
///
/// ```
/// use gristmill::{PerThread, bulk};
/// let model = PerThread::new(
///     |worker| Ok(format!("model of worker {worker}")),
///     |model: &mut String, number: &u32| Ok(format!("{number} by the {model}")),
/// );
/// let answer = bulk::map(model, [7]).next().unwrap().unwrap();
/// assert!(answer.starts_with("7 by the model of worker"));
/// ```
pub struct PerThread<T, I: ?Sized, O, F, G> {
    make: F,
    call: G,
    places: Mutex<Vec<Arc<Mutex<Place<T>>>>>,
    types: PhantomData<fn(&I) -> O>,
}

/// Where a worker's model lives.
enum Place<T> {
    Empty,
    Made { model: T, seconds: f64 },
    Failed(String),
}

thread_local! {
    /// How many leases this thread holds, one inside another.
    static LEASES: Cell<usize> = const { Cell::new(0) };
}

impl<T, I, O, F, G> PerThread<T, I, O, F, G>
where
    T: Send,
    I: Send + ?Sized,
    O: Send,
    F: Fn(usize) -> Result<T> + Send + Sync,
    G: Fn(&mut T, &I) -> Result<O> + Send + Sync,
{
    /// Makes models with `make`, which is told the worker's number, and calls them item by item with `call`.
    pub fn new(make: F, call: G) -> Self {
        Self { make, call, places: Mutex::new(Vec::new()), types: PhantomData }
    }

    fn places(&self) -> Vec<Arc<Mutex<Place<T>>>> {
        // Asked outside a pool, rayon would start one of its own.
        let wanted = rayon::current_thread_index().map_or(1, |_| rayon::current_num_threads());
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        while places.len() < wanted {
            places.push(Arc::new(Mutex::new(Place::Empty)));
        }
        places.clone()
    }

    /// The calling worker's number; a thread outside any pool has the first place.
    fn worker() -> usize {
        rayon::current_thread_index().unwrap_or(0)
    }

    /// Runs `work` on a leased place: this worker's, or, where a call on this thread already holds it, a free one.
    fn lease<R>(&self, work: impl FnOnce(usize, &mut Place<T>) -> R) -> Result<R> {
        let (places, own) = (self.places(), Self::worker());
        let nested = LEASES.get() > 0;
        let leased = try_lock(&places[own]).map(|place| (own, place)).or_else(|| {
            let mut free = places.iter().enumerate().filter_map(|(at, place)| Some((at, try_lock(place)?)));
            free.find(|(_, place)| !matches!(**place, Place::Failed(_)))
        });
        let (worker, mut place) = match leased {
            Some(leased) => leased,
            // Its holder may be waiting for this very thread.
            None if nested => return Err(Error::limit("every worker's model is in use, and this call is inside one")),
            None => (own, places[own].lock().unwrap_or_else(PoisonError::into_inner)),
        };
        LEASES.set(LEASES.get() + 1);
        let result = work(worker, &mut place);
        LEASES.set(LEASES.get() - 1);
        Ok(result)
    }

    /// The model of a leased place, made if need be.
    fn model<'p>(&self, worker: usize, place: &'p mut Place<T>) -> Result<&'p mut T> {
        if matches!(place, Place::Empty) {
            let started = Instant::now();
            *place = match panics::catch(|| (self.make)(worker)) {
                Ok(model) => {
                    let seconds = started.elapsed().as_secs_f64();
                    tracing::info!(worker = thread::current().name(), seconds, "model loaded");
                    Place::Made { model, seconds }
                }
                Err(error) => Place::Failed(error.to_string()),
            };
        }
        match place {
            Place::Made { model, .. } => Ok(model),
            Place::Failed(why) => {
                Err(Error::new(ErrorKind::User, format!("the model of worker {worker} could not be made: {why}")))
            }
            Place::Empty => Err(Error::internal("a model was made and is not there")),
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

impl<T, I, O, F, G> Inference for PerThread<T, I, O, F, G>
where
    T: Send,
    I: Send + ?Sized,
    O: Send,
    F: Fn(usize) -> Result<T> + Send + Sync,
    G: Fn(&mut T, &I) -> Result<O> + Send + Sync,
{
    type Input = I;
    type Output = O;

    fn infer(&self, chunk: &[&I], out: &mut Slots<'_, O>) -> Result<()> {
        self.lease(|worker, place| {
            // Nothing has run yet: the whole chunk can go elsewhere.
            self.model(worker, place)?;
            for (index, input) in chunk.iter().enumerate() {
                match self.model(worker, place).and_then(|model| panics::catch(|| (self.call)(model, input))) {
                    Ok(output) => out.set(index, output),
                    Err(error) => {
                        if error.kind() == ErrorKind::Panic {
                            // Who knows what state it is in.
                            let broken = std::mem::replace(place, Place::Empty);
                            let _ = panics::catch(|| {
                                drop(broken);
                                Ok(())
                            });
                        }
                        out.fail(index, error);
                    }
                }
            }
            Ok(())
        })?
    }

    fn ready_here(&self) -> bool {
        let places = self.places();
        // A place that is leased holds a model, or will.
        let failed = |place: &Arc<Mutex<Place<T>>>| try_lock(place).is_some_and(|p| matches!(*p, Place::Failed(_)));
        let free = |place: &Arc<Mutex<Place<T>>>| try_lock(place).is_some_and(|p| !matches!(*p, Place::Failed(_)));
        let own = &places[Self::worker()];
        if LEASES.get() > 0 && try_lock(own).is_none() {
            // Inside a call that holds this worker's model: another must be free.
            return places.iter().any(free);
        }
        !failed(own) || places.iter().all(failed)
    }

    fn describe(&self) -> Description {
        let places = self.places.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (mut load_seconds, mut failures) = (0.0_f64, Vec::new());
        for (worker, place) in places.iter().enumerate() {
            match try_lock(place).as_deref() {
                Some(Place::Made { seconds, .. }) => load_seconds = load_seconds.max(*seconds),
                Some(Place::Failed(why)) => failures.push((worker, why.clone())),
                _ => {}
            }
        }
        let notes = failures.first().map(|(worker, why)| {
            format!("{} workers have no model; making the one of worker {worker} failed: {why}", failures.len())
        });
        Description { load_seconds, notes: notes.into_iter().collect(), ..Description::default() }
    }
}

impl<T, I: ?Sized, O, F, G> fmt::Debug for PerThread<T, I, O, F, G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PerThread").finish_non_exhaustive()
    }
}
