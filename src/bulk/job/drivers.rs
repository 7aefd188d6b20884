//! Drivers: threads outside the pool that call a model which wants several chunks in flight, and
//! wait for its device.
//!
//! A job and a queue start them alike. Preparing, sorting and finishing remain with the workers.

use std::thread;

use crate::{inference::Inference, threads::panics};

/// Driver threads that are started at most, whatever a model asks for.
const MOST_DRIVERS: usize = 64;

/// The thread builder for driver `number`.
pub(in crate::bulk) fn thread(number: usize) -> thread::Builder {
    thread::Builder::new().name(format!("mill-driver-{number}"))
}

/// How many drivers `model` wants; 0 if the workers are to call it.
pub(in crate::bulk) fn wanted(model: &impl Inference) -> usize {
    match model.hints().in_flight {
        0 | 1 => 0,
        wanted => wanted.min(MOST_DRIVERS),
    }
}

/// Whether `model` wants no drivers any more: it has settled on the CPU, or has lost its device.
pub(in crate::bulk) fn is_released(model: &impl Inference) -> bool {
    // A model that panics here will panic again in a call whose result is kept.
    panics::catch(|| Ok(wanted(model) == 0)).unwrap_or(false)
}

/// The drivers of a job or a queue, kept under its lock.
#[derive(Debug, Default)]
pub(in crate::bulk) struct Drivers {
    /// Threads that are started and have not left.
    running: usize,
    /// Those of them that wait for a chunk.
    idle: usize,
    in_charge: bool,
    /// The first reason why a driver left early.
    pub(in crate::bulk) trouble: Option<String>,
}

impl Drivers {
    /// Whether the drivers run the chunks; if not, the workers do.
    pub(in crate::bulk) fn in_charge(&self) -> bool {
        self.in_charge
    }

    /// Drivers whose threads are started and have not left.
    pub(in crate::bulk) fn running(&self) -> usize {
        self.running
    }

    /// Whether a driver waits for a chunk.
    pub(in crate::bulk) fn any_idle(&self) -> bool {
        self.idle > 0
    }

    /// Whether every driver has left.
    pub(in crate::bulk) fn is_empty(&self) -> bool {
        self.running == 0
    }

    /// Counts a driver whose thread is about to start.
    pub(in crate::bulk) fn enter(&mut self) {
        self.running += 1;
        self.in_charge = true;
    }

    /// Counts a driver out; without the last one, the workers run the chunks.
    pub(in crate::bulk) fn leave(&mut self) {
        self.running -= 1;
        self.in_charge &= self.running > 0;
    }

    /// Counts out a driver that could not do its work.
    pub(in crate::bulk) fn fail(&mut self, why: String) {
        self.leave();
        self.trouble.get_or_insert(why);
    }

    /// Hands the chunks back to the workers; each driver leaves after the chunk that it has.
    pub(in crate::bulk) fn release(&mut self) {
        self.in_charge = false;
    }

    /// Lets the drivers that are running take the chunks, or hands the chunks back to the workers.
    pub(in crate::bulk) fn take_charge(&mut self, wanted: bool) {
        self.in_charge = wanted && self.running > 0;
    }

    /// Counts a driver that starts to wait for a chunk.
    pub(in crate::bulk) fn rest(&mut self) {
        self.idle += 1;
    }

    /// Counts a driver that has stopped waiting.
    pub(in crate::bulk) fn resume(&mut self) {
        self.idle -= 1;
    }
}
