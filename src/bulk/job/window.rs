//! A stretch of consecutive items on their way: pulled, prepared, sorted by cost, run, and given their slots.

use std::collections::{BTreeMap, VecDeque};

use crate::{
    bulk::job::results::{Batch, Places, Run, Slot},
    error::{Error, ErrorKind, ItemError, Result, Stage},
    threads::panics,
};

/// Consecutive items as they came from the source.
#[derive(Debug)]
pub(in crate::bulk) struct Block<I> {
    /// The first item's position in the window.
    pub(in crate::bulk) start: usize,
    pub(in crate::bulk) items: Vec<Result<I>>,
}

/// A prepared item that waits to run.
#[derive(Debug)]
pub(in crate::bulk) struct Entry<E> {
    /// The item's position in the window.
    pub(in crate::bulk) place: usize,
    pub(in crate::bulk) cost: u64,
    pub(in crate::bulk) bytes: usize,
    /// When it was prepared, in ticks of the job's clock.
    pub(in crate::bulk) prepared: u32,
    pub(in crate::bulk) value: E,
}

/// Prepared items that are run together, and the window they are of: its number, and its first item's index.
#[derive(Debug)]
pub(in crate::bulk) struct Chunk<E> {
    pub(in crate::bulk) window: usize,
    pub(in crate::bulk) first: usize,
    pub(in crate::bulk) entries: Vec<Entry<E>>,
}

/// Results in the order of completion.
pub(in crate::bulk) type Done<O> = VecDeque<Run<O>>;

/// What a cut-off window gives back to be dropped outside the lock.
pub(in crate::bulk) type Remains<I, E> = (VecDeque<Block<I>>, VecDeque<Entry<E>>);

#[derive(Debug)]
pub(in crate::bulk) struct Window<I, E, O> {
    /// The first item's index in the job.
    pub(in crate::bulk) first: usize,
    /// Whether the source may still add items.
    pub(in crate::bulk) open: bool,
    /// Pulled, not prepared.
    pub(in crate::bulk) blocks: VecDeque<Block<I>>,
    /// Items in `blocks`.
    pub(in crate::bulk) unprepared: usize,
    /// Items in the hands of workers that prepare or sort them.
    pub(in crate::bulk) preparing: usize,
    /// Prepared, waiting; by falling cost if `sorted`.
    pub(in crate::bulk) entries: VecDeque<Entry<E>>,
    pub(in crate::bulk) sorted: bool,
    pub(in crate::bulk) queued_cost: u64,
    /// Items pulled into it.
    pub(in crate::bulk) len: usize,
    /// Results of consecutive items that came together, by the place of the first, where results are to be in order.
    runs: BTreeMap<usize, (Vec<Slot<O>>, usize)>,
    /// Other results, each in its place; there from the first one on.
    slots: Vec<Slot<O>>,
    /// Items that have their result: each gets one.
    pub(in crate::bulk) written: usize,
    /// Slots handed on, from the front.
    pub(in crate::bulk) taken: usize,
}

impl<I, E, O> Window<I, E, O> {
    pub(in crate::bulk) fn new(first: usize) -> Self {
        Self {
            first,
            open: true,
            blocks: VecDeque::new(),
            unprepared: 0,
            preparing: 0,
            entries: VecDeque::new(),
            sorted: true,
            queued_cost: 0,
            len: 0,
            runs: BTreeMap::new(),
            slots: Vec::new(),
            written: 0,
            taken: 0,
        }
    }

    /// Adds what was pulled.
    pub(in crate::bulk) fn push(&mut self, items: Vec<Result<I>>) {
        let start = self.len;
        self.len += items.len();
        self.unprepared += items.len();
        self.blocks.push_back(Block { start, items });
    }

    /// Takes up to `count` items off the oldest block.
    pub(in crate::bulk) fn take_block(&mut self, count: usize) -> Option<Block<I>> {
        let block = self.blocks.front_mut()?;
        let taken = if count < block.items.len() {
            let rest = block.items.split_off(count);
            let items = std::mem::replace(&mut block.items, rest);
            let start = block.start;
            block.start += count;
            Block { start, items }
        } else {
            self.blocks.pop_front()?
        };
        self.unprepared -= taken.items.len();
        self.preparing += taken.items.len();
        Some(taken)
    }

    /// Takes back what was not begun. Other workers may have put back later items before: the oldest item stays in
    /// front, since it alone may go ahead when memory is short.
    pub(in crate::bulk) fn put_back(&mut self, rest: Block<I>) {
        self.unprepared += rest.items.len();
        let place = self.blocks.partition_point(|block| block.start < rest.start);
        self.blocks.insert(place, rest);
    }

    /// Adds prepared items, of which the costs add up to `cost`, to those that wait.
    pub(in crate::bulk) fn enqueue(&mut self, mut entries: VecDeque<Entry<E>>, cost: u64, sorted: bool) {
        let in_order = match (self.entries.back(), entries.front()) {
            (Some(last), Some(first)) => last.cost >= first.cost,
            _ => true,
        };
        self.sorted &= sorted && in_order;
        self.queued_cost = self.queued_cost.saturating_add(cost);
        if self.entries.is_empty() {
            self.entries = entries;
        } else {
            self.entries.append(&mut entries);
        }
    }

    /// Takes what waits, to be sorted.
    pub(in crate::bulk) fn take_entries(&mut self) -> VecDeque<Entry<E>> {
        self.preparing += self.entries.len();
        self.queued_cost = 0;
        self.sorted = true;
        std::mem::take(&mut self.entries)
    }

    /// Cuts a chunk off the costly end: items up to a cost of `target`, at most `most`, at least one.
    pub(in crate::bulk) fn cut(&mut self, target: u64, most: usize) -> Vec<Entry<E>> {
        debug_assert!(self.sorted);
        let (mut count, mut cost) = (0, 0_u64);
        match (self.entries.front(), self.entries.back()) {
            // All are alike.
            (Some(first), Some(last)) if first.cost == last.cost => {
                let fits = usize::try_from(target / first.cost.max(1)).unwrap_or(usize::MAX);
                count = fits.min(most).clamp(1, self.entries.len());
                cost = first.cost.saturating_mul(count as u64);
            }
            _ => {
                for entry in self.entries.iter().take(most.max(1)) {
                    let sum = cost.saturating_add(entry.cost);
                    if count > 0 && sum > target {
                        break;
                    }
                    (count, cost) = (count + 1, sum);
                }
            }
        }
        self.queued_cost = self.queued_cost.saturating_sub(cost);
        if count == self.entries.len() {
            return std::mem::take(&mut self.entries).into();
        }
        self.entries.drain(..count).collect()
    }

    /// Takes back a chunk that another worker must run.
    pub(in crate::bulk) fn restore(&mut self, chunk: Vec<Entry<E>>) {
        for entry in chunk.into_iter().rev() {
            self.queued_cost = self.queued_cost.saturating_add(entry.cost);
            self.sorted &= self.entries.front().is_none_or(|next| entry.cost >= next.cost);
            self.entries.push_front(entry);
        }
    }

    /// Writes the result of an item: into its slot, or to `done` where the order of completion is wanted.
    ///
    /// # Panics
    /// If it has one already: then two chunks have run the same item.
    pub(in crate::bulk) fn write(&mut self, place: usize, result: Result<O, ItemError>, done: &mut Option<Done<O>>) {
        if let Some(done) = done {
            done.push_back(Run::new(self.first, Places::From(place), vec![Some(result)], None));
        } else {
            self.put(place, Some(result));
        }
        self.count(1);
    }

    /// Writes the results of the items at `places`, which hold `bytes`, or puts them with `done`.
    ///
    /// # Panics
    /// As [`write`](Self::write).
    pub(in crate::bulk) fn write_chunk(
        &mut self,
        places: Places,
        results: Vec<Slot<O>>,
        bytes: usize,
        done: &mut Option<Done<O>>,
    ) {
        let count = results.len();
        match (done, places) {
            (Some(done), places) => done.push_back(Run::new(self.first, places, results, Some(bytes))),
            (None, Places::From(start)) => {
                let free = self.slots.iter().skip(start).take(count).all(Option::is_none);
                let twice = start < self.taken || !free || self.has_run(start, start + count);
                assert!(!twice, "one of {count} items from {} on has two results", self.first + start);
                self.runs.insert(start, (results, bytes));
            }
            (None, Places::Listed(places)) => {
                places.into_iter().zip(results).for_each(|(place, result)| self.put(place, result));
            }
        }
        self.count(count);
    }

    fn put(&mut self, place: usize, result: Slot<O>) {
        if self.slots.len() < self.len {
            // Here and not where items are pulled: the consumer has enough to do.
            self.slots.resize_with(self.len, || None);
        }
        let twice = place < self.taken || self.slots[place].is_some() || self.has_run(place, place + 1);
        assert!(!twice, "item {} has two results", self.first + place);
        self.slots[place] = result;
    }

    /// Whether a run has results for any of the places from `start` to before `end`.
    fn has_run(&self, start: usize, end: usize) -> bool {
        let last = self.runs.range(..end).next_back();
        last.is_some_and(|(at, (results, _))| at + results.len() > start)
    }

    fn count(&mut self, results: usize) {
        self.written += results;
        assert!(self.written <= self.len, "more results than items");
    }

    /// Whether the next result in order is there.
    pub(in crate::bulk) fn is_ready(&self) -> bool {
        self.slots.get(self.taken).is_some_and(Option::is_some) || self.runs.contains_key(&self.taken)
    }

    /// Moves the results that are next in order to `batch`; whether the window is used up.
    pub(in crate::bulk) fn take_front(&mut self, batch: &mut Batch<O>) -> bool {
        while self.is_ready() {
            let next = Places::From(self.taken);
            let run = if let Some((results, bytes)) = self.runs.remove(&self.taken) {
                Run::new(self.first, next, results, Some(bytes))
            } else if self.taken == 0 && self.done() && self.runs.is_empty() {
                Run::new(self.first, next, std::mem::take(&mut self.slots), None)
            } else {
                let ready = self.slots[self.taken..].iter_mut().map_while(|slot| slot.take().map(Some));
                Run::new(self.first, next, ready.collect(), None)
            };
            self.taken += run.len();
            batch.push(run);
        }
        !self.open && self.taken == self.len
    }

    /// Whether all that will ever be in it is prepared.
    pub(in crate::bulk) fn complete(&self) -> bool {
        !self.open && self.unprepared == 0 && self.preparing == 0
    }

    /// Whether every item has its result.
    pub(in crate::bulk) fn done(&self) -> bool {
        !self.open && self.written == self.len
    }

    /// Drops what is in it, whatever panics.
    pub(in crate::bulk) fn let_go(self) {
        panics::drop_each(self.blocks.into_iter().flat_map(|block| block.items));
        panics::drop_each(self.entries);
        panics::drop_each(self.runs.into_values().flat_map(|(slots, _)| slots));
        panics::drop_each(self.slots);
    }

    /// Gives every item that no worker holds an error that says `why`.
    pub(in crate::bulk) fn abandon(&mut self, why: &str, done: &mut Option<Done<O>>) -> Remains<I, E> {
        let blocks = std::mem::take(&mut self.blocks);
        let entries = std::mem::take(&mut self.entries);
        (self.unprepared, self.queued_cost, self.sorted, self.open) = (0, 0, true, false);
        let unprepared = blocks.iter().flat_map(|block| block.start..block.start + block.items.len());
        let unprepared = unprepared.map(|place| (place, Stage::Prepare));
        for (place, stage) in unprepared.chain(entries.iter().map(|entry| (entry.place, Stage::Run))) {
            let source = Error::new(ErrorKind::Cancelled, why);
            self.write(place, Err(ItemError { index: self.first + place, stage, source }), done);
        }
        (blocks, entries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes results that are their items' places.
    fn write(window: &mut Window<usize, (), usize>, places: &[usize]) {
        let results = places.iter().map(|&place| Some(Ok(place))).collect();
        window.write_chunk(Places::of(places.iter().copied()), results, 0, &mut None);
    }

    #[test]
    fn runs_and_single_results_come_in_order() {
        let mut window = Window::<usize, (), usize>::new(100);
        window.push((0..12).map(Ok).collect());
        window.open = false;
        let mut batch = Batch::new();
        let mut taken = Vec::new();
        for places in [&[3, 4, 5][..], &[8], &[2, 0], &[6, 7], &[11, 9], &[1], &[10]] {
            write(&mut window, places);
            let used_up = window.take_front(&mut batch);
            taken.extend(std::iter::from_fn(|| batch.pop()).map(|(index, result)| (index, result.unwrap())));
            assert_eq!(used_up, taken.len() == 12);
        }
        assert!(taken.into_iter().eq((0..12).map(|place| (100 + place, place))));
    }

    #[test]
    fn two_results_for_an_item_are_noticed() {
        for (first, second) in [
            (&[1, 2, 3][..], &[3][..]),
            (&[1, 2, 3], &[0, 1]),
            (&[1, 2, 3], &[5, 2]),
            (&[3, 1], &[2, 3]),
            (&[3, 1], &[5, 1]),
            (&[0, 1], &[1, 2]),
            (&[0, 1], &[4, 0]),
        ] {
            let mut window = Window::<usize, (), usize>::new(0);
            window.push((0..6).map(Ok).collect());
            write(&mut window, first);
            window.take_front(&mut Batch::new());
            let twice = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| write(&mut window, second)));
            assert!(twice.is_err(), "{first:?} and {second:?}");
        }
    }

    #[test]
    fn the_oldest_item_stays_in_front_whoever_puts_back_first() {
        let mut window = Window::<usize, (), ()>::new(0);
        window.push((0..20).map(Ok).collect());
        let rest_of = |mut block: Block<usize>| {
            block.start += 5;
            block.items.drain(..5);
            block
        };
        let (older, newer) = (window.take_block(10).unwrap(), window.take_block(10).unwrap());
        for rest in [rest_of(older), rest_of(newer)] {
            window.put_back(rest);
        }
        let starts: Vec<_> = window.blocks.iter().map(|block| block.start).collect();
        assert_eq!((starts, window.unprepared), (vec![5, 15], 10));
    }
}
