//! Windows: consecutive items that are prepared, sorted by cost and cut into chunks together.

use std::collections::VecDeque;

use crate::{
    bulk::job::{
        results::{Batch, Done, Places, Slot},
        slots::ResultSlots,
    },
    error::{Error, ErrorKind, ItemError, Result, Stage},
    threads::panics,
};

/// Consecutive items of a window, as they came from the source.
#[derive(Debug)]
pub(in crate::bulk) struct Block<I> {
    /// The place of the first item in the window.
    pub(in crate::bulk) start: usize,
    pub(in crate::bulk) items: Vec<Result<I>>,
}

/// A prepared item.
#[derive(Debug)]
pub(in crate::bulk) struct Entry<E> {
    /// The place of the item in the window.
    pub(in crate::bulk) place: usize,
    pub(in crate::bulk) cost: u64,
    pub(in crate::bulk) bytes: usize,
    /// When it was prepared, in ticks of the job's clock.
    pub(in crate::bulk) prepared: u32,
    pub(in crate::bulk) value: E,
}

/// Prepared items of one window that are run together.
#[derive(Debug)]
pub(in crate::bulk) struct Chunk<E> {
    /// The number of the window.
    pub(in crate::bulk) window: usize,
    /// The job index of the window's first item.
    pub(in crate::bulk) first: usize,
    pub(in crate::bulk) entries: Vec<Entry<E>>,
}

/// Items of a window whose job was cut off, to be dropped outside the lock.
pub(in crate::bulk) type Remains<I, E> = (VecDeque<Block<I>>, VecDeque<Entry<E>>);

/// Consecutive items of a job, from pulling to taking their results.
#[derive(Debug)]
pub(in crate::bulk) struct Window<I, E, O> {
    /// The job index of the first item.
    pub(in crate::bulk) first: usize,
    /// Whether the source may still add items.
    pub(in crate::bulk) open: bool,
    /// Items that are pulled and not taken up to be prepared, oldest first.
    pub(in crate::bulk) blocks: VecDeque<Block<I>>,
    /// Items in `blocks`.
    pub(in crate::bulk) unprepared: usize,
    /// Items that workers are preparing or sorting.
    pub(in crate::bulk) preparing: usize,
    /// Prepared items that wait to run; by descending cost if `sorted`.
    pub(in crate::bulk) entries: VecDeque<Entry<E>>,
    pub(in crate::bulk) sorted: bool,
    /// The cost of `entries`.
    pub(in crate::bulk) queued_cost: u64,
    /// Items that were pulled into the window.
    pub(in crate::bulk) len: usize,
    results: ResultSlots<O>,
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
            results: ResultSlots::new(first),
        }
    }

    /// Adds pulled items.
    pub(in crate::bulk) fn push(&mut self, items: Vec<Result<I>>) {
        let start = self.len;
        self.len += items.len();
        self.unprepared += items.len();
        self.blocks.push_back(Block { start, items });
    }

    /// Takes up to `count` items from the oldest block.
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

    /// Takes back items that were not prepared.
    ///
    /// Other workers may have put back later items before. The oldest item stays in front, since it
    /// alone may proceed when memory is short.
    pub(in crate::bulk) fn put_back(&mut self, rest: Block<I>) {
        self.unprepared += rest.items.len();
        let place = self.blocks.partition_point(|block| block.start < rest.start);
        self.blocks.insert(place, rest);
    }

    /// Adds prepared items with a total cost of `cost`.
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

    /// Takes the prepared items, to be sorted.
    pub(in crate::bulk) fn take_entries(&mut self) -> VecDeque<Entry<E>> {
        self.preparing += self.entries.len();
        self.queued_cost = 0;
        self.sorted = true;
        std::mem::take(&mut self.entries)
    }

    /// Cuts a chunk from the costly end: items up to a cost of `target`, at most `most`, at least
    /// one.
    pub(in crate::bulk) fn cut(&mut self, target: u64, most: usize) -> Vec<Entry<E>> {
        debug_assert!(self.sorted);
        let (mut count, mut cost) = (0, 0_u64);
        match (self.entries.front(), self.entries.back()) {
            // All have the same cost.
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

    /// Takes back a chunk that another thread must run.
    pub(in crate::bulk) fn restore(&mut self, chunk: Vec<Entry<E>>) {
        for entry in chunk.into_iter().rev() {
            self.queued_cost = self.queued_cost.saturating_add(entry.cost);
            self.sorted &= self.entries.front().is_none_or(|next| entry.cost >= next.cost);
            self.entries.push_front(entry);
        }
    }

    /// Writes the result of the item at `place`; see [`ResultSlots::write`].
    pub(in crate::bulk) fn write(&mut self, place: usize, result: Result<O, ItemError>, done: &mut Option<Done<O>>) {
        self.results.write(place, result, self.len, done);
    }

    /// Writes the results of the items at `places`; see [`ResultSlots::write_chunk`].
    pub(in crate::bulk) fn write_chunk(
        &mut self,
        places: Places,
        results: Vec<Slot<O>>,
        bytes: usize,
        done: &mut Option<Done<O>>,
    ) {
        self.results.write_chunk(places, results, bytes, self.len, done);
    }

    /// Whether the next result in order can be taken.
    pub(in crate::bulk) fn is_ready(&self) -> bool {
        self.results.is_ready()
    }

    /// Moves the results that are next in order to `batch`; whether the window is used up.
    pub(in crate::bulk) fn take_front(&mut self, batch: &mut Batch<O>) -> bool {
        self.results.take_front(batch, self.done());
        !self.open && self.results.taken() == self.len
    }

    /// Items that have no result yet.
    pub(in crate::bulk) fn unfinished(&self) -> usize {
        self.len - self.results.written()
    }

    /// Whether all items are pulled and prepared.
    pub(in crate::bulk) fn complete(&self) -> bool {
        !self.open && self.unprepared == 0 && self.preparing == 0
    }

    /// Whether every item has its result.
    pub(in crate::bulk) fn done(&self) -> bool {
        !self.open && self.unfinished() == 0
    }

    /// Drops all items and results; a panic in a user's `drop` ends here.
    pub(in crate::bulk) fn let_go(self) {
        panics::drop_each(self.blocks.into_iter().flat_map(|block| block.items));
        panics::drop_each(self.entries);
        self.results.let_go();
    }

    /// Resolves every item that no worker holds with an error that says `why`, or with that of its
    /// source; unprepared items waited for the stage `first`.
    pub(in crate::bulk) fn abandon(&mut self, first: Stage, why: &str, done: &mut Option<Done<O>>) -> Remains<I, E> {
        let blocks = std::mem::take(&mut self.blocks);
        let entries = std::mem::take(&mut self.entries);
        (self.unprepared, self.queued_cost, self.sorted, self.open) = (0, 0, true, false);
        let why = Error::new(ErrorKind::Cancelled, why);
        let unprepared = blocks.iter().flat_map(|block| (block.start..).zip(&block.items));
        let unprepared = unprepared.map(|(place, item)| match item {
            Ok(_) => (place, first, &why),
            Err(error) => (place, Stage::Read, error),
        });
        let prepared = entries.iter().map(|entry| (entry.place, Stage::Run, &why));
        for (place, stage, source) in unprepared.chain(prepared) {
            let source = source.clone();
            self.write(place, Err(ItemError { index: self.first + place, stage, source }), done);
        }
        (blocks, entries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cancelled_items_have_the_stage_that_they_waited_for() {
        for first in [Stage::Prepare, Stage::Run] {
            let mut window = Window::<usize, (), ()>::new(10);
            window.push(vec![Ok(0), Ok(1), Err(Error::user("torn")), Ok(3)]);
            let block = window.take_block(1).unwrap();
            window.preparing -= block.items.len();
            let entry = Entry { place: 0, cost: 1, bytes: 0, prepared: 0, value: () };
            window.enqueue([entry].into(), 1, true);
            window.abandon(first, "over", &mut None);
            let mut batch = Batch::new();
            window.take_front(&mut batch);
            let errors = std::iter::from_fn(|| batch.pop()).map(|(_, result)| result.unwrap_err());
            let errors: Vec<_> = errors.map(|error| (error.index, error.stage, error.source.kind())).collect();
            let cancelled = |index, stage| (index, stage, ErrorKind::Cancelled);
            let torn = (12, Stage::Read, ErrorKind::User);
            assert_eq!(errors, [cancelled(10, Stage::Run), cancelled(11, first), torn, cancelled(13, first)]);
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
