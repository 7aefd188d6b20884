//! What the threads of a job share under its lock.

use std::{collections::VecDeque, task::Waker};

use crate::{
    bulk::{
        job::{
            drivers::Drivers,
            results::{Batch, Done},
            tuner::{Tuner, mean::Mean},
            unit::{Abandoned, Ran, Unit},
            window::{Chunk, Window},
        },
        report::measures::Measures,
    },
    error::{Result, Stage},
};

/// What the threads of a job share under its lock.
pub(in crate::bulk) struct State<I, E, R, O> {
    /// Windows with items that are not yet taken, oldest first.
    pub(in crate::bulk) windows: VecDeque<Window<I, E, O>>,
    /// Windows that came before the first one in `windows`.
    pub(in crate::bulk) retired: usize,
    /// Results in order of completion, in an unordered job.
    pub(in crate::bulk) done: Option<Done<O>>,
    /// An item that was pulled but does not fit the memory that is left; not counted in `pulled`.
    pub(in crate::bulk) held: Option<Result<I>>,
    /// Items pulled from the source.
    pub(in crate::bulk) pulled: usize,
    /// Results that the consumer took.
    pub(in crate::bulk) taken: usize,
    /// Pumps that are running or about to start.
    pub(in crate::bulk) pumps: usize,
    pub(in crate::bulk) drivers: Drivers,
    /// Chunks that drivers have run and that pumps are to finish.
    pub(in crate::bulk) finishing: VecDeque<Ran<E, R>>,
    /// Units that workers or drivers are working on.
    pub(in crate::bulk) units: usize,
    /// Whether the consumer waits on the condition variable `ready`.
    pub(in crate::bulk) waiting: bool,
    /// The waker of a consumer that is polled instead of waiting.
    pub(in crate::bulk) waker: Option<Waker>,
    /// Whether no item will come from the source for now: it has ended, or enough is in flight.
    pub(in crate::bulk) stalled: bool,
    /// Whether the job is over for the workers.
    pub(in crate::bulk) stopped: bool,
    /// The error of items that were not reached; if `None`, their results are not wanted.
    pub(in crate::bulk) why: Option<String>,
    /// The stage that an item waits for when it has been pulled.
    pub(in crate::bulk) first: Stage,
    pub(in crate::bulk) tuner: Tuner,
    /// Nanoseconds to prepare an item.
    pub(in crate::bulk) prepare_ns: Mean,
    /// Items that the next unit of preparing may have.
    pub(in crate::bulk) prepare_most: usize,
    /// Bytes of an entry.
    pub(in crate::bulk) entry_bytes: Mean,
    /// Bytes of a result.
    pub(in crate::bulk) output_bytes: Mean,
    pub(in crate::bulk) measures: Measures,
}

impl<I, E, R, O> State<I, E, R, O> {
    pub(in crate::bulk) fn new(tuner: Tuner, ordered: bool, first: Stage) -> Self {
        Self {
            windows: VecDeque::new(),
            retired: 0,
            done: (!ordered).then(VecDeque::new),
            held: None,
            pulled: 0,
            taken: 0,
            pumps: 0,
            drivers: Drivers::default(),
            finishing: VecDeque::new(),
            units: 0,
            waiting: false,
            waker: None,
            stalled: false,
            stopped: false,
            why: None,
            first,
            tuner,
            prepare_ns: Mean::default(),
            prepare_most: if first == Stage::Prepare { 1 } else { 256 },
            entry_bytes: Mean::default(),
            output_bytes: Mean::default(),
            measures: Measures::default(),
        }
    }

    /// The window with this number, unless it is gone, and the queue of an unordered job's results.
    #[expect(clippy::type_complexity, reason = "two fields, borrowed together")]
    pub(in crate::bulk) fn window(&mut self, number: usize) -> Option<(&mut Window<I, E, O>, &mut Option<Done<O>>)> {
        Some((self.windows.get_mut(number.checked_sub(self.retired)?)?, &mut self.done))
    }

    /// If the job is stopped: resolves items that no worker holds with an error, or gives
    /// everything up.
    ///
    /// What is left over is returned, to be dropped outside the lock.
    pub(in crate::bulk) fn abandon(&mut self) -> Option<Abandoned<I, E, R, O>> {
        if !self.stopped {
            return None;
        }
        let held = self.held.take();
        let Some(why) = &self.why else {
            self.retired += self.windows.len();
            let (windows, finishing) = (std::mem::take(&mut self.windows), std::mem::take(&mut self.finishing));
            let done = self.done.as_mut().map(std::mem::take);
            return Some(Abandoned { held, remains: Vec::new(), windows, finishing, done });
        };
        let remains = self.windows.iter_mut().map(|window| window.abandon(self.first, why, &mut self.done)).collect();
        Some(Abandoned { held, remains, windows: VecDeque::new(), finishing: VecDeque::new(), done: None })
    }

    /// Adds pulled items to the open window, which is closed if they are its `last`.
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

    /// How many more items fit the open window of `window_items`.
    pub(in crate::bulk) fn window_room(&self, window_items: usize) -> usize {
        let used = self.windows.back().filter(|window| window.open).map_or(0, |window| window.len);
        window_items.saturating_sub(used).max(1)
    }

    /// Closes the open window: the source has ended.
    pub(in crate::bulk) fn close(&mut self) {
        self.stalled = true;
        if let Some(window) = self.windows.back_mut() {
            window.open = false;
        }
    }

    /// Whether a window accepts more items.
    pub(in crate::bulk) fn is_open(&self) -> bool {
        self.windows.back().is_some_and(|window| window.open)
    }

    /// Items that are pulled and not yet taken up to be prepared.
    pub(in crate::bulk) fn unprepared(&self) -> usize {
        self.windows.iter().map(|window| window.unprepared).sum()
    }

    /// Items that are pulled and have no result yet.
    pub(in crate::bulk) fn unfinished(&self) -> usize {
        self.windows.iter().map(|window| window.unfinished()).sum()
    }

    /// Items that are prepared and wait to run.
    pub(in crate::bulk) fn queued(&self) -> usize {
        self.windows.iter().map(|window| window.entries.len()).sum()
    }

    /// Whether a pump may find work.
    pub(in crate::bulk) fn has_work(&self) -> bool {
        let can_run = !self.drivers.in_charge() && !self.tuner.holds_back();
        let waits = |window: &Window<I, E, O>| !window.entries.is_empty() && (can_run || !window.sorted);
        let finishing = !self.finishing.is_empty();
        finishing || !self.stopped && self.windows.iter().any(|window| window.unprepared > 0 || waits(window))
    }

    /// The first `wanted` window whose items are all prepared and wait to run.
    pub(in crate::bulk) fn complete(&self, wanted: impl Fn(&Window<I, E, O>) -> bool) -> Option<usize> {
        self.windows.iter().position(|window| window.complete() && !window.entries.is_empty() && wanted(window))
    }

    /// The first `wanted` window worth cutting a chunk from although more of its items may come.
    ///
    /// For threads that would otherwise be idle.
    pub(in crate::bulk) fn incomplete(
        &self,
        prepares: bool,
        wanted: impl Fn(&Window<I, E, O>) -> bool,
    ) -> Option<usize> {
        // A fixed chunk size, or that of a first chunk, is worth waiting for as long as more items
        // can come: from the source, or from a worker that prepares them now and will look again.
        let more = !self.stalled || self.windows.iter().any(|window| window.preparing > 0);
        let least = if !more || prepares && self.unprepared() > 0 { 1 } else { self.tuner.least() };
        self.windows
            .iter()
            .position(|window| window.entries.len() >= if window.complete() { 1 } else { least } && wanted(window))
    }

    /// The next unit of a window: sorting it, or running a chunk cut from it.
    pub(in crate::bulk) fn cut(&mut self, place: usize) -> Unit<I, E, R> {
        if !self.windows[place].sorted {
            return Unit::Sort(self.retired + place, self.windows[place].take_entries());
        }
        Unit::Run(self.cut_chunk(place))
    }

    /// Cuts a chunk from a sorted window.
    pub(in crate::bulk) fn cut_chunk(&mut self, place: usize) -> Chunk<E> {
        let unprepared = self.unprepared() as f64 * self.tuner.item_cost();
        let queued = self.windows.iter().fold(unprepared as u64, |sum, window| sum.saturating_add(window.queued_cost));
        let (target, most) = self.tuner.bounds(queued);
        self.tuner.begun();
        let window = &mut self.windows[place];
        Chunk { window: self.retired + place, first: window.first, entries: window.cut(target, most) }
    }

    /// Whether a result can be taken.
    pub(in crate::bulk) fn is_ready(&self) -> bool {
        match &self.done {
            Some(done) => !done.is_empty(),
            None => self.windows.front().is_some_and(Window::is_ready),
        }
    }

    /// Moves the results that can be taken to `batch`.
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

    /// Whether no thread is working for the job.
    #[cfg(all(test, shuttle))]
    pub(in crate::bulk) fn is_idle(&self) -> bool {
        self.pumps == 0 && self.units == 0 && self.drivers.is_empty() && self.finishing.is_empty()
    }
}
