//! What a job's threads share under its lock.

use std::{collections::VecDeque, ops::Range, task::Waker, time::Duration};

use crate::{
    bulk::{
        job::{
            results::{Batch, Run},
            tuner::{Mean, Tuner},
            window::{Block, Chunk, Done, Entry, Remains, Window},
        },
        report::{
            ChunkItems, Shares,
            measures::{Slowest, Times},
        },
    },
    error::Result,
    inference::ran_on::Devices,
    threads::panics,
};

pub(in crate::bulk) struct State<I, E, R, O> {
    pub(in crate::bulk) windows: VecDeque<Window<I, E, O>>,
    /// How many windows came before the first one here.
    pub(in crate::bulk) retired: usize,
    /// Results in the order of completion, if that is asked for.
    pub(in crate::bulk) done: Option<Done<O>>,
    pub(in crate::bulk) pulled: usize,
    pub(in crate::bulk) taken: usize,
    /// Pumps that are started.
    pub(in crate::bulk) pumps: usize,
    /// Driver threads that are started, and those of them that wait for a chunk.
    pub(in crate::bulk) drivers: usize,
    pub(in crate::bulk) idle_drivers: usize,
    /// Whether chunks are the drivers' to run, not the pumps'.
    pub(in crate::bulk) driven: bool,
    /// Why there are fewer drivers than were wanted, if so.
    pub(in crate::bulk) driver_trouble: Option<String>,
    /// Chunks that drivers have run, to be finished by pumps.
    pub(in crate::bulk) finishing: VecDeque<Ran<E, R>>,
    /// Units in workers' hands.
    pub(in crate::bulk) units: usize,
    /// Whether the consumer waits on the condition variable.
    pub(in crate::bulk) waiting: bool,
    /// Who is told instead, where the consumer does not wait but is polled.
    pub(in crate::bulk) waker: Option<Waker>,
    /// Whether the source gives nothing more for now: it has ended, or what is in flight is enough.
    pub(in crate::bulk) stalled: bool,
    /// Whether the job is over for the workers.
    pub(in crate::bulk) stopped: bool,
    /// What items that were not reached are told; without it, nobody wants to know.
    pub(in crate::bulk) why: Option<String>,
    pub(in crate::bulk) tuner: Tuner,
    pub(in crate::bulk) prepare_ns: Mean,
    pub(in crate::bulk) prepare_most: usize,
    pub(in crate::bulk) entry_bytes: Mean,
    pub(in crate::bulk) output_bytes: Mean,
    pub(in crate::bulk) chunks: ChunkItems,
    pub(in crate::bulk) chunk_times: Times,
    pub(in crate::bulk) queue_waits: Times,
    pub(in crate::bulk) slowest: Slowest,
    pub(in crate::bulk) devices: Shares,
}

/// What a job that is over leaves behind, to be let go outside its lock.
pub(in crate::bulk) struct Abandoned<I, E, R, O> {
    remains: Vec<Remains<I, E>>,
    windows: VecDeque<Window<I, E, O>>,
    finishing: VecDeque<Ran<E, R>>,
    done: Option<Done<O>>,
}

impl<I, E, R, O> Abandoned<I, E, R, O> {
    /// Drops it, if there is anything, whatever panics.
    pub(in crate::bulk) fn let_go(abandoned: Option<Self>) {
        let Some(Self { remains, windows, finishing, done }) = abandoned else { return };
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

/// A chunk with what the model made of it.
pub(in crate::bulk) struct Ran<E, R> {
    pub(in crate::bulk) chunk: Chunk<E>,
    pub(in crate::bulk) slots: Vec<Option<Result<R>>>,
    /// What parts of the chunk ran on devices that the model has told of.
    pub(in crate::bulk) devices: Vec<(Range<usize>, Devices)>,
    /// Between its being prepared and being run.
    pub(in crate::bulk) waited: Duration,
    pub(in crate::bulk) took: Duration,
}

/// A piece of work for one worker.
pub(in crate::bulk) enum Unit<I, E, R> {
    Prepare(usize, Block<I>),
    Sort(usize, VecDeque<Entry<E>>),
    Run(Chunk<E>),
    Finish(Ran<E, R>),
}

impl<I, E, R, O> State<I, E, R, O> {
    pub(in crate::bulk) fn new(tuner: Tuner, ordered: bool, prepares: bool) -> Self {
        Self {
            windows: VecDeque::new(),
            retired: 0,
            done: (!ordered).then(VecDeque::new),
            pulled: 0,
            taken: 0,
            pumps: 0,
            drivers: 0,
            idle_drivers: 0,
            driven: false,
            driver_trouble: None,
            finishing: VecDeque::new(),
            units: 0,
            waiting: false,
            waker: None,
            stalled: false,
            stopped: false,
            why: None,
            tuner,
            prepare_ns: Mean::default(),
            prepare_most: if prepares { 1 } else { 256 },
            entry_bytes: Mean::default(),
            output_bytes: Mean::default(),
            chunks: ChunkItems::default(),
            chunk_times: Times::default(),
            queue_waits: Times::default(),
            slowest: Slowest::default(),
            devices: Shares::default(),
        }
    }

    /// A window by its number, unless it is gone, and where results go that are wanted as they come.
    #[expect(clippy::type_complexity, reason = "two fields, borrowed together")]
    pub(in crate::bulk) fn window(&mut self, number: usize) -> Option<(&mut Window<I, E, O>, &mut Option<Done<O>>)> {
        Some((self.windows.get_mut(number.checked_sub(self.retired)?)?, &mut self.done))
    }

    /// Once the job is over: gives what no worker holds its error, or lets all of it go; it comes back to be dropped
    /// outside the lock.
    pub(in crate::bulk) fn abandon(&mut self) -> Option<Abandoned<I, E, R, O>> {
        if !self.stopped {
            return None;
        }
        let Some(why) = &self.why else {
            self.retired += self.windows.len();
            let (windows, finishing) = (std::mem::take(&mut self.windows), std::mem::take(&mut self.finishing));
            let done = self.done.as_mut().map(std::mem::take);
            return Some(Abandoned { remains: Vec::new(), windows, finishing, done });
        };
        let remains = self.windows.iter_mut().map(|window| window.abandon(why, &mut self.done)).collect();
        Some(Abandoned { remains, windows: VecDeque::new(), finishing: VecDeque::new(), done: None })
    }

    /// Adds what was pulled to the open window; `last`: and closes it.
    pub(in crate::bulk) fn push(&mut self, items: Vec<Result<I>>, last: bool) {
        if !self.is_open() {
            self.windows.push_back(Window::new(self.pulled));
        }
        self.pulled += items.len();
        if let Some(window) = self.windows.back_mut() {
            window.push(items);
            window.open = !last;
        }
    }

    /// Items that the open window still takes.
    pub(in crate::bulk) fn window_room(&self, window_items: usize) -> usize {
        let used = self.windows.back().filter(|window| window.open).map_or(0, |window| window.len);
        window_items.saturating_sub(used).max(1)
    }

    /// Closes the open window: nothing more comes.
    pub(in crate::bulk) fn close(&mut self) {
        self.stalled = true;
        if let Some(window) = self.windows.back_mut() {
            window.open = false;
        }
    }

    /// Whether a window takes more items.
    pub(in crate::bulk) fn is_open(&self) -> bool {
        self.windows.back().is_some_and(|window| window.open)
    }

    /// Items that are pulled and not prepared.
    pub(in crate::bulk) fn unprepared(&self) -> usize {
        self.windows.iter().map(|window| window.unprepared).sum()
    }

    /// Items that are pulled and have no result.
    pub(in crate::bulk) fn unfinished(&self) -> usize {
        self.windows.iter().map(|window| window.len - window.written).sum()
    }

    pub(in crate::bulk) fn queued(&self) -> usize {
        self.windows.iter().map(|window| window.entries.len()).sum()
    }

    /// Whether there may be something for a pump to do.
    pub(in crate::bulk) fn has_work(&self) -> bool {
        let can_run = !self.driven && !self.tuner.holds_back();
        let waits = |window: &Window<I, E, O>| !window.entries.is_empty() && (can_run || !window.sorted);
        let finishing = !self.finishing.is_empty();
        finishing || !self.stopped && self.windows.iter().any(|window| window.unprepared > 0 || waits(window))
    }

    /// A window that is all prepared and waits to be run, of those that are `wanted`.
    pub(in crate::bulk) fn complete(&self, wanted: impl Fn(&Window<I, E, O>) -> bool) -> Option<usize> {
        self.windows.iter().position(|window| window.complete() && !window.entries.is_empty() && wanted(window))
    }

    /// A window out of which a chunk is worth cutting although more of it may come, of those that are `wanted`: where
    /// nobody would have anything to do otherwise.
    pub(in crate::bulk) fn incomplete(
        &self,
        prepares: bool,
        wanted: impl Fn(&Window<I, E, O>) -> bool,
    ) -> Option<usize> {
        // A fixed chunk size, or that of a first chunk, is worth waiting for, as long as more can come: from the source, or from a worker that
        // prepares it now and will look again.
        let more = !self.stalled || self.windows.iter().any(|window| window.preparing > 0);
        let least = if !more || prepares && self.unprepared() > 0 { 1 } else { self.tuner.least() };
        self.windows
            .iter()
            .position(|window| window.entries.len() >= if window.complete() { 1 } else { least } && wanted(window))
    }

    /// The unit that makes the most of a window: sorts it, or takes a chunk off it.
    pub(in crate::bulk) fn cut(&mut self, place: usize) -> Unit<I, E, R> {
        if !self.windows[place].sorted {
            return Unit::Sort(self.retired + place, self.windows[place].take_entries());
        }
        Unit::Run(self.cut_chunk(place))
    }

    /// A chunk off a sorted window.
    pub(in crate::bulk) fn cut_chunk(&mut self, place: usize) -> Chunk<E> {
        let unprepared = self.unprepared() as f64 * self.tuner.item_cost();
        let queued = self.windows.iter().fold(unprepared as u64, |sum, window| sum.saturating_add(window.queued_cost));
        let (target, most) = self.tuner.bounds(queued);
        self.tuner.begun();
        let window = &mut self.windows[place];
        Chunk { window: self.retired + place, first: window.first, entries: window.cut(target, most) }
    }

    /// Whether a result waits to be taken.
    pub(in crate::bulk) fn is_ready(&self) -> bool {
        match &self.done {
            Some(done) => !done.is_empty(),
            None => self.windows.front().is_some_and(Window::is_ready),
        }
    }

    /// Moves the results that can be handed on to `batch`.
    pub(in crate::bulk) fn take_ready(&mut self, batch: &mut Batch<O>) {
        let before = batch.len();
        if let Some(done) = &mut self.done {
            done.drain(..).for_each(|run| batch.push(run));
            while self.windows.front().is_some_and(Window::done) {
                self.windows.pop_front();
                self.retired += 1;
            }
        } else {
            while self.windows.front_mut().is_some_and(|window| window.take_front(batch)) {
                self.windows.pop_front();
                self.retired += 1;
            }
        }
        self.taken += batch.len() - before;
    }

    /// Whether nobody is at work for the job.
    #[cfg(all(test, shuttle))]
    pub(in crate::bulk) fn is_idle(&self) -> bool {
        self.pumps == 0 && self.units == 0 && self.drivers == 0 && self.finishing.is_empty()
    }
}
