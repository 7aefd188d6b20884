//! One job: what its consumer, workers and drivers share, and the units of work that they take from
//! it.
//!
//! A worker never waits for input. A *pump* takes one unit of work (prepare some items, sort a
//! window, run a chunk) in each of its turns. With nothing to take it ends, and the thread that adds
//! work next launches a new one. Pumps never outnumber workers.
//! See README.md in the folder of this module.

pub(in crate::bulk) mod chunk;
pub(in crate::bulk) mod crew;
mod drive;
pub(in crate::bulk) mod drivers;
pub(in crate::bulk) mod feed;
pub(in crate::bulk) mod intake;
pub(in crate::bulk) mod ledger;
pub(in crate::bulk) mod pooled;
mod prepare;
mod pull;
mod pumps;
pub(in crate::bulk) mod results;
mod run;
pub(in crate::bulk) mod running;
#[cfg(all(test, shuttle))]
mod shuttle_check;
mod slots;
mod state;
mod summary;
mod tally;
pub(in crate::bulk) mod tuner;
mod unit;
pub(in crate::bulk) mod window;

use std::{
    sync::{Arc, PoisonError},
    time::{Duration, Instant},
};

#[cfg(feature = "stream")]
use std::task::Waker;

use crate::{
    bulk::{
        job::{chunk::Raw, crew::Crew, ledger::Ledger, state::State, tuner::Tuner, unit::Abandoned},
        settings::Settings,
        stages::{Staged, Stages},
        sync::{self, Condvar, Mutex, MutexGuard, atomic::AtomicU64},
    },
    inference::{Description, Inference},
    threads::panics,
};

/// The state of a job.
pub(super) type StateOf<S, I> = State<I, <S as Stages<I>>::Entry, Raw<S>, <S as Staged>::Output>;

/// One job over items that come as `I`.
pub(super) struct Job<S: Stages<I>, I> {
    pub(super) stages: Arc<S>,
    pub(super) settings: Settings,
    /// When the job was made; its clock starts here.
    made: Instant,
    /// The model's description before the job.
    pub(super) before: Description,
    pub(super) ledger: Ledger,
    /// Nanoseconds that each worker was busy.
    pub(super) busy: Vec<AtomicU64>,
    /// Nanoseconds that each driver spent in the model; empty if the workers run the chunks.
    pub(super) driving: Vec<AtomicU64>,
    state: Mutex<StateOf<S, I>>,
    /// Notified when a result is ready, if the consumer waits.
    ready: Condvar,
    /// Notified when a chunk is ready for a driver, and at the end.
    pub(super) chunk: Condvar,
}

impl<S: Stages<I>, I> Job<S, I> {
    pub(super) fn new(stages: Arc<S>, workers: usize, settings: Settings, ordered: bool) -> Self {
        panics::keep_backtraces();
        let drivers = drivers::wanted(stages.model());
        let state = State::new(Tuner::of(stages.model(), &settings, workers), ordered, S::FIRST);
        let job = Self {
            before: stages.model().describe(),
            stages,
            ledger: Ledger::new(settings.memory_limit),
            settings,
            made: sync::now(),
            busy: (0..workers).map(|_| AtomicU64::new(0)).collect(),
            driving: (0..drivers).map(|_| AtomicU64::new(0)).collect(),
            state: Mutex::new(state),
            ready: Condvar::new(),
            chunk: Condvar::new(),
        };
        job.weigh_scratch();
        job
    }

    /// Updates the bytes of scratch, which may grow with each chunk.
    fn weigh_scratch(&self) {
        let each = panics::catch(|| Ok(self.stages.model().hints().scratch_bytes)).unwrap_or(0);
        let lanes = if self.driving.is_empty() { self.workers() } else { self.driving.len() };
        self.ledger.set_scratch(each.saturating_mul(lanes));
    }

    /// Locks the state.
    pub(super) fn lock(&self) -> MutexGuard<'_, StateOf<S, I>> {
        // Panics of user code are caught inside units, which run without the lock: a poisoned state
        // is still whole.
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
        // A token that is cancelled already is acted on at once; one cancelled later, after the
        // wait.
        let look_first = self.settings.cancel.is_cancelled() && !state.stopped;
        if !state.is_ready() && !look_first {
            state.waiting = true;
            let (mut state, _) = self.ready.wait_timeout(state, most).unwrap_or_else(PoisonError::into_inner);
            state.waiting = false;
        }
    }

    /// Registers `waker` to be woken when a result may be ready; false if one is ready now.
    #[cfg(feature = "stream")]
    pub(super) fn watch(&self, waker: &Waker) -> bool {
        let mut state = self.lock();
        let ready = state.is_ready();
        state.waker = (!ready).then(|| waker.clone());
        !ready
    }

    /// Wakes a waiting consumer as a time-out does, at a moment of the checker's choice.
    #[cfg(all(test, shuttle))]
    pub(super) fn look(&self) {
        drop(self.lock());
        self.ready.notify_all();
    }

    /// Ends the job for the workers.
    ///
    /// Items that no worker holds get an error that says `why`; without it everything is dropped.
    pub(super) fn stop(&self, why: Option<&str>) {
        let mut state = self.lock();
        // A cut-off job keeps its results until the consumer drops it.
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

    /// Records how many workers each chunk may be split over.
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
    fn a_chunk_is_split_over_idle_workers() {
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
            std::thread::sleep(std::time::Duration::from_millis(25));
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
