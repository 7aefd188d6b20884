//! Drivers: for a model that wants several chunks under way at once, threads outside the pool that call it and wait
//! for its device. Preparing, sorting and finishing stay the workers'.

use std::{io, sync::PoisonError, thread};

use crate::{
    bulk::{
        job::{
            Crew, Job, Launch, StateOf,
            state::{Abandoned, Ran},
        },
        stages::Stages,
        sync::{self, atomic::Ordering::Relaxed},
    },
    inference::Inference,
    threads::{panics, split},
};

/// Driver threads that are started, whatever a model asks for.
const MOST_DRIVERS: usize = 64;

/// The thread to be of driver `number`.
pub(in crate::bulk) fn thread(number: usize) -> thread::Builder {
    thread::Builder::new().name(format!("mill-driver-{number}"))
}

/// How many drivers `model` wants; none where the workers call it.
pub(in crate::bulk) fn wanted(model: &impl Inference) -> usize {
    match model.hints().in_flight {
        0 | 1 => 0,
        wanted => wanted.min(MOST_DRIVERS),
    }
}

/// Whether `model`, which wanted drivers, wants none any more: it has settled on the processor, or has lost its device.
pub(in crate::bulk) fn is_released(model: &impl Inference) -> bool {
    // A model that panics here will do so again where it is noticed.
    panics::catch(|| Ok(wanted(model) == 0)).unwrap_or(false)
}

impl<S: Stages<I>, I> Job<S, I> {
    /// At the start of the job: has `start` start each driver's thread, which calls [`drive`](Self::drive). Without
    /// any, the workers run the chunks.
    pub(in crate::bulk) fn start_drivers(&self, mut start: impl FnMut(usize) -> io::Result<()>) {
        for number in 0..self.driving.len() {
            let mut state = self.lock();
            state.drivers += 1;
            state.driven = true;
            drop(state);
            if let Err(error) = start(number) {
                let mut state = self.lock();
                self.dismiss(&mut state, format!("a driver thread could not be started: {error}"));
                return;
            }
        }
    }

    /// The body of a driver: runs one chunk after the other until the job is over, or the model wants no drivers any
    /// more.
    pub(in crate::bulk) fn drive(&self, number: usize, crew: &dyn Crew) {
        split::drive_for(self.busy.len());
        let mut state = self.lock();
        loop {
            if state.stopped || !state.driven {
                state.drivers -= 1;
                return;
            }
            let Some(place) = self.next_chunk(&state) else {
                state.idle_drivers += 1;
                state = self.chunk.wait(state).unwrap_or_else(PoisonError::into_inner);
                state.idle_drivers -= 1;
                continue;
            };
            let chunk = state.cut_chunk(place);
            state.units += 1;
            self.tell_driver(&state);
            drop(state);
            let started = sync::now();
            let ran = self.run(chunk, started);
            let took = sync::now().duration_since(started);
            self.driving[number].fetch_add(took.as_nanos() as u64, Relaxed);
            let Some(ran) = ran else {
                let mut state = self.lock();
                self.dismiss(&mut state, format!("driver {number} could not run the model"));
                let more = self.more_pumps(&mut state);
                drop(state);
                if more {
                    crew.launch(Launch::Turn);
                }
                return;
            };
            let released = is_released(self.stages.model());
            state = self.lock();
            state.units -= 1;
            state.finishing.push_back(Ran { took, ..ran });
            if released {
                // From here on chunks are the workers'.
                state.driven = false;
                state.tuner.ask(self.stages.model(), &self.settings, self.busy.len());
                self.chunk.notify_all();
            }
            let remains = state.abandon();
            let more = self.more_pumps(&mut state);
            drop(state);
            Abandoned::let_go(remains);
            if more {
                crew.launch(Launch::Turn);
            }
            state = self.lock();
        }
    }

    /// Wakes a driver if there is a chunk for it.
    pub(in crate::bulk) fn tell_driver(&self, state: &StateOf<S, I>) {
        if state.idle_drivers > 0 && self.next_chunk(state).is_some() {
            self.chunk.notify_one();
        }
    }

    /// The window from which a driver takes its next chunk: one that is all prepared, or, where the pumps have done
    /// what they can, one of which something is there.
    fn next_chunk(&self, state: &StateOf<S, I>) -> Option<usize> {
        if state.stopped || state.tuner.holds_back() || self.settings.cancel.is_cancelled() {
            return None;
        }
        state.complete(|window| window.sorted).or_else(|| {
            let idle = state.pumps == 0;
            idle.then(|| state.incomplete(S::PREPARES, |window| window.sorted))?
        })
    }

    /// Counts one driver less; without the last, chunks are the workers'.
    fn dismiss(&self, state: &mut StateOf<S, I>, why: String) {
        state.drivers -= 1;
        state.driven &= state.drivers > 0;
        state.driver_trouble.get_or_insert(why);
    }
}
