//! Pumps: which unit of work a worker takes next, and when another pump starts.

use std::collections::VecDeque;

use crate::{
    bulk::{
        job::{
            Job, StateOf,
            chunk::{Raw, totals},
            crew::{Crew, Launch},
            unit::Unit,
        },
        stages::Stages,
        sync,
    },
    inference::Inference,
    threads::{
        panics,
        split::{self, with_workers},
    },
};

/// The time that one unit of preparing should take.
const PREPARE_NS: f64 = 5e5;
/// The shortest chunk that is split over idle workers.
const LEAST_SPLIT_NS: f64 = 2e5;

impl<S: Stages<I>, I> Job<S, I> {
    /// Counts one more pump if there is work for it; the caller then launches it.
    pub(in crate::bulk) fn more_pumps(&self, state: &mut StateOf<S, I>) -> bool {
        let more = state.pumps < self.workers() && state.has_work();
        state.pumps += usize::from(more);
        self.wake_driver(state);
        more
    }

    /// Makes the calling worker a pump if it can run chunks and another pump is wanted; whether
    /// that pump wants another turn, as in [`turn`](Self::turn).
    pub(in crate::bulk) fn probe(&self, crew: &dyn Crew) -> bool {
        self.stages.model().ready_here() && self.more_pumps(&mut self.lock()) && self.turn(crew)
    }

    /// One turn of a pump: takes a unit of work and does it, or ends the pump; whether the pump
    /// wants another turn.
    pub(in crate::bulk) fn turn(&self, crew: &dyn Crew) -> bool {
        if split::shares() {
            // This worker waits inside a chunk that it has split: the turn would delay that chunk.
            return true;
        }
        let started = sync::now();
        let ready_here = self.stages.model().ready_here();
        let hurry = crew.contended().then_some(self.settings.turn_time);
        let mut state = self.lock();
        state.tuner.hurry(hurry);
        let can_run = ready_here && !state.drivers.in_charge();
        let Some(unit) = self.pick(&mut state, can_run) else {
            state.pumps -= 1;
            let elsewhere = !ready_here && !state.drivers.in_charge() && state.pumps == 0 && state.has_work();
            self.wake_driver(&state);
            // A polled consumer must come and end a job that was cancelled.
            let waker = if self.settings.cancel.is_cancelled() { state.waker.take() } else { None };
            drop(state);
            if let Some(waker) = waker {
                panics::quietly(|| waker.wake());
            }
            if elsewhere {
                // No pump is left to take what this worker cannot run.
                crew.launch(Launch::Probe);
            }
            return false;
        };
        state.units += 1;
        let more = self.more_pumps(&mut state);
        // If nothing else waits, idle workers may take parts of a long chunk.
        let long = |items: usize| state.tuner.expected_ns(items).is_none_or(|ns| ns >= LEAST_SPLIT_NS);
        let split_over = match &unit {
            Unit::Run(chunk) if !state.has_work() && long(chunk.entries.len()) => self.workers(),
            _ => 1,
        };
        drop(state);
        if more {
            crew.launch(Launch::Pump);
        }
        match unit {
            Unit::Prepare(window, block) => self.prepare(window, block, started),
            Unit::Sort(window, mut entries) => {
                entries.make_contiguous().sort_by_key(|entry| std::cmp::Reverse(entry.cost));
                let mut state = self.lock();
                state.units -= 1;
                let late = match state.window(window) {
                    Some((window, _)) => {
                        window.preparing -= entries.len();
                        let (cost, _) = totals(&entries);
                        window.enqueue(entries, cost, true);
                        VecDeque::new()
                    }
                    None => entries,
                };
                self.settle(state, started, 0);
                panics::drop_each(late);
            }
            Unit::Run(chunk) => {
                if let Some(ran) = with_workers(split_over, || self.run(chunk, started)) {
                    self.finish(ran, started);
                }
            }
            Unit::Finish(ran) => self.finish(ran, started),
        }
        true
    }

    /// Whether a pump's next turn would only end it.
    pub(in crate::bulk) fn is_idle(&self) -> bool {
        !self.lock().has_work()
    }

    /// The next unit of work.
    ///
    /// That is, in this order: a chunk to finish; a chunk of a window whose items are all prepared;
    /// items to prepare; a chunk of a window of which more items may come.
    fn pick(&self, state: &mut StateOf<S, I>, can_run: bool) -> Option<Unit<I, S::Entry, Raw<S>>> {
        // What has been run is finished even after a job is cut off.
        if let Some(ran) = state.finishing.pop_front() {
            return Some(Unit::Finish(ran));
        }
        if state.stopped || self.settings.cancel.is_cancelled() {
            return None;
        }
        let can_run = can_run && !state.tuner.holds_back();
        // A worker that cannot run chunks may still sort.
        if let Some(place) = state.complete(|window| can_run || !window.sorted) {
            return Some(state.cut(place));
        }
        if let Some(unit) = self.pick_block(state) {
            return Some(unit);
        }
        let place = state.incomplete(S::PREPARES, |window| can_run || !window.sorted)?;
        Some(state.cut(place))
    }

    /// Items of the oldest block: as many as make a good unit and as memory allows.
    fn pick_block(&self, state: &mut StateOf<S, I>) -> Option<Unit<I, S::Entry, Raw<S>>> {
        let place = state.windows.iter().position(|window| window.unprepared > 0)?;
        let aim = state.prepare_ns.get().map_or(1, |ns| (PREPARE_NS / ns.max(0.1)) as usize);
        let mut count = aim.clamp(1, state.prepare_most);
        if S::PREPARES {
            // Room is kept for the results of prepared items, and for the entries of items being
            // prepared now.
            let (entry, output) = (state.entry_bytes.get().unwrap_or(0.0), state.output_bytes.get().unwrap_or(0.0));
            let preparing: usize = state.windows.iter().map(|window| window.preparing).sum();
            let prepared = state.unfinished() - state.unprepared();
            let expected = preparing as f64 * entry + prepared as f64 * output;
            let fits = self.ledger.fitting(expected, 0, entry + output);
            if fits == 0 {
                let window = &state.windows[place];
                let first = window.blocks.front().map(|block| window.first + block.start);
                // The oldest item proceeds whatever its size, once nothing else can make progress.
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
}
