//! The units of work: preparing a block, running a chunk, finishing what was run.

use std::{
    collections::VecDeque,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use smallvec::SmallVec;

use crate::{
    bulk::{
        job::{
            Job, StateOf,
            chunk::{Outcome, Raw, finish_chunk, infer_chunk, prepare_item},
            results::Places,
            state::{Abandoned, Ran},
            window::{Block, Chunk, Entry},
        },
        report::measures::SLOWEST,
        stages::{Ready, Stages},
        sync::{self, MutexGuard, atomic::Ordering::Relaxed},
    },
    error::{Error, ItemError, Stage},
    threads::panics,
};

/// The job's clock for waits, in nanoseconds: it comes round in twelve hours.
const TICK_NS: u128 = 10_000;

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
    pub(in crate::bulk) fn prepare(&self, window: usize, block: Block<I>, started: Instant) {
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
            panics::drop_each(late.entries);
            panics::drop_each(late.done);
            panics::drop_each(late.rest.into_iter().flat_map(|block| block.items));
        }
    }

    /// The end of a unit that was `started` then: tells the consumer if something is ready; and what came back to a job
    /// that is over is not left without results.
    pub(in crate::bulk) fn settle(&self, mut state: MutexGuard<'_, StateOf<S, I>>, started: Instant) {
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
            panics::quietly(|| waker.wake());
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
            let outcome = panics::catch(|| {
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
        before.saturating_add(bytes) > self.memory_limit()
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
    pub(in crate::bulk) fn run(&self, chunk: Chunk<S::Entry>, started: Instant) -> Option<Ran<S::Entry, Raw<S>>> {
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
            panics::drop_each(late);
            return None;
        };
        Some(Ran { chunk, slots, devices, waited, took: Duration::ZERO })
    }

    /// Finishes what was run and writes the results.
    pub(in crate::bulk) fn finish(&self, ran: Ran<S::Entry, Raw<S>>, started: Instant) {
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
        panics::drop_each(entries);
        self.bytes.fetch_add(bytes, Relaxed);
        self.bytes.fetch_sub(input_bytes, Relaxed);
        self.weigh_scratch();
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
        panics::drop_each(late);
    }
}
