//! Units of work that workers take from a job, and what is left when it is over.

use std::{collections::VecDeque, ops::Range, time::Duration};

use crate::{
    bulk::job::{
        results::{Done, Run},
        window::{Block, Chunk, Entry, Remains, Window},
    },
    error::Result,
    inference::ran_on::Devices,
    threads::panics,
};

/// A piece of work for one worker.
#[derive(Debug)]
pub(in crate::bulk) enum Unit<I, E, R> {
    /// Prepare items of the window with this number.
    Prepare(usize, Block<I>),
    /// Sort prepared items of the window with this number.
    Sort(usize, VecDeque<Entry<E>>),
    /// Run a chunk, and finish it.
    Run(Chunk<E>),
    /// Finish a chunk that a driver has run.
    Finish(Ran<E, R>),
}

/// A chunk with the model's outputs.
#[derive(Debug)]
pub(in crate::bulk) struct Ran<E, R> {
    pub(in crate::bulk) chunk: Chunk<E>,
    pub(in crate::bulk) slots: Vec<Option<Result<R>>>,
    /// The devices that parts of the chunk ran on, as far as the model recorded them.
    pub(in crate::bulk) devices: Vec<(Range<usize>, Devices)>,
    /// Time from preparing the oldest item to running the chunk.
    pub(in crate::bulk) waited: Duration,
    /// Time in the model, where a driver measured it.
    pub(in crate::bulk) took: Duration,
}

/// What a job that is over leaves behind, to be dropped outside its lock.
pub(in crate::bulk) struct Abandoned<I, E, R, O> {
    pub(in crate::bulk) held: Option<Result<I>>,
    pub(in crate::bulk) remains: Vec<Remains<I, E>>,
    pub(in crate::bulk) windows: VecDeque<Window<I, E, O>>,
    pub(in crate::bulk) finishing: VecDeque<Ran<E, R>>,
    pub(in crate::bulk) done: Option<Done<O>>,
}

impl<I, E, R, O> Abandoned<I, E, R, O> {
    /// Drops everything; a panic in a user's `drop` ends here.
    pub(in crate::bulk) fn let_go(abandoned: Option<Self>) {
        let Some(Self { held, remains, windows, finishing, done }) = abandoned else { return };
        panics::drop_each(held);
        for (blocks, entries) in remains {
            panics::drop_each(blocks.into_iter().flat_map(|block| block.items));
            panics::drop_each(entries);
        }
        windows.into_iter().for_each(Window::let_go);
        for ran in finishing {
            panics::drop_each(ran.chunk.entries);
            panics::drop_each(ran.slots);
        }
        panics::drop_each(done.into_iter().flatten().flat_map(Run::into_slots));
    }
}
