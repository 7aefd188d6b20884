//! The units of work that run a chunk and finish it, and the end of every unit.

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use smallvec::SmallVec;

use crate::{
    bulk::{
        job::{
            Job, StateOf,
            chunk::{Outcome, Raw, finish_chunk, infer_chunk, totals},
            results::Places,
            unit::{Abandoned, Ran},
            window::{Chunk, Entry},
        },
        report::slowest::SLOWEST,
        stages::Stages,
        sync::{self, MutexGuard, atomic::Ordering::Relaxed},
    },
    threads::panics,
};

/// The tick of the job's clock for waits, in nanoseconds; the clock wraps around after twelve
/// hours.
const TICK_NS: u128 = 10_000;

impl<S: Stages<I>, I> Job<S, I> {
    /// Runs a chunk on the calling thread; `None` if this thread cannot: the chunk then waits for
    /// another.
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
            self.settle(state, started, 0);
            panics::drop_each(late);
            return None;
        };
        Some(Ran { chunk, slots, devices, waited, took: Duration::ZERO })
    }

    /// Finishes a chunk that was run, and writes its results.
    pub(in crate::bulk) fn finish(&self, ran: Ran<S::Entry, Raw<S>>, started: Instant) {
        let Ran { chunk: Chunk { window, first, entries }, slots, devices, waited, took } = ran;
        let Outcome { results, succeeded, bytes } = finish_chunk(&*self.stages, first, &entries, slots);
        let took = took + sync::now().duration_since(started);
        let count = entries.len();
        let (cost, input_bytes) = totals(&entries);
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
        // A panic in the `drop` of an input must not end the pump.
        panics::drop_each(entries);
        self.ledger.replace(input_bytes, bytes);
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
        let first_chunk = state.tuner.finished(self.stages.model(), &self.settings, self.workers(), count, cost, took);
        state.output_bytes.add(bytes as f64, succeeded as f64);
        let measures = &mut state.measures;
        measures.chunks.add(count, took);
        measures.chunk_times.add(took);
        measures.queue_waits.add(waited);
        ran_on.iter().for_each(|(device, indices)| measures.devices.add(device, indices));
        if !first_chunk {
            measures.slowest.add(&costliest, cost, took);
        }
        self.settle(state, started, count);
        panics::drop_each(late);
    }

    /// Ends a unit that `started` then and after which `resolved` more items have their results.
    ///
    /// Records busy time, wakes the consumer if a result is ready and, if the job is stopped,
    /// resolves the items that came back with the unit.
    pub(in crate::bulk) fn settle(&self, mut state: MutexGuard<'_, StateOf<S, I>>, started: Instant, resolved: usize) {
        // Before the consumer can take the last result and make a report.
        let now = sync::now();
        let took = now.duration_since(started);
        let busy = rayon::current_thread_index().and_then(|worker| self.busy.get(worker));
        if let Some(busy) = busy {
            busy.fetch_add(took.as_nanos() as u64, Relaxed);
        }
        state.measures.history.add(now, took, busy.is_some(), resolved);
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

    /// The time on the job's clock.
    pub(in crate::bulk) fn ticks(&self, now: Instant) -> u32 {
        (now.saturating_duration_since(self.made).as_nanos() / TICK_NS) as u32
    }

    /// How long the oldest entry of a chunk has waited since it was prepared.
    fn waited(&self, entries: &[Entry<S::Entry>], now: Instant) -> Duration {
        let now = self.ticks(now);
        let longest = entries.iter().map(|entry| now.wrapping_sub(entry.prepared)).max().unwrap_or(0);
        // An entry may be younger than the turn that takes it; the difference then wraps around.
        let longest = if longest > u32::MAX / 2 { 0 } else { longest };
        Duration::from_nanos(u64::from(longest) * TICK_NS as u64)
    }
}
