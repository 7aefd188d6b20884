//! What the threads of a queue share.

use std::{
    collections::{BTreeMap, VecDeque},
    io,
    sync::{Arc, Condvar, Mutex, PoisonError},
    task::Waker,
    time::{Duration, Instant},
};

use crate::{
    bulk::{
        job::{
            drivers::{self, Drivers},
            ledger::Ledger,
            tuner::Tuner,
            window::Entry,
        },
        queue::{
            handle::{Handle, Help, Ticket},
            measures::{Answer, QueueMeasures, QueueReport},
        },
        runner::Choice,
        settings::Settings,
        stages::{Staged, Stages},
    },
    threads::{
        panics::{self, lock},
        pool::{ONLINE_SHARE, Pool},
        turns::Member,
    },
};

/// What the threads of a queue share.
pub(in crate::bulk) struct Core<S: Stages<I>, I> {
    pub(in crate::bulk) model: Choice<S>,
    pub(in crate::bulk) pool: Arc<Pool>,
    /// The queue as a user of the pool.
    pub(in crate::bulk) member: Member,
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
    /// The version of the model that the next chunk runs, and its number.
    pub(in crate::bulk) current: (u64, Arc<S>),
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
    /// Items that are submitted and not answered.
    pub(in crate::bulk) unanswered: usize,
    /// Chunks from gathering to their end: number of the first item, and when that was submitted.
    pub(in crate::bulk) running: Vec<(usize, Instant)>,
    /// Workers that wait for this queue while running something, and do some of its work meanwhile.
    pub(in crate::bulk) helpers: usize,
    pub(in crate::bulk) closed: bool,
    /// Tasks that wait for room.
    pub(in crate::bulk) wakers: BTreeMap<u64, Waker>,
    /// Tasks that have waited for room so far.
    wakers_so_far: u64,
    pub(in crate::bulk) measures: QueueMeasures,
}

/// An item that waits for a chunk.
pub(in crate::bulk) struct Submitted<I, O> {
    pub(in crate::bulk) index: usize,
    pub(in crate::bulk) item: I,
    pub(in crate::bulk) bytes: usize,
    pub(in crate::bulk) since: Instant,
    pub(in crate::bulk) ticket: Arc<Ticket<O>>,
}

/// Items that are to be run together, and the version of the model that runs them.
pub(in crate::bulk) struct Gathered<S: Staged, I> {
    pub(in crate::bulk) items: Vec<Submitted<I, S::Output>>,
    pub(in crate::bulk) version: (u64, Arc<S>),
}

/// Prepared items that are run together.
pub(in crate::bulk) struct Chunk<S: Stages<I>, I> {
    /// The number of its first item.
    pub(in crate::bulk) number: usize,
    pub(in crate::bulk) version: (u64, Arc<S>),
    pub(in crate::bulk) entries: Vec<Entry<S::Entry>>,
    /// The tickets of the entries, and when they were submitted.
    pub(in crate::bulk) tickets: Vec<(Arc<Ticket<S::Output>>, Instant)>,
    /// Items that were answered while they were prepared, and when they were submitted.
    pub(in crate::bulk) answered: Vec<(Answer, Instant)>,
    /// Bytes of the submitted items, in flight until the chunk ends.
    pub(in crate::bulk) bytes: usize,
    /// The time spent on it so far.
    pub(in crate::bulk) took: Duration,
}

/// A queue without the type of its stages.
pub(in crate::bulk) trait Submit<I, O>: Send + Sync {
    /// The bytes of an item.
    fn bytes(&self, item: &I) -> usize;
    /// Submits an item; see [`Queue::submit`](super::Queue::submit).
    fn submit(self: Arc<Self>, item: I) -> Handle<O>;
    /// Submits an item if there is room; else counts it as rejected and hands it back.
    fn try_submit(self: Arc<Self>, item: I) -> Result<Handle<O>, I>;
    /// Submits an item of `bytes` if there is room; else hands it back and keeps `waker`, under a
    /// number of its own, until there is.
    fn submit_or_wait(
        self: Arc<Self>,
        item: I,
        bytes: usize,
        number: &mut Option<u64>,
        waker: &Waker,
    ) -> Result<Handle<O>, I>;
    /// Drops the waker with this number.
    fn stop_waiting(&self, number: u64);
    /// Items that are submitted and not answered, and how long the oldest has waited.
    fn load(&self) -> (usize, Option<Duration>);
    fn report(&self) -> QueueReport;
    /// Closes the queue: its threads end once it is empty.
    fn close(&self);
}

impl<S, I> Core<S, I>
where
    S: Stages<I> + 'static,
    I: Send + 'static,
{
    pub(in crate::bulk) fn new(model: Choice<S>, pool: Arc<Pool>, settings: Settings, longest_wait: Duration) -> Self {
        // The number first: a version that comes in between is then taken up again.
        let current = (model.version(), model.stages());
        let state = State {
            tuner: Tuner::of(current.1.model(), &settings, pool.workers()),
            current,
            waiting: VecDeque::new(),
            prepared: VecDeque::new(),
            drivers: Drivers::default(),
            stranded: VecDeque::new(),
            asked: 0,
            unanswered: 0,
            running: Vec::new(),
            helpers: 0,
            closed: false,
            wakers: BTreeMap::new(),
            wakers_so_far: 0,
            measures: QueueMeasures::default(),
        };
        let ledger = Ledger::new(settings.memory_limit);
        let member = pool.join(settings.share.unwrap_or(ONLINE_SHARE));
        let (state, changed) = (Mutex::new(state), Condvar::new());
        Self { model, pool, member, settings, longest_wait, ledger, state, changed }
    }

    /// Starts the thread of a driver, which is counted already.
    pub(in crate::bulk) fn start_driver(self: &Arc<Self>, number: usize) -> io::Result<()> {
        let task = Arc::clone(self);
        drivers::thread(number).spawn(move || task.drive()).map(drop)
    }

    /// Takes up the version of the model that is current now, if it is another than before.
    pub(in crate::bulk) fn adopt(self: &Arc<Self>) {
        let number = self.model.version();
        let made = panics::catch(|| {
            let stages = self.model.stages();
            let tuner = Tuner::of(stages.model(), &self.settings, self.pool.workers());
            let drivers = drivers::wanted(stages.model());
            Ok((stages, tuner, drivers))
        });
        let mut state = lock(&self.state);
        // One that panics is not tried again.
        state.current.0 = number;
        let Ok((stages, tuner, drivers)) = made else { return };
        let before = std::mem::replace(&mut state.current.1, stages);
        state.tuner = tuner;
        let running = state.drivers.running();
        state.drivers.take_charge(drivers > 0);
        drop(state);
        panics::drop_quietly(before);
        for number in running..drivers {
            lock(&self.state).drivers.enter();
            if let Err(error) = self.start_driver(number) {
                lock(&self.state).drivers.fail(format!("a driver thread could not be started: {error}"));
                break;
            }
        }
        self.changed.notify_all();
    }

    /// Whether an item of `bytes` may be submitted now; if so, counts it.
    fn admit(&self, state: &mut State<S, I>, bytes: usize) -> bool {
        let idle = state.waiting.is_empty() && state.prepared.is_empty() && state.stranded.is_empty();
        // If all that is in flight waits for this item, it must be admitted.
        let stuck = idle && state.helpers > 0 && state.running.len() <= state.helpers;
        let in_flight = self.ledger.in_flight();
        let fits = in_flight == 0 || in_flight.saturating_add(bytes) <= self.ledger.limit();
        let room = fits && state.unanswered < self.settings.queue_limit || stuck;
        if room {
            self.ledger.add(bytes);
            state.unanswered += 1;
        }
        room
    }

    /// Lets an admitted item wait for a chunk.
    fn enqueue(self: Arc<Self>, item: I, bytes: usize) -> Handle<S::Output> {
        let ticket = Ticket::new();
        let mut state = lock(&self.state);
        let index = state.measures.submitted;
        state.measures.submitted += 1;
        state.waiting.push_back(Submitted { index, item, bytes, since: Instant::now(), ticket: Arc::clone(&ticket) });
        drop(state);
        self.changed.notify_all();
        let queue: Arc<dyn Help> = self;
        Handle::new(ticket, Arc::downgrade(&queue))
    }
}

impl<S, I> Submit<I, S::Output> for Core<S, I>
where
    S: Stages<I> + 'static,
    I: Send + 'static,
{
    fn bytes(&self, item: &I) -> usize {
        let stages = Arc::clone(&lock(&self.state).current.1);
        // A hook that panics here counts as no bytes; it will panic again on a worker, where that
        // is the item's error.
        let bytes = panics::catch(|| Ok(stages.item_bytes(stages.item(item)))).unwrap_or(0);
        panics::drop_quietly(stages);
        bytes
    }

    fn submit(self: Arc<Self>, item: I) -> Handle<S::Output> {
        let bytes = self.bytes(&item);
        let admitted = || self.admit(&mut lock(&self.state), bytes);
        if !admitted() && !self.help_until(&admitted) {
            let mut state = lock(&self.state);
            while !self.admit(&mut state, bytes) {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
        }
        self.enqueue(item, bytes)
    }

    fn try_submit(self: Arc<Self>, item: I) -> Result<Handle<S::Output>, I> {
        let bytes = self.bytes(&item);
        let mut state = lock(&self.state);
        if !self.admit(&mut state, bytes) {
            state.measures.rejected += 1;
            return Err(item);
        }
        drop(state);
        Ok(self.enqueue(item, bytes))
    }

    fn submit_or_wait(
        self: Arc<Self>,
        item: I,
        bytes: usize,
        number: &mut Option<u64>,
        waker: &Waker,
    ) -> Result<Handle<S::Output>, I> {
        // A waker is code of others, which does not run under the lock.
        let waker = waker.clone();
        let mut state = lock(&self.state);
        if self.admit(&mut state, bytes) {
            let before = number.take().and_then(|number| state.wakers.remove(&number));
            drop(state);
            panics::drop_quietly((before, waker));
            return Ok(self.enqueue(item, bytes));
        }
        let next = state.wakers_so_far;
        let own = *number.get_or_insert(next);
        state.wakers_so_far += u64::from(own == next);
        let before = state.wakers.insert(own, waker);
        drop(state);
        panics::drop_quietly(before);
        Err(item)
    }

    fn stop_waiting(&self, number: u64) {
        let waker = lock(&self.state).wakers.remove(&number);
        panics::drop_quietly(waker);
    }

    fn load(&self) -> (usize, Option<Duration>) {
        let state = lock(&self.state);
        (state.unanswered, state.oldest())
    }

    fn report(&self) -> QueueReport {
        let state = lock(&self.state);
        state.measures.report(state.unanswered, self.ledger.in_flight(), state.oldest())
    }

    fn close(&self) {
        lock(&self.state).closed = true;
        self.changed.notify_all();
    }
}

impl<S: Stages<I>, I> State<S, I> {
    /// Whether nothing is left and nothing more will come.
    pub(in crate::bulk) fn is_over(&self) -> bool {
        self.closed && self.waiting.is_empty() && self.running.is_empty()
    }

    /// How long the oldest item that is not answered has waited.
    fn oldest(&self) -> Option<Duration> {
        let waiting = self.waiting.front().map(|submitted| submitted.since);
        let running = self.running.iter().map(|&(_, since)| since);
        running.chain(waiting).min().map(|since| since.elapsed())
    }
}

impl<S, I> Help for Core<S, I>
where
    S: Stages<I> + 'static,
    I: Send + 'static,
{
    fn help_until(&self, done: &dyn Fn() -> bool) -> bool {
        if !self.pool.is_here() {
            return false;
        }
        lock(&self.state).helpers += 1;
        self.changed.notify_all();
        while !done() {
            self.pool.help(&self.member);
        }
        lock(&self.state).helpers -= 1;
        true
    }
}
