//! How a job pulls its source: how many items at a time, within memory.

use std::{cell::Cell, time::Duration};

use crate::{
    bulk::{
        job::{
            Job, StateOf,
            crew::Launch,
            feed::{Feed, Side},
            intake::Intake,
        },
        stages::Stages,
        sync,
    },
    threads::panics,
};

/// The time that pulling a block of items should take: the consumer looks for results in between.
const PULL: Duration = Duration::from_micros(500);
const LARGEST_BLOCK: usize = 4096;

impl<It: Iterator, O> Feed<It, O> {
    /// How many items may be pulled now.
    pub(in crate::bulk) fn room<S: Stages<I, Output = O>, I>(&self, job: &Job<S, I>, state: &StateOf<S, I>) -> usize {
        let in_flight = state.pulled - state.taken;
        let window = self.window(job, state);
        if !state.is_open() && in_flight > window.saturating_mul(2) {
            return 0;
        }
        // Few, until the first result shows how many bytes a result holds.
        let first = match state.output_bytes.get() {
            None => state.tuner.first_items().saturating_sub(in_flight),
            Some(_) => usize::MAX,
        };
        // What is in flight will grow: items become entries, entries become results.
        let entry = if S::PREPARES { state.entry_bytes.get().unwrap_or(0.0) } else { 0.0 };
        let output = state.output_bytes.get().unwrap_or(0.0);
        let expected = state.unprepared() as f64 * entry + state.unfinished() as f64 * output;
        let fits = job.ledger.fitting(expected, self.held.unwrap_or(0), entry + output);
        // With nothing in flight the next item proceeds whatever its size.
        fits.max(usize::from(in_flight == 0)).min(first).min(self.block).min(state.window_room(window))
    }

    fn window<S: Stages<I, Output = O>, I>(&self, job: &Job<S, I>, state: &StateOf<S, I>) -> usize {
        job.settings.window.unwrap_or_else(|| state.tuner.window()).max(1)
    }

    /// Pulls up to `room` items for the workers; false if the source has none now and may have some
    /// later.
    pub(in crate::bulk) fn pull<S, I, C>(&mut self, side: Side<'_, S, I, C>, room: usize) -> bool
    where
        S: Stages<I, Output = O>,
        C: Intake<It::Item, Item = I>,
    {
        let job = side.job;
        let started = sync::now();
        let loaded = job.ledger.in_flight();
        let free = job.ledger.limit().saturating_sub(loaded);
        let mut items = Vec::with_capacity(room);
        let (mut bytes, mut waiting) = (0_usize, false);
        if let Some(size) = self.held.take() {
            items.extend(job.lock().held.take());
            bytes += size;
        }
        let mut held = None;
        loop {
            let sizing = Cell::new(false);
            let outcome = panics::catch(|| {
                let Some(source) = &mut self.source else { return Ok(()) };
                while items.len() < room {
                    let Some(given) = source.next() else {
                        if self.waits.is_some_and(|waits| waits(source)) {
                            waiting = true;
                        } else {
                            self.source = None;
                        }
                        break;
                    };
                    let item = side.intake.take(given);
                    let size = match &item {
                        Ok(item) => {
                            sizing.set(true);
                            let size = job.stages.item_bytes(job.stages.item(item));
                            sizing.set(false);
                            size
                        }
                        Err(_) => 0,
                    };
                    // An item of any size may be in flight alone.
                    if size > free.saturating_sub(bytes) && (!items.is_empty() || loaded > 0) {
                        self.held = Some(size);
                        held = Some(item);
                        break;
                    }
                    items.push(item);
                    bytes += size;
                }
                Ok(())
            });
            let Err(error) = outcome else { break };
            if sizing.get() {
                items.push(Err(error.context("the bytes of the item")));
            } else {
                // A source that panicked is not used again.
                self.source = None;
                items.push(Err(error.context("the source of the items")));
                break;
            }
        }
        let count = items.len();
        let took = sync::now().duration_since(started);
        self.tally.pulling += took;
        self.slow = took > PULL * 2 * count.max(1) as u32;
        if took < PULL / 2 && count == self.block {
            self.block = (self.block * 2).min(LARGEST_BLOCK);
        } else if took > PULL * 2 {
            self.block = (self.block / 2).max(1);
        }
        job.ledger.add(bytes);
        let mut state = job.lock();
        state.held = held;
        if count > 0 {
            let last = state.window_room(self.window(job, &state)) <= count;
            state.push(items, last);
        }
        if self.source.is_none() && self.held.is_none() {
            state.close();
        }
        // While the source has nothing, even a short chunk is run.
        state.stalled |= waiting;
        let more = job.more_pumps(&mut state);
        drop(state);
        if more {
            side.crew.launch(Launch::Pump);
        }
        count > 0 || !waiting
    }
}
