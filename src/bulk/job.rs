//! One job: what the consumer's thread and the workers share, and the units of work that the workers take from it.
//!
//! A worker never waits for input. A *pump* is a rayon task that takes one unit (prepare some items, sort a window,
//! run a chunk), does it, and starts itself again; when nothing is left to take it ends, and whoever adds work next
//! starts a new one. There are never more pumps than workers.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    task::Waker,
    thread,
    time::{Duration, Instant},
};

use rayon::{ThreadPool, Yield};

use super::{
    Settings, guard,
    report::ChunkItems,
    run::{Outcome, run_chunk},
    stages::{Ready, Stages},
    tuner::{Mean, Tuner},
    window::{Batch, Block, Done, Entry, Remains, Window},
};
use crate::{
    error::{Error, ItemError, Result, Stage},
    inference::{Description, Inference},
};

/// The work that one unit of preparing aims at.
const PREPARE_NS: f64 = 5e5;

pub(super) struct Job<S: Stages<I>, I> {
    pub(super) stages: Arc<S>,
    pub(super) pool: Arc<ThreadPool>,
    pub(super) settings: Settings,
    /// What the model said of itself before the job.
    pub(super) before: Description,
    /// Bytes in flight: items, entries, results not yet taken.
    pub(super) bytes: AtomicUsize,
    /// Nanoseconds at work, for each worker.
    pub(super) busy: Vec<AtomicU64>,
    state: Mutex<State<I, S::Entry, S::Output>>,
    ready: Condvar,
}

/// How to start a turn of a pump.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Launch {
    /// Somewhere in the pool: a pump goes on, or a new one starts.
    Turn,
    /// On every worker, uncounted: those that can run chunks become pumps.
    Probe,
}

pub(super) struct State<I, E, O> {
    windows: VecDeque<Window<I, E, O>>,
    /// How many windows came before the first one here.
    retired: usize,
    /// Results in the order of completion, if that is asked for.
    done: Option<Done<O>>,
    pub(super) pulled: usize,
    pub(super) taken: usize,
    /// Pumps that are started.
    pumps: usize,
    /// Units in workers' hands.
    units: usize,
    /// Whether the consumer waits on the condition variable.
    waiting: bool,
    /// Who is told instead, where the consumer does not wait but is polled.
    waker: Option<Waker>,
    /// Whether the source gives nothing more for now: it has ended, or what is in flight is enough.
    pub(super) stalled: bool,
    /// Whether the job is over for the workers.
    stopped: bool,
    /// What items that were not reached are told; without it, nobody wants to know.
    why: Option<String>,
    pub(super) tuner: Tuner,
    prepare_ns: Mean,
    prepare_most: usize,
    pub(super) entry_bytes: Mean,
    pub(super) output_bytes: Mean,
    pub(super) chunks: ChunkItems,
}

/// What a job that is over leaves behind.
type Abandoned<I, E, O> = (Vec<Remains<I, E>>, VecDeque<Window<I, E, O>>, Option<Done<O>>);

enum Unit<I, E> {
    Prepare(usize, Block<I>),
    Sort(usize, VecDeque<Entry<E>>),
    Run(usize, Vec<Entry<E>>),
}

/// What became of a block.
struct Prepared<I, E, O> {
    entries: VecDeque<Entry<E>>,
    sorted: bool,
    /// Results that were known without running, and the bytes they hold.
    done: Vec<(usize, O)>,
    done_bytes: usize,
    failed: Vec<(usize, Stage, Error)>,
    /// Not begun, for want of memory.
    rest: Option<Block<I>>,
    bytes: usize,
}

impl<S: Stages<I>, I> Job<S, I> {
    pub(super) fn new(stages: Arc<S>, pool: Arc<ThreadPool>, settings: Settings, ordered: bool) -> Self {
        guard::keep_backtraces();
        let workers = pool.current_num_threads();
        let ceiling = settings.max_chunk_cost.or_else(|| stages.model().preferred_chunk_cost());
        let state = State {
            windows: VecDeque::new(),
            retired: 0,
            done: (!ordered).then(VecDeque::new),
            pulled: 0,
            taken: 0,
            pumps: 0,
            units: 0,
            waiting: false,
            waker: None,
            stalled: false,
            stopped: false,
            why: None,
            tuner: Tuner::new(workers, settings.chunk_size, ceiling),
            prepare_ns: Mean::default(),
            prepare_most: if S::PREPARES { 1 } else { 256 },
            entry_bytes: Mean::default(),
            output_bytes: Mean::default(),
            chunks: ChunkItems::default(),
        };
        Self {
            before: stages.model().describe(),
            stages,
            pool,
            settings,
            bytes: AtomicUsize::new(0),
            busy: (0..workers).map(|_| AtomicU64::new(0)).collect(),
            state: Mutex::new(state),
            ready: Condvar::new(),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State<I, S::Entry, S::Output>> {
        // Panics of user code are caught inside units, which run without the lock: a poisoned state is still whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn workers(&self) -> usize {
        self.busy.len()
    }

    /// Waits until something may be ready, but no longer than `most`.
    pub(super) fn wait(&self, most: Duration) {
        if self.pool.current_thread_index().is_some() {
            // The consumer is itself a worker of this pool: it lends a hand instead of sleeping.
            if self.pool.yield_now() != Some(Yield::Executed) {
                std::thread::yield_now();
            }
            return;
        }
        let mut state = self.lock();
        if !state.is_ready() {
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

    /// Counts one more pump if there is work for it; the caller then starts it.
    pub(super) fn more_pumps(&self, state: &mut State<I, S::Entry, S::Output>) -> bool {
        let more = !state.stopped && state.pumps < self.workers() && state.has_work();
        state.pumps += usize::from(more);
        more
    }

    /// On a worker that was asked whether it can run chunks: it becomes a pump if so, and if one is wanted.
    pub(super) fn probe(&self, launch: &dyn Fn(Launch)) {
        if self.stages.model().ready_here() && self.more_pumps(&mut self.lock()) {
            self.turn(launch);
        }
    }

    /// One turn of a pump: takes a unit of work, does it, and has `launch` start the next turn; or ends the pump.
    pub(super) fn turn(&self, launch: &dyn Fn(Launch)) {
        let started = Instant::now();
        let ready_here = self.stages.model().ready_here();
        let mut state = self.lock();
        let Some(unit) = self.pick(&mut state, ready_here) else {
            state.pumps -= 1;
            let elsewhere = !ready_here && state.pumps == 0 && !state.stopped && state.has_work();
            // Whoever is polled must come and end a job that was cancelled.
            let waker = if self.settings.cancel.is_cancelled() { state.waker.take() } else { None };
            drop(state);
            if let Some(waker) = waker {
                waker.wake();
            }
            if elsewhere {
                // Nobody is left to take what this worker cannot.
                launch(Launch::Probe);
            }
            return;
        };
        state.units += 1;
        let more = self.more_pumps(&mut state);
        drop(state);
        if more {
            launch(Launch::Turn);
        }
        match unit {
            Unit::Prepare(window, block) => self.prepare(window, block, started),
            Unit::Sort(window, mut entries) => {
                entries.make_contiguous().sort_by_key(|entry| std::cmp::Reverse(entry.cost));
                let mut state = self.lock();
                state.units -= 1;
                if let Some((window, _)) = state.window(window) {
                    window.preparing -= entries.len();
                    window.enqueue(entries, true);
                }
                self.settle(state);
            }
            Unit::Run(window, entries) => self.run(window, entries, started),
        }
        if let Some(busy) = rayon::current_thread_index().and_then(|worker| self.busy.get(worker)) {
            busy.fetch_add(started.elapsed().as_nanos() as u64, Relaxed);
        }
        launch(Launch::Turn);
    }

    /// The next unit of work: a chunk of a window that is all prepared; else something to prepare; else, so that
    /// nobody idles, a chunk of what is there.
    fn pick(&self, state: &mut State<I, S::Entry, S::Output>, can_run: bool) -> Option<Unit<I, S::Entry>> {
        if state.stopped || self.settings.cancel.is_cancelled() {
            return None;
        }
        let complete = |window: &Window<_, _, _>| can_run && window.complete() && !window.entries.is_empty();
        if let Some(place) = state.windows.iter().position(complete) {
            return Some(state.cut(place));
        }
        if let Some(unit) = self.pick_block(state) {
            return Some(unit);
        }
        if !can_run {
            return None;
        }
        // A fixed chunk size is worth waiting for, as long as more can come.
        let least =
            if state.stalled || S::PREPARES && state.unprepared() > 0 { 1 } else { state.tuner.fixed().unwrap_or(1) };
        let place = state.windows.iter().position(|window| {
            let ended = !window.open && window.unprepared == 0;
            window.entries.len() >= if ended { 1 } else { least }
        })?;
        Some(state.cut(place))
    }

    /// The oldest block, or as much of it as makes a good unit and as memory allows.
    fn pick_block(&self, state: &mut State<I, S::Entry, S::Output>) -> Option<Unit<I, S::Entry>> {
        let place = state.windows.iter().position(|window| window.unprepared > 0)?;
        let aim = state.prepare_ns.get().map_or(1, |ns| (PREPARE_NS / ns.max(0.1)) as usize);
        let mut count = aim.clamp(1, state.prepare_most);
        if S::PREPARES {
            // Room is kept for the results of what is prepared, and for what is being prepared now.
            let (entry, output) = (state.entry_bytes.get().unwrap_or(0.0), state.output_bytes.get().unwrap_or(0.0));
            let preparing: usize = state.windows.iter().map(|window| window.preparing).sum();
            let prepared = state.unfinished() - state.unprepared();
            let expected = preparing as f64 * entry + prepared as f64 * output;
            let free = self.settings.memory_limit as f64 - self.bytes.load(Relaxed) as f64 - expected;
            let fits = (free.max(0.0) / (entry + output).max(1.0)) as usize;
            if fits == 0 {
                let window = &state.windows[place];
                let first = window.blocks.front().map(|block| window.first + block.start);
                // The oldest item goes ahead whatever it takes, once nothing else can make progress.
                let oldest = if state.done.is_some() { !state.is_ready() } else { first == Some(state.taken) };
                if !(oldest && state.units == 0 && state.queued() == 0) {
                    return None;
                }
            }
            count = count.min(fits.max(1));
        }
        let block = state.windows[place].take_block(count)?;
        Some(Unit::Prepare(state.retired + place, block))
    }

    fn prepare(&self, window: usize, block: Block<I>, started: Instant) {
        let count = block.items.len();
        let prepared = self.prepare_block(block);
        let took = started.elapsed().as_nanos() as f64;
        let mut state = self.lock();
        if let Some((window, done)) = state.window(window) {
            window.preparing -= count;
            let known = prepared.done.len();
            for (place, output) in prepared.done {
                window.write(place, Ok(output), done);
            }
            for (place, stage, source) in prepared.failed {
                window.write(place, Err(ItemError { index: window.first + place, stage, source }), done);
            }
            if let Some(rest) = prepared.rest {
                window.put_back(rest);
            }
            let (entries, bytes) = (prepared.entries.len(), prepared.bytes);
            window.enqueue(prepared.entries, prepared.sorted);
            state.entry_bytes.add(bytes as f64, entries as f64);
            if known > 0 {
                state.output_bytes.add(prepared.done_bytes as f64, known as f64);
            }
            state.prepare_ns.add(took, count as f64);
            state.prepare_most = state.prepare_most.max(count.saturating_mul(4));
        }
        state.units -= 1;
        self.settle(state);
    }

    /// The end of a unit: tells the consumer if something is ready; and what came back to a job that is over is not
    /// left without results.
    fn settle(&self, mut state: MutexGuard<'_, State<I, S::Entry, S::Output>>) {
        let remains = state.abandon();
        let ready = state.is_ready();
        if state.waiting && ready {
            self.ready.notify_one();
        }
        let waker = if ready { state.waker.take() } else { None };
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
        drop(remains);
    }

    fn prepare_block(&self, block: Block<I>) -> Prepared<I, S::Entry, S::Output> {
        let mut prepared = Prepared {
            entries: VecDeque::with_capacity(block.items.len()),
            sorted: true,
            done: Vec::new(),
            done_bytes: 0,
            failed: Vec::new(),
            rest: None,
            bytes: 0,
        };
        let (mut items, mut place, mut last_cost) = (block.items, block.start, u64::MAX);
        let model = self.stages.model();
        // Bytes of the item at hand, until its entry stands for them.
        let mut at_hand = 0;
        loop {
            let outcome = guard::catch(|| {
                while let Some(item) = items.pop_front() {
                    place += 1;
                    let item = match item {
                        Ok(item) => item,
                        Err(error) => {
                            prepared.failed.push((place - 1, Stage::Read, error));
                            continue;
                        }
                    };
                    if S::PREPARES {
                        at_hand = self.stages.item_bytes(self.stages.item(&item));
                    }
                    let value = match self.stages.prepare(item)? {
                        Ready::Run(value) => value,
                        Ready::Done(output) => {
                            let bytes = self.stages.output_bytes(&output);
                            prepared.done_bytes += bytes;
                            prepared.done.push((place - 1, output));
                            let before = self.bytes.fetch_add(bytes, Relaxed);
                            self.bytes.fetch_sub(std::mem::take(&mut at_hand), Relaxed);
                            if before.saturating_add(bytes) > self.settings.memory_limit {
                                break;
                            }
                            continue;
                        }
                    };
                    let input = self.stages.input(&value);
                    let (cost, bytes) = (model.cost(input).max(1), model.input_bytes(input));
                    prepared.sorted &= cost <= last_cost;
                    last_cost = cost;
                    prepared.bytes += bytes;
                    prepared.entries.push_back(Entry { place: place - 1, cost, bytes, value });
                    if S::PREPARES {
                        let before = self.bytes.fetch_add(bytes, Relaxed);
                        self.bytes.fetch_sub(std::mem::take(&mut at_hand), Relaxed);
                        if before.saturating_add(bytes) > self.settings.memory_limit {
                            break;
                        }
                    }
                }
                Ok(())
            });
            let Err(error) = outcome else { break };
            self.bytes.fetch_sub(std::mem::take(&mut at_hand), Relaxed);
            prepared.failed.push((place - 1, Stage::Prepare, error));
        }
        if !items.is_empty() {
            prepared.rest = Some(Block { start: place, items });
        }
        prepared
    }

    fn run(&self, window: usize, entries: Vec<Entry<S::Entry>>, started: Instant) {
        tracing::debug!(worker = thread::current().name(), items = entries.len(), "chunk started");
        let Some(Outcome { results, bytes }) = run_chunk(&*self.stages, &entries) else {
            let mut state = self.lock();
            if let Some((window, _)) = state.window(window) {
                window.restore(entries);
            }
            state.units -= 1;
            return self.settle(state);
        };
        let took = started.elapsed();
        let (count, succeeded) = (entries.len(), results.iter().filter(|result| result.is_ok()).count());
        let (cost, input_bytes) = entries
            .iter()
            .fold((0_u64, 0), |(cost, bytes), entry| (cost.saturating_add(entry.cost), bytes + entry.bytes));
        tracing::debug!(
            worker = thread::current().name(),
            items = count,
            failed = count - succeeded,
            cost,
            seconds = took.as_secs_f64(),
            "chunk ended"
        );
        let places: Vec<usize> = entries.iter().map(|entry| entry.place).collect();
        // An input whose `drop` panics must not take the pump along.
        let _ = guard::catch(|| {
            drop(entries);
            Ok(())
        });
        self.bytes.fetch_add(bytes, Relaxed);
        self.bytes.fetch_sub(input_bytes, Relaxed);
        let mut state = self.lock();
        if let Some((window, done)) = state.window(window) {
            for (place, result) in places.into_iter().zip(results) {
                let index = window.first + place;
                let result = result.map_err(|(stage, source)| ItemError { index, stage, source });
                window.write(place, result, done);
            }
        }
        state.units -= 1;
        state.tuner.measured(count, cost, took);
        state.output_bytes.add(bytes as f64, succeeded as f64);
        state.chunks.add(count, took);
        self.settle(state);
    }

    /// Ends the job for the workers; items that no worker holds get an error that says `why`, or are dropped.
    pub(super) fn stop(&self, why: Option<&str>) {
        let mut state = self.lock();
        if state.stopped {
            return;
        }
        state.stopped = true;
        state.why = why.map(str::to_owned);
        let remains = state.abandon();
        drop(state);
        drop(remains);
    }
}

impl<I, E, O> State<I, E, O> {
    /// A window by its number, unless it is gone, and where results go that are wanted as they come.
    #[expect(clippy::type_complexity, reason = "two fields, borrowed together")]
    fn window(&mut self, number: usize) -> Option<(&mut Window<I, E, O>, &mut Option<Done<O>>)> {
        Some((self.windows.get_mut(number.checked_sub(self.retired)?)?, &mut self.done))
    }

    /// Once the job is over: gives what no worker holds its error, or lets all of it go; it comes back to be dropped
    /// outside the lock.
    fn abandon(&mut self) -> Option<Abandoned<I, E, O>> {
        if !self.stopped {
            return None;
        }
        let Some(why) = &self.why else {
            self.retired += self.windows.len();
            return Some((Vec::new(), std::mem::take(&mut self.windows), self.done.as_mut().map(std::mem::take)));
        };
        let remains = self.windows.iter_mut().map(|window| window.abandon(why, &mut self.done)).collect();
        Some((remains, VecDeque::new(), None))
    }

    /// Adds what was pulled to the open window; `last`: and closes it.
    pub(super) fn push(&mut self, items: VecDeque<Result<I>>, last: bool) {
        if !self.is_open() {
            self.windows.push_back(Window::new(self.pulled));
        }
        self.pulled += items.len();
        if let Some(window) = self.windows.back_mut() {
            window.push(items);
            window.open = !last;
        }
    }

    /// Items that the open window still takes.
    pub(super) fn window_room(&self, window_items: usize) -> usize {
        let used = self.windows.back().filter(|window| window.open).map_or(0, |window| window.len);
        window_items.saturating_sub(used).max(1)
    }

    /// Closes the open window: nothing more comes.
    pub(super) fn close(&mut self) {
        self.stalled = true;
        if let Some(window) = self.windows.back_mut() {
            window.open = false;
        }
    }

    /// Whether a window takes more items.
    pub(super) fn is_open(&self) -> bool {
        self.windows.back().is_some_and(|window| window.open)
    }

    /// Items that are pulled and not prepared.
    pub(super) fn unprepared(&self) -> usize {
        self.windows.iter().map(|window| window.unprepared).sum()
    }

    /// Items that are pulled and have no result.
    pub(super) fn unfinished(&self) -> usize {
        self.windows.iter().map(|window| window.len - window.written).sum()
    }

    fn queued(&self) -> usize {
        self.windows.iter().map(|window| window.entries.len()).sum()
    }

    fn has_work(&self) -> bool {
        self.windows.iter().any(|window| window.unprepared > 0 || !window.entries.is_empty())
    }

    fn cut<I2>(&mut self, place: usize) -> Unit<I2, E> {
        let unprepared = self.unprepared() as f64 * self.tuner.item_cost();
        let queued = self.windows.iter().fold(unprepared as u64, |sum, window| sum.saturating_add(window.queued_cost));
        let window = &mut self.windows[place];
        if window.sorted {
            let most = self.tuner.fixed().unwrap_or(usize::MAX);
            Unit::Run(self.retired + place, window.cut(self.tuner.target(queued), most))
        } else {
            Unit::Sort(self.retired + place, window.take_entries())
        }
    }

    /// Whether a result waits to be taken.
    fn is_ready(&self) -> bool {
        match &self.done {
            Some(done) => !done.is_empty(),
            None => {
                self.windows.front().is_some_and(|window| window.slots.get(window.taken).is_some_and(Option::is_some))
            }
        }
    }

    /// Moves the results that can be handed on to `batch`.
    pub(super) fn take_ready(&mut self, batch: &mut Batch<O>) {
        let before = batch.len();
        if let Some(done) = &mut self.done {
            batch.append(done);
            while self.windows.front().is_some_and(Window::done) {
                self.windows.pop_front();
                self.retired += 1;
            }
        } else {
            while self.windows.front_mut().is_some_and(|window| window.take_front(batch)) {
                self.windows.pop_front();
                self.retired += 1;
            }
        }
        self.taken += batch.len() - before;
    }
}
