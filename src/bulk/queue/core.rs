//! What the threads of a queue share.

use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex, PoisonError},
    time::{Duration, Instant},
};

use rayon::ThreadPool;

use crate::{
    bulk::{
        job::{crew::lend_a_hand, drivers::Drivers, ledger::Ledger, tuner::Tuner, window::Entry},
        queue::handle::{Handle, Help, Ticket},
        settings::Settings,
        stages::Stages,
    },
    threads::panics::{self, lock},
};

/// What the threads of a queue share.
pub(in crate::bulk) struct Core<S: Stages<I>, I> {
    pub(in crate::bulk) stages: Arc<S>,
    pub(in crate::bulk) pool: Arc<ThreadPool>,
    pub(in crate::bulk) settings: Settings,
    pub(in crate::bulk) longest_wait: Duration,
    /// Bytes of items from their submission to the end of their chunk; changed under the lock of
    /// `state`.
    pub(in crate::bulk) ledger: Ledger,
    pub(in crate::bulk) state: Mutex<State<S, I>>,
    /// Notified when an item is submitted, a chunk moves on or ends, or the queue closes.
    pub(in crate::bulk) changed: Condvar,
}

/// The part of [`Core`] under its lock.
pub(in crate::bulk) struct State<S: Stages<I>, I> {
    /// Items that are in no chunk yet.
    pub(in crate::bulk) waiting: VecDeque<Submitted<I, S::Output>>,
    /// Chunks for drivers.
    pub(in crate::bulk) prepared: VecDeque<Chunk<S, I>>,
    pub(in crate::bulk) drivers: Drivers,
    /// Chunks that the thread which had them could not run.
    pub(in crate::bulk) stranded: VecDeque<Chunk<S, I>>,
    /// Workers that were asked to take a stranded chunk and have not answered.
    pub(in crate::bulk) asked: usize,
    pub(in crate::bulk) tuner: Tuner,
    submitted: usize,
    /// Chunks from gathering to their end.
    pub(in crate::bulk) running: usize,
    /// Workers that wait for this queue while running something, and do some of its work meanwhile.
    pub(in crate::bulk) helpers: usize,
    pub(in crate::bulk) closed: bool,
}

/// An item that waits for a chunk.
pub(in crate::bulk) struct Submitted<I, O> {
    pub(in crate::bulk) index: usize,
    pub(in crate::bulk) item: I,
    pub(in crate::bulk) bytes: usize,
    pub(in crate::bulk) since: Instant,
    pub(in crate::bulk) ticket: Arc<Ticket<O>>,
}

/// Prepared items that are run together.
pub(in crate::bulk) struct Chunk<S: Stages<I>, I> {
    pub(in crate::bulk) entries: Vec<Entry<S::Entry>>,
    pub(in crate::bulk) tickets: Vec<Arc<Ticket<S::Output>>>,
    /// Bytes of the submitted items, in flight until the chunk ends.
    pub(in crate::bulk) bytes: usize,
    /// The time spent on it so far.
    pub(in crate::bulk) took: Duration,
}

/// A queue without the type of its stages.
pub(in crate::bulk) trait Submit<I, O>: Send + Sync {
    /// Submits an item; see [`Queue::submit`](super::Queue::submit).
    fn submit(self: Arc<Self>, item: I) -> Handle<O>;
    /// Closes the queue: its threads end once it is empty.
    fn close(&self);
}

impl<S, I> Core<S, I>
where
    S: Stages<I> + 'static,
    I: Send + 'static,
{
    pub(in crate::bulk) fn new(
        stages: Arc<S>,
        pool: Arc<ThreadPool>,
        settings: Settings,
        longest_wait: Duration,
    ) -> Self {
        let state = State {
            waiting: VecDeque::new(),
            prepared: VecDeque::new(),
            drivers: Drivers::default(),
            stranded: VecDeque::new(),
            asked: 0,
            tuner: Tuner::of(stages.model(), &settings, pool.current_num_threads()),
            submitted: 0,
            running: 0,
            helpers: 0,
            closed: false,
        };
        let ledger = Ledger::new(settings.memory_limit);
        Self { stages, pool, settings, longest_wait, ledger, state: Mutex::new(state), changed: Condvar::new() }
    }

    /// Whether an item of `bytes` may be submitted now; if so, counts it.
    fn admit(&self, state: &State<S, I>, bytes: usize) -> bool {
        let idle = state.waiting.is_empty() && state.prepared.is_empty() && state.stranded.is_empty();
        // If all that is in flight waits for this item, it must be admitted.
        let stuck = idle && state.helpers > 0 && state.running <= state.helpers;
        let in_flight = self.ledger.in_flight();
        let room = in_flight == 0 || in_flight.saturating_add(bytes) <= self.ledger.limit() || stuck;
        self.ledger.add(if room { bytes } else { 0 });
        room
    }
}

impl<S, I> Submit<I, S::Output> for Core<S, I>
where
    S: Stages<I> + 'static,
    I: Send + 'static,
{
    fn submit(self: Arc<Self>, item: I) -> Handle<S::Output> {
        // A hook that panics here counts as no bytes; it will panic again on a worker, where that
        // is the item's error.
        let bytes = panics::catch(|| Ok(self.stages.item_bytes(self.stages.item(&item)))).unwrap_or(0);
        let ticket = Ticket::new();
        let admitted = || self.admit(&lock(&self.state), bytes);
        let helped = admitted() || self.help_until(&admitted);
        let mut state = lock(&self.state);
        while !helped && !self.admit(&state, bytes) {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let index = state.submitted;
        state.submitted += 1;
        state.waiting.push_back(Submitted { index, item, bytes, since: Instant::now(), ticket: Arc::clone(&ticket) });
        drop(state);
        self.changed.notify_all();
        let queue: Arc<dyn Help> = self;
        Handle::new(ticket, Arc::downgrade(&queue))
    }

    fn close(&self) {
        lock(&self.state).closed = true;
        self.changed.notify_all();
    }
}

impl<S: Stages<I>, I> State<S, I> {
    /// Whether nothing is left and nothing more will come.
    pub(in crate::bulk) fn is_over(&self) -> bool {
        self.closed && self.waiting.is_empty() && self.running == 0
    }
}

impl<S, I> Help for Core<S, I>
where
    S: Stages<I> + 'static,
    I: Send + 'static,
{
    fn help_until(&self, done: &dyn Fn() -> bool) -> bool {
        if self.pool.current_thread_index().is_none() {
            return false;
        }
        lock(&self.state).helpers += 1;
        self.changed.notify_all();
        while !done() {
            lend_a_hand(&self.pool);
        }
        lock(&self.state).helpers -= 1;
        true
    }
}
