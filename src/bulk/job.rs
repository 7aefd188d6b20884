//! One job: what the consumer's thread and the workers share, and the units of work that the workers take from it.
//!
//! A worker never waits for input. A *pump* is a rayon task that takes one unit (prepare some items, sort a window,
//! run a chunk), does it, and starts itself again; when nothing is left to take it ends, and whoever adds work next
//! starts a new one. There are never more pumps than workers.

pub(in crate::bulk) mod chunk;
pub(in crate::bulk) mod drivers;
pub(in crate::bulk) mod feed;
mod pumps;
pub(in crate::bulk) mod results;
#[cfg(all(test, shuttle))]
mod shuttle_check;
pub(in crate::bulk) mod state;
pub(in crate::bulk) mod tuner;
mod units;
pub(in crate::bulk) mod window;

use std::{
    sync::{Arc, PoisonError},
    time::{Duration, Instant},
};

#[cfg(feature = "stream")]
use std::task::Waker;

use crate::{
    bulk::{
        job::{
            chunk::Raw,
            state::{Abandoned, State},
            tuner::Tuner,
        },
        settings::Settings,
        stages::{Staged, Stages},
        sync::{
            self, Condvar, Mutex, MutexGuard,
            atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
        },
    },
    inference::{Description, Inference},
    threads::panics,
};

/// The state of a job.
pub(super) type StateOf<S, I> = State<I, <S as Stages<I>>::Entry, Raw<S>, <S as Staged>::Output>;

pub(super) struct Job<S: Stages<I>, I> {
    pub(super) stages: Arc<S>,
    pub(super) settings: Settings,
    made: Instant,
    /// What the model said of itself before the job.
    pub(super) before: Description,
    /// Bytes in flight: items, entries, results not yet taken.
    pub(super) bytes: AtomicUsize,
    /// Bytes that workers or drivers hold to run chunks, as far as the model knows.
    scratch: AtomicUsize,
    /// Nanoseconds at work, for each worker.
    pub(super) busy: Vec<AtomicU64>,
    /// Nanoseconds in the model, for each driver; empty where the workers run the chunks.
    pub(super) driving: Vec<AtomicU64>,
    state: Mutex<StateOf<S, I>>,
    /// Told when a result is ready, if the consumer waits.
    ready: Condvar,
    /// Told when there is a chunk for a driver, and at the end.
    pub(super) chunk: Condvar,
}

/// How to start a turn of a pump.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Launch {
    /// Somewhere in the pool: a pump goes on, or a new one starts.
    Turn,
    /// On every worker, uncounted: those that can run chunks become pumps.
    Probe,
}

/// Who works for a job.
pub(super) trait Crew {
    /// Has one or all of the workers call [`Job::turn`] or [`Job::probe`].
    fn launch(&self, kind: Launch);
    /// If the calling thread is itself one of the workers: has it do some of the work that waits.
    fn lend_a_hand(&self) -> bool;
}

impl<S: Stages<I>, I> Job<S, I> {
    pub(super) fn new(stages: Arc<S>, workers: usize, settings: Settings, ordered: bool) -> Self {
        panics::keep_backtraces();
        let drivers = drivers::wanted(stages.model());
        let state = State::new(Tuner::of(stages.model(), &settings, workers), ordered, S::PREPARES);
        let job = Self {
            before: stages.model().describe(),
            stages,
            settings,
            made: sync::now(),
            bytes: AtomicUsize::new(0),
            scratch: AtomicUsize::new(0),
            busy: (0..workers).map(|_| AtomicU64::new(0)).collect(),
            driving: (0..drivers).map(|_| AtomicU64::new(0)).collect(),
            state: Mutex::new(state),
            ready: Condvar::new(),
            chunk: Condvar::new(),
        };
        job.weigh_scratch();
        job
    }

    /// Takes note of the bytes that running takes by now.
    fn weigh_scratch(&self) {
        let each = panics::catch(|| Ok(self.stages.model().hints().scratch_bytes)).unwrap_or(0);
        let lanes = if self.driving.is_empty() { self.workers() } else { self.driving.len() };
        self.scratch.store(each.saturating_mul(lanes), Relaxed);
    }

    /// The bytes that may be in flight: what scratch leaves of the limit, but at least half of it, so that workers are not
    /// kept waiting for the sake of what they hold already.
    pub(super) fn memory_limit(&self) -> usize {
        let limit = self.settings.memory_limit;
        limit - self.scratch.load(Relaxed).min(limit / 2)
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, StateOf<S, I>> {
        // Panics of user code are caught inside units, which run without the lock: a poisoned state is still whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn workers(&self) -> usize {
        self.busy.len()
    }

    /// Waits until something may be ready, but no longer than `most`.
    pub(super) fn wait(&self, most: Duration, crew: &dyn Crew) {
        if crew.lend_a_hand() {
            return;
        }
        let mut state = self.lock();
        // A token that was cancelled before this is seen at once; one that is cancelled later, at the next look.
        let look_first = self.settings.cancel.is_cancelled() && !state.stopped;
        if !state.is_ready() && !look_first {
            state.waiting = true;
            let (mut state, _) = self.ready.wait_timeout(state, most).unwrap_or_else(PoisonError::into_inner);
            state.waiting = false;
        }
    }

    /// Has `waker` told when something may be ready; false: something is.
    #[cfg(feature = "stream")]
    pub(super) fn watch(&self, waker: &Waker) -> bool {
        let mut state = self.lock();
        let ready = state.is_ready();
        state.waker = (!ready).then(|| waker.clone());
        !ready
    }

    /// What a time-out does to a waiting consumer, at a moment of the checker's choice.
    #[cfg(all(test, shuttle))]
    pub(super) fn look(&self) {
        drop(self.lock());
        self.ready.notify_all();
    }

    /// Ends the job for the workers; items that no worker holds get an error that says `why`, or all is dropped.
    pub(super) fn stop(&self, why: Option<&str>) {
        let mut state = self.lock();
        // Of a job that was cut off somebody may still have wanted the results, until now.
        if state.stopped && (why.is_some() || state.why.is_none()) {
            return;
        }
        state.stopped = true;
        state.why = why.map(str::to_owned);
        let remains = state.abandon();
        self.chunk.notify_all();
        drop(state);
        Abandoned::let_go(remains);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use crate::{
        bulk::Bulk,
        error::Result,
        inference::{Inference, Slots},
        threads::split,
    };

    /// Notes over how many workers each chunk may be split.
    #[derive(Default)]
    struct Noting(Mutex<Vec<usize>>);

    impl Inference for Noting {
        type Input = u64;
        type Output = ();

        fn infer(&self, chunk: &[&u64], out: &mut Slots<'_, ()>) -> Result<()> {
            self.0.lock().unwrap().push(split::workers());
            std::thread::sleep(std::time::Duration::from_micros(500));
            (0..chunk.len()).for_each(|index| out.set(index, ()));
            Ok(())
        }
    }

    #[test]
    fn a_chunk_is_split_over_workers_that_have_nothing_to_do() {
        let splits = |items: u64| {
            let model = Arc::new(Noting::default());
            let bulk = Bulk::new(model.clone()).workers(3).chunk_size(1);
            let (results, _) = bulk.run(&(0..items).collect::<Vec<_>>());
            assert_eq!(results.len() as u64, items);
            model.0.lock().unwrap().clone()
        };
        assert_eq!(splits(1), [3]);
        let many = splits(200);
        assert!(many.iter().filter(|&&workers| workers == 1).count() > 150, "{many:?}");
        assert_eq!(many.last(), Some(&3));
    }

    /// Takes a while.
    struct Slow;

    impl Inference for Slow {
        type Input = ();
        type Output = ();

        fn infer(&self, _: &[&()], out: &mut Slots<'_, ()>) -> Result<()> {
            std::thread::sleep(std::time::Duration::from_millis(5));
            out.set(0, ());
            Ok(())
        }
    }

    #[test]
    fn a_report_counts_the_last_chunk() {
        for _ in 0..20 {
            let (_, report) = Bulk::new(Slow).workers(2).run(&[()]);
            assert!(report.worker_busy.iter().sum::<f64>() > 0.5, "{:?}", report.worker_busy);
        }
    }
}
