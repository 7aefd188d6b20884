//! One job: what the consumer's thread and the workers share, and the units of work that the workers take from it.
//!
//! A worker never waits for input. A *pump* is a rayon task that takes one unit (prepare some items, sort a window,
//! run a chunk), does it, and starts itself again; when nothing is left to take it ends, and whoever adds work next
//! starts a new one. There are never more pumps than workers.

use std::{
    collections::VecDeque,
    sync::{Arc, PoisonError},
    thread,
    time::{Duration, Instant},
};

#[cfg(feature = "stream")]
use std::task::Waker;

use smallvec::SmallVec;

use super::{
    Settings, drive, guard,
    measures::SLOWEST,
    results::Places,
    run::{Outcome, Raw, finish_chunk, infer_chunk, prepare_item},
    stages::{Ready, Staged, Stages},
    state::{Abandoned, Ran, State, Unit},
    sync::{
        self, Condvar, Mutex, MutexGuard,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    tuner::Tuner,
    window::{Block, Chunk, Entry},
};
use crate::{
    cpu::split::with_workers,
    error::{Error, ItemError, Stage},
    inference::{Description, Inference},
};

/// The work that one unit of preparing aims at.
const PREPARE_NS: f64 = 5e5;
/// The least work that other workers are woken for.
const LEAST_SPLIT_NS: f64 = 2e5;
/// The job's clock for waits, in nanoseconds: it comes round in twelve hours.
const TICK_NS: u128 = 10_000;

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

/// What became of a block.
struct Prepared<I, E, O> {
    entries: VecDeque<Entry<E>>,
    cost: u64,
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
    pub(super) fn new(stages: Arc<S>, workers: usize, settings: Settings, ordered: bool) -> Self {
        guard::keep_backtraces();
        let drivers = drive::wanted(stages.model());
        let state = State::new(Tuner::of(stages.model(), &settings, workers), ordered, S::PREPARES);
        Self {
            before: stages.model().describe(),
            stages,
            settings,
            made: sync::now(),
            bytes: AtomicUsize::new(0),
            busy: (0..workers).map(|_| AtomicU64::new(0)).collect(),
            driving: (0..drivers).map(|_| AtomicU64::new(0)).collect(),
            state: Mutex::new(state),
            ready: Condvar::new(),
            chunk: Condvar::new(),
        }
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

    /// Counts one more pump if there is work for it; the caller then starts it.
    pub(super) fn more_pumps(&self, state: &mut StateOf<S, I>) -> bool {
        let more = state.pumps < self.workers() && state.has_work();
        state.pumps += usize::from(more);
        self.tell_driver(state);
        more
    }

    /// On a worker that was asked whether it can run chunks: it becomes a pump if so, and if one is wanted.
    pub(super) fn probe(&self, crew: &dyn Crew) {
        if self.stages.model().ready_here() && self.more_pumps(&mut self.lock()) {
            self.turn(crew);
        }
    }

    /// One turn of a pump: takes a unit of work, does it, and has `launch` start the next turn; or ends the pump.
    pub(super) fn turn(&self, crew: &dyn Crew) {
        let started = sync::now();
        let ready_here = self.stages.model().ready_here();
        let mut state = self.lock();
        let can_run = ready_here && !state.driven;
        let Some(unit) = self.pick(&mut state, can_run) else {
            state.pumps -= 1;
            let elsewhere = !ready_here && !state.driven && state.pumps == 0 && state.has_work();
            self.tell_driver(&state);
            // Whoever is polled must come and end a job that was cancelled.
            let waker = if self.settings.cancel.is_cancelled() { state.waker.take() } else { None };
            drop(state);
            if let Some(waker) = waker {
                waker.wake();
            }
            if elsewhere {
                // Nobody is left to take what this worker cannot.
                crew.launch(Launch::Probe);
            }
            return;
        };
        state.units += 1;
        let more = self.more_pumps(&mut state);
        // Where nothing else waits, the other workers may take a part of a chunk that is long enough.
        let long = |items: usize| state.tuner.expected_ns(items).is_none_or(|ns| ns >= LEAST_SPLIT_NS);
        let split_over = match &unit {
            Unit::Run(chunk) if !state.has_work() && long(chunk.entries.len()) => self.workers(),
            _ => 1,
        };
        drop(state);
        if more {
            crew.launch(Launch::Turn);
        }
        match unit {
            Unit::Prepare(window, block) => self.prepare(window, block, started),
            Unit::Sort(window, mut entries) => {
                entries.make_contiguous().sort_by_key(|entry| std::cmp::Reverse(entry.cost));
                let mut state = self.lock();
                state.units -= 1;
                if let Some((window, _)) = state.window(window) {
                    window.preparing -= entries.len();
                    let cost = entries.iter().fold(0_u64, |sum, entry| sum.saturating_add(entry.cost));
                    window.enqueue(entries, cost, true);
                }
                self.settle(state, started);
            }
            Unit::Run(chunk) => {
                if let Some(ran) = with_workers(split_over, || self.run(chunk, started)) {
                    self.finish(ran, started);
                }
            }
            Unit::Finish(ran) => self.finish(ran, started),
        }
        crew.launch(Launch::Turn);
    }

    /// The next unit of work: a chunk of a window that is all prepared; else something to prepare; else, so that
    /// nobody idles, a chunk of what is there.
    fn pick(&self, state: &mut StateOf<S, I>, can_run: bool) -> Option<Unit<I, S::Entry, Raw<S>>> {
        // What has been run is handed on even after the job's end, if anybody wants to know.
        if let Some(ran) = state.finishing.pop_front() {
            return Some(Unit::Finish(ran));
        }
        if state.stopped || self.settings.cancel.is_cancelled() {
            return None;
        }
        let can_run = can_run && !state.tuner.holds_back();
        // Who cannot run can sort.
        if let Some(place) = state.complete(|window| can_run || !window.sorted) {
            return Some(state.cut(place));
        }
        if let Some(unit) = self.pick_block(state) {
            return Some(unit);
        }
        let place = state.incomplete(S::PREPARES, |window| can_run || !window.sorted)?;
        Some(state.cut(place))
    }

    /// The oldest block, or as much of it as makes a good unit and as memory allows.
    fn pick_block(&self, state: &mut StateOf<S, I>) -> Option<Unit<I, S::Entry, Raw<S>>> {
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
                if !(oldest && state.units == 0 && state.queued() == 0 && state.finishing.is_empty()) {
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
        let took = sync::now().duration_since(started).as_nanos() as f64;
        let mut state = self.lock();
        let late = if let Some((window, done)) = state.window(window) {
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
            window.enqueue(prepared.entries, prepared.cost, prepared.sorted);
            state.entry_bytes.add(bytes as f64, entries as f64);
            if known > 0 {
                state.output_bytes.add(prepared.done_bytes as f64, known as f64);
            }
            state.prepare_ns.add(took, count as f64);
            state.prepare_most = state.prepare_most.max(count.saturating_mul(4));
            None
        } else {
            Some(prepared)
        };
        state.units -= 1;
        self.settle(state, started);
        if let Some(late) = late {
            guard::drop_each(late.entries);
            guard::drop_each(late.done);
            guard::drop_each(late.rest.into_iter().flat_map(|block| block.items));
        }
    }

    /// The end of a unit that was `started` then: tells the consumer if something is ready; and what came back to a job
    /// that is over is not left without results.
    fn settle(&self, mut state: MutexGuard<'_, StateOf<S, I>>, started: Instant) {
        // Before the consumer can see the last result and ask for a report.
        if let Some(busy) = rayon::current_thread_index().and_then(|worker| self.busy.get(worker)) {
            busy.fetch_add(sync::now().duration_since(started).as_nanos() as u64, Relaxed);
        }
        let remains = state.abandon();
        let ready = state.is_ready();
        if state.waiting && ready {
            self.ready.notify_one();
        }
        let waker = if ready { state.waker.take() } else { None };
        drop(state);
        if let Some(waker) = waker {
            guard::quietly(|| waker.wake());
        }
        Abandoned::let_go(remains);
    }

    fn prepare_block(&self, block: Block<I>) -> Prepared<I, S::Entry, S::Output> {
        let mut prepared = Prepared {
            entries: VecDeque::with_capacity(block.items.len()),
            cost: 0,
            sorted: true,
            done: Vec::new(),
            done_bytes: 0,
            failed: Vec::new(),
            rest: None,
            bytes: 0,
        };
        let (mut items, mut place, mut last_cost) = (block.items.into_iter(), block.start, u64::MAX);
        let ticks = self.ticks(sync::now());
        // Bytes of the item at hand, until its entry stands for them.
        let mut at_hand = 0;
        loop {
            let outcome = guard::catch(|| {
                for item in items.by_ref() {
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
                    let entry = match prepare_item(&*self.stages, item, place - 1, ticks, &mut at_hand)? {
                        Ready::Run(entry) => entry,
                        Ready::Done(output) => {
                            let bytes = self.stages.output_bytes(&output);
                            prepared.done_bytes += bytes;
                            prepared.done.push((place - 1, output));
                            if self.grows_past_the_limit(bytes, &mut at_hand) {
                                break;
                            }
                            continue;
                        }
                    };
                    prepared.sorted &= entry.cost <= last_cost;
                    last_cost = entry.cost;
                    prepared.cost = prepared.cost.saturating_add(entry.cost);
                    prepared.bytes += entry.bytes;
                    let bytes = entry.bytes;
                    prepared.entries.push_back(entry);
                    if S::PREPARES {
                        if self.grows_past_the_limit(bytes, &mut at_hand) {
                            break;
                        }
                    } else {
                        // They are counted already.
                        at_hand = 0;
                    }
                }
                Ok(())
            });
            let Err(error) = outcome else { break };
            self.bytes.fetch_sub(std::mem::take(&mut at_hand), Relaxed);
            prepared.failed.push((place - 1, Stage::Prepare, error));
        }
        if items.len() > 0 {
            prepared.rest = Some(Block { start: place, items: items.collect() });
        }
        prepared
    }

    /// Counts the `bytes` of what was made of an item, instead of those of the item `at_hand`; whether nothing more is
    /// to be made for now.
    fn grows_past_the_limit(&self, bytes: usize, at_hand: &mut usize) -> bool {
        let before = self.bytes.fetch_add(bytes, Relaxed);
        self.bytes.fetch_sub(std::mem::take(at_hand), Relaxed);
        before.saturating_add(bytes) > self.settings.memory_limit
    }

    fn ticks(&self, now: Instant) -> u32 {
        (now.saturating_duration_since(self.made).as_nanos() / TICK_NS) as u32
    }

    /// How long the item of a chunk that was prepared first has waited.
    fn waited(&self, entries: &[Entry<S::Entry>], now: Instant) -> Duration {
        let now = self.ticks(now);
        let longest = entries.iter().map(|entry| now.wrapping_sub(entry.prepared)).max().unwrap_or(0);
        // An entry may be younger than the turn that takes it, by less than half the clock's round.
        let longest = if longest > u32::MAX / 2 { 0 } else { longest };
        Duration::from_nanos(u64::from(longest) * TICK_NS as u64)
    }

    /// Runs a chunk in the calling thread. `None`: this thread cannot, another can, and the chunk waits for it.
    pub(super) fn run(&self, chunk: Chunk<S::Entry>, started: Instant) -> Option<Ran<S::Entry, Raw<S>>> {
        tracing::debug!(worker = thread::current().name(), items = chunk.entries.len(), "chunk started");
        let waited = self.waited(&chunk.entries, started);
        let Some((slots, devices)) = infer_chunk(&*self.stages, &chunk.entries) else {
            let mut state = self.lock();
            let late = match state.window(chunk.window) {
                Some((window, _)) => {
                    window.restore(chunk.entries);
                    Vec::new()
                }
                None => chunk.entries,
            };
            state.tuner.came_back();
            state.units -= 1;
            self.settle(state, started);
            guard::drop_each(late);
            return None;
        };
        Some(Ran { chunk, slots, devices, waited, took: Duration::ZERO })
    }

    /// Finishes what was run and writes the results.
    fn finish(&self, ran: Ran<S::Entry, Raw<S>>, started: Instant) {
        let Ran { chunk: Chunk { window, first, entries }, slots, devices, waited, took } = ran;
        let Outcome { results, succeeded, bytes } = finish_chunk(&*self.stages, first, &entries, slots);
        let took = took + sync::now().duration_since(started);
        let count = entries.len();
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
        let places = Places::of(entries.iter().map(|entry| entry.place));
        let costliest: SmallVec<[_; SLOWEST]> =
            entries.iter().take(SLOWEST).map(|entry| (first + entry.place, entry.cost)).collect();
        let ran_on: Vec<(Arc<str>, Vec<usize>)> = devices
            .into_iter()
            .map(|(range, devices)| {
                let mut indices: Vec<usize> = entries[range].iter().map(|entry| first + entry.place).collect();
                indices.sort_unstable();
                (devices.join(" and ").into(), indices)
            })
            .collect();
        // An input whose `drop` panics must not take the pump along.
        guard::drop_each(entries);
        self.bytes.fetch_add(bytes, Relaxed);
        self.bytes.fetch_sub(input_bytes, Relaxed);
        let mut state = self.lock();
        let late = match state.window(window) {
            Some((window, done)) => {
                window.write_chunk(places, results, bytes, done);
                Vec::new()
            }
            None => results,
        };
        state.units -= 1;
        let measuring = state.tuner.holds_back();
        state.tuner.measured(count, cost, took);
        if measuring {
            state.tuner.ask(self.stages.model(), &self.settings, self.workers());
        }
        state.output_bytes.add(bytes as f64, succeeded as f64);
        state.chunks.add(count, took);
        state.chunk_times.add(took);
        state.queue_waits.add(waited);
        ran_on.iter().for_each(|(device, indices)| state.devices.add(device, indices));
        if !measuring {
            state.slowest.add(&costliest, cost, took);
        }
        self.settle(state, started);
        guard::drop_each(late);
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
        cpu::split,
        error::Result,
        inference::{Inference, Slots},
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
