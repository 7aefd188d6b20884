//! The pumps: what a worker takes next, and who is started to take more.

use std::collections::VecDeque;

use crate::{
    bulk::{
        job::{Crew, Job, Launch, StateOf, chunk::Raw, state::Unit},
        stages::Stages,
        sync::{self, atomic::Ordering::Relaxed},
    },
    inference::Inference,
    threads::{
        panics,
        split::{self, with_workers},
    },
};

/// The work that one unit of preparing aims at.
const PREPARE_NS: f64 = 5e5;
/// The least work that other workers are woken for.
const LEAST_SPLIT_NS: f64 = 2e5;

impl<S: Stages<I>, I> Job<S, I> {
    /// Counts one more pump if there is work for it; the caller then starts it.
    pub(in crate::bulk) fn more_pumps(&self, state: &mut StateOf<S, I>) -> bool {
        let more = state.pumps < self.workers() && state.has_work();
        state.pumps += usize::from(more);
        self.tell_driver(state);
        more
    }

    /// On a worker that was asked whether it can run chunks: it becomes a pump if so, and if one is wanted.
    pub(in crate::bulk) fn probe(&self, crew: &dyn Crew) {
        if self.stages.model().ready_here() && self.more_pumps(&mut self.lock()) {
            self.turn(crew);
        }
    }

    /// One turn of a pump: takes a unit of work, does it, and has `launch` start the next turn; or ends the pump.
    pub(in crate::bulk) fn turn(&self, crew: &dyn Crew) {
        if split::shares() {
            // This worker waits within a chunk, of which the result would come after those of this turn.
            return crew.launch(Launch::Turn);
        }
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
                panics::quietly(|| waker.wake());
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
                let late = match state.window(window) {
                    Some((window, _)) => {
                        window.preparing -= entries.len();
                        let cost = entries.iter().fold(0_u64, |sum, entry| sum.saturating_add(entry.cost));
                        window.enqueue(entries, cost, true);
                        VecDeque::new()
                    }
                    None => entries,
                };
                self.settle(state, started);
                panics::drop_each(late);
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
            let free = self.memory_limit() as f64 - self.bytes.load(Relaxed) as f64 - expected;
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
}
