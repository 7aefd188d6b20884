//! How a queue gathers items into chunks.

use std::{
    sync::{Arc, PoisonError},
    time::Duration,
};

use crate::{
    bulk::{
        queue::core::{Core, Gathered},
        stages::Stages,
    },
    threads::panics::{self, lock},
};

/// How soon workers are asked again to take a chunk that none of them could run.
const ASK_AGAIN: Duration = Duration::from_millis(1);

impl<S, I> Core<S, I>
where
    S: Stages<I> + 'static,
    I: Send + 'static,
{
    /// The body of the queue's own thread, which only waits: gathers chunks and hands them to the
    /// pool.
    pub(in crate::bulk) fn gather(self: Arc<Self>) {
        let mut state = lock(&self.state);
        loop {
            if !state.stranded.is_empty() && state.asked == 0 {
                state.asked = self.pool.workers();
                let task = Arc::clone(&self);
                self.pool.broadcast(move || task.member.run_now(|| task.take_stranded()));
                // If none of them can, all are busy with something else: then they are asked again.
                state = self.changed.wait_timeout(state, ASK_AGAIN).unwrap_or_else(PoisonError::into_inner).0;
                continue;
            }
            let Some(first) = state.waiting.front() else {
                if state.is_over() {
                    return;
                }
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            if self.model.version() != state.current.0 {
                drop(state);
                self.adopt();
                state = lock(&self.state);
                continue;
            }
            let (number, since) = (first.index, first.since);
            let waited = since.elapsed();
            // Costs are known only once items are prepared: a chunk is gathered by the mean cost so
            // far.
            let cost = state.tuner.item_cost().max(1.0);
            let hurry = self.member.contended().then_some(self.settings.turn_time);
            state.tuner.hurry(hurry);
            let (target, most) = state.tuner.bounds((state.waiting.len() as f64 * cost) as u64);
            let chunk = ((target as f64 / cost) as usize).clamp(1, most);
            // A chunk whose worker waits for this queue does not occupy a lane: it continues only
            // with what it waits for.
            if state.running.len() > state.tuner.lanes() + state.helpers
                || state.tuner.holds_back() && state.helpers == 0
            {
                // Every lane is occupied and one more chunk waits: the next one may as well grow.
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            } else if state.waiting.len() < chunk.max(2).min(most)
                && !state.tuner.is_single()
                && waited < self.longest_wait
                && !state.closed
            {
                let left = self.longest_wait - waited;
                state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
            } else {
                let count = chunk.min(state.waiting.len());
                let items: Vec<_> = state.waiting.drain(..count).collect();
                let (version, stages) = &state.current;
                let gathered = Gathered { items, version: (*version, Arc::clone(stages)) };
                state.running.push((number, since));
                state.tuner.begun();
                let task = Arc::clone(&self);
                drop(state);
                self.pool.push_once(&self.member, move || {
                    task.run(gathered);
                    panics::drop_quietly(task);
                });
                state = lock(&self.state);
            }
        }
    }
}
