//! What the drivers of a job do.

use std::{io, sync::PoisonError};

use crate::{
    bulk::{
        job::{
            Job, StateOf,
            crew::{Crew, Launch},
            drivers,
            unit::{Abandoned, Ran},
        },
        stages::Stages,
        sync::{self, atomic::Ordering::Relaxed},
    },
    threads::split,
};

impl<S: Stages<I>, I> Job<S, I> {
    /// Calls `start` for each driver that the model wants; its thread calls [`drive`](Self::drive).
    ///
    /// To be called before the first pull. Without any driver, the workers run the chunks.
    pub(in crate::bulk) fn start_drivers(&self, mut start: impl FnMut(usize) -> io::Result<()>) {
        for number in 0..self.driving.len() {
            self.lock().drivers.enter();
            if let Err(error) = start(number) {
                self.lock().drivers.fail(format!("a driver thread could not be started: {error}"));
                return;
            }
        }
    }

    /// The body of a driver: runs chunks until the job is over or the model wants no drivers any
    /// more.
    pub(in crate::bulk) fn drive(&self, number: usize, crew: &dyn Crew) {
        split::drive_for(self.busy.len());
        let mut state = self.lock();
        loop {
            if state.stopped || !state.drivers.in_charge() {
                state.drivers.leave();
                return;
            }
            let Some(place) = self.next_chunk(&state) else {
                state.drivers.rest();
                state = self.chunk.wait(state).unwrap_or_else(PoisonError::into_inner);
                state.drivers.resume();
                continue;
            };
            let chunk = state.cut_chunk(place);
            state.units += 1;
            self.wake_driver(&state);
            drop(state);
            let started = sync::now();
            let ran = self.run(chunk, started);
            let took = sync::now().duration_since(started);
            self.driving[number].fetch_add(took.as_nanos() as u64, Relaxed);
            let Some(ran) = ran else {
                let mut state = self.lock();
                state.drivers.fail(format!("driver {number} could not run the model"));
                let more = self.more_pumps(&mut state);
                drop(state);
                if more {
                    crew.launch(Launch::Pump);
                }
                return;
            };
            let released = drivers::is_released(self.stages.model());
            state = self.lock();
            state.units -= 1;
            state.finishing.push_back(Ran { took, ..ran });
            if released {
                state.drivers.release();
                state.tuner.ask(self.stages.model(), &self.settings, self.busy.len());
                self.chunk.notify_all();
            }
            let remains = state.abandon();
            let more = self.more_pumps(&mut state);
            drop(state);
            Abandoned::let_go(remains);
            if more {
                crew.launch(Launch::Pump);
            }
            state = self.lock();
        }
    }

    /// Wakes an idle driver if a chunk is ready for it.
    pub(in crate::bulk) fn wake_driver(&self, state: &StateOf<S, I>) {
        if state.drivers.any_idle() && self.next_chunk(state).is_some() {
            self.chunk.notify_one();
        }
    }

    /// The window from which a driver takes its next chunk.
    ///
    /// That is one whose items are all prepared or, once the pumps have nothing left to do, one
    /// with any prepared item.
    fn next_chunk(&self, state: &StateOf<S, I>) -> Option<usize> {
        if state.stopped || state.tuner.holds_back() || self.settings.cancel.is_cancelled() {
            return None;
        }
        state.complete(|window| window.sorted).or_else(|| {
            let idle = state.pumps == 0;
            idle.then(|| state.incomplete(S::PREPARES, |window| window.sorted))?
        })
    }
}
