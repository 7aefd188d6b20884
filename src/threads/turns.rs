//! Turns on a pool: jobs, queues and single runs share its workers by weight, from chunk to chunk.
//!
//! Rayon prefers what a worker has begun over what comes from outside, so a job whose chunks follow
//! one another would keep everything else waiting. Here each member of a pool leaves its pumps in
//! one list, and a rayon task (a *lane*, at most one per worker) runs the pump whose turn it is.
//! Work that borrows cannot be left in a list: it waits in rayon's own queues, is *announced* here,
//! and lanes make way for it when it is due.

mod state;

use std::{
    cell::Cell,
    sync::{Arc, PoisonError, atomic::Ordering::Relaxed},
    time::Instant,
};

pub(crate) use state::Pump;
use state::{Due, State};

use crate::threads::{
    panics, split,
    sync::{self, LocalKey, Mutex, MutexGuard, atomic::AtomicBool},
};

/// How deep tasks may make way for one another on one stack.
const DEEPEST: u64 = 8;

sync::thread_local! {
    /// How many tasks on this thread's stack are making way.
    static DEPTH: Cell<u64> = const { Cell::new(0) };
    /// The member that this thread waits for, in the middle of a turn; 0 for none.
    static WAITS_FOR: Cell<u64> = const { Cell::new(0) };
}

/// The workers of a pool, as lanes see them.
pub(crate) trait Workers {
    /// How many there are.
    fn count(&self) -> usize;
    /// Has a worker call [`Turns::lane`].
    fn spawn_lane(&self);
    /// On a worker: runs one task of the pool, its own first, then any; whether there was one.
    fn run_any(&self) -> bool;
    /// On a worker: runs one task that waits for this worker, if there is one.
    fn run_own(&self);
}

/// Whose turn it is on a pool.
#[derive(Default)]
pub(crate) struct Turns {
    state: Mutex<State>,
}

/// A member of a pool: a job, a queue, or the single runs.
pub(crate) struct Member {
    turns: Arc<Turns>,
    number: u64,
    contended: Arc<AtomicBool>,
}

/// A cell of this thread, changed until this is dropped.
struct Changed(&'static LocalKey<Cell<u64>>, u64);

impl Changed {
    fn to(key: &'static LocalKey<Cell<u64>>, value: u64) -> Self {
        Self(key, key.with(|cell| cell.replace(value)))
    }
}

impl Drop for Changed {
    fn drop(&mut self) {
        self.0.with(|cell| cell.set(self.1));
    }
}

fn depth() -> u64 {
    DEPTH.with(Cell::get)
}

impl Turns {
    fn lock(&self) -> MutexGuard<'_, State> {
        // No code of others runs under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a member with this share.
    pub(crate) fn join(self: &Arc<Self>, weight: u32) -> Member {
        let contended = Arc::new(AtomicBool::new(false));
        let number = self.lock().join(weight, Arc::clone(&contended));
        Member { turns: Arc::clone(self), number, contended }
    }

    /// Whether nothing waits and no lane is left.
    #[cfg(all(test, shuttle))]
    pub(crate) fn is_idle(&self) -> bool {
        let state = self.lock();
        state.lanes == 0 && !state.has_pumps()
    }

    /// The body of a lane: runs the pump that is due, and goes on as long as pumps wait.
    pub(crate) fn lane(&self, workers: &dyn Workers) {
        if split::shares() {
            // This worker waits inside a chunk that it has split: a turn would delay that chunk.
            return workers.spawn_lane();
        }
        let started = sync::now();
        let mut due = self.lock().next(depth() < DEEPEST, started);
        if matches!(due, Due::Announced) && !make_way(workers) {
            // Another worker has just taken it.
            due = self.lock().next(false, started);
        }
        if let Due::Pump(number, pump) = due {
            self.run(number, pump, started);
            // What others left for this worker alone.
            workers.run_own();
        }
        let mut state = self.lock();
        // One may have come since: whoever pushed it has seen this lane.
        let again = state.has_pumps();
        state.lanes -= usize::from(!again);
        drop(state);
        if again {
            workers.spawn_lane();
        }
    }

    /// Runs a turn of a pump that was taken at `started`.
    fn run(&self, number: u64, mut pump: Pump, started: Instant) {
        let again = pump();
        let mut state = self.lock();
        let over = if again { state.push(number, pump) } else { Some(pump) };
        state.end(number, started, sync::now());
        drop(state);
        // The last pump to let go of a job drops its model.
        panics::drop_quietly(over);
    }

    /// [`run`](Self::run) outside a lane: pumps that wait afterwards need one.
    fn run_beside(&self, workers: &dyn Workers, number: u64, pump: Pump, started: Instant) {
        self.run(number, pump, started);
        let mut state = self.lock();
        let more = state.has_pumps() && state.lanes < workers.count();
        state.lanes += usize::from(more);
        drop(state);
        if more {
            workers.spawn_lane();
        }
    }
}

/// Runs a task of rayon's own queues; whether there was one.
fn make_way(workers: &dyn Workers) -> bool {
    let _deeper = Changed::to(&DEPTH, depth() + 1);
    workers.run_any()
}

impl Member {
    /// Whether others want turns too.
    pub(crate) fn contended(&self) -> bool {
        self.contended.load(Relaxed)
    }

    /// Lets a pump wait for its turns.
    pub(crate) fn push(&self, workers: &dyn Workers, pump: Pump) {
        let mut state = self.turns.lock();
        let over = state.push(self.number, pump);
        let more = state.lanes < workers.count();
        state.lanes += usize::from(more);
        drop(state);
        drop(over);
        if more {
            workers.spawn_lane();
        }
    }

    /// Runs `work` on a worker as a turn that did not wait.
    pub(crate) fn run_now<R>(&self, work: impl FnOnce() -> R) -> R {
        let started = sync::now();
        self.turns.lock().begin(self.number, started);
        let _end = End(self, started);
        work()
    }

    /// Announces a turn that waits in rayon's own queues, and calls
    /// [`run_announced`](Self::run_announced).
    pub(crate) fn announce(&self) {
        self.turns.lock().announce(self.number);
    }

    /// Runs `work`, which was announced, once it is due; until then, runs what is due before it.
    ///
    /// It is run at once if it `is_idle`: has nothing to do but to end.
    pub(crate) fn run_announced<R>(
        &self,
        workers: &dyn Workers,
        is_idle: impl Fn() -> bool,
        work: impl FnOnce() -> R,
    ) -> R {
        // A worker that waits for this member runs nothing else before it.
        let mut forced = WAITS_FOR.with(Cell::get) == self.number || depth() >= DEEPEST || split::shares();
        let started = loop {
            let now = sync::now();
            if self.turns.lock().begin_announced(self.number, forced, now) {
                break now;
            }
            if is_idle() {
                forced = true;
                continue;
            }
            let due = self.turns.lock().next(true, now);
            match due {
                Due::Pump(number, pump) => self.turns.run_beside(workers, number, pump, now),
                Due::Announced => forced = !make_way(workers),
                Due::Nothing => forced = true,
            }
        };
        let _end = End(self, started);
        work()
    }

    /// On a worker that waits for this member in the middle of a turn: runs one of its turns or, if
    /// none waits, some other work.
    pub(crate) fn help(&self, workers: &dyn Workers) -> bool {
        let _waits = Changed::to(&WAITS_FOR, self.number);
        if !split::shares() {
            let now = sync::now();
            let own = self.turns.lock().take(self.number, now);
            if let Due::Pump(number, pump) = own {
                self.turns.run_beside(workers, number, pump, now);
                return true;
            }
        }
        if workers.run_any() {
            return true;
        }
        if split::shares() {
            return false;
        }
        let now = sync::now();
        let due = self.turns.lock().next(false, now);
        if let Due::Pump(number, pump) = due {
            self.turns.run_beside(workers, number, pump, now);
            return true;
        }
        false
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let left = self.turns.lock().leave(self.number);
        drop(left);
    }
}

/// Ends a turn when dropped, after a panic too.
struct End<'m>(&'m Member, Instant);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.turns.lock().end(self.0.number, self.1, sync::now());
    }
}
