//! A stretch of consecutive items on their way: pulled, prepared, sorted by cost, run, and given their slots.

use std::{collections::VecDeque, vec};

use crate::error::{Error, ErrorKind, ItemError, Result, Stage};

/// Consecutive items as they came from the source.
#[derive(Debug)]
pub(super) struct Block<I> {
    /// The first item's position in the window.
    pub(super) start: usize,
    pub(super) items: VecDeque<Result<I>>,
}

/// A prepared item that waits to run.
#[derive(Debug)]
pub(super) struct Entry<E> {
    /// The item's position in the window.
    pub(super) place: usize,
    pub(super) cost: u64,
    pub(super) bytes: usize,
    /// When it was prepared, in ticks of the job's clock.
    pub(super) prepared: u32,
    pub(super) value: E,
}

/// The result of an item, once it is there.
pub(super) type Slot<O> = Option<Result<O, ItemError>>;

/// Results with their items' indices, in any order.
pub(super) type Done<O> = VecDeque<(usize, Result<O, ItemError>)>;

/// Results on their way to the consumer.
#[derive(Debug)]
pub(super) struct Batch<O> {
    /// The slots of a whole window, all full, as they are; the first has the index `next`.
    whole: vec::IntoIter<Slot<O>>,
    next: usize,
    /// Or single ones.
    single: Done<O>,
}

impl<O> Batch<O> {
    pub(super) fn new() -> Self {
        Self { whole: Vec::new().into_iter(), next: 0, single: VecDeque::new() }
    }

    #[inline]
    pub(super) fn pop(&mut self) -> Option<(usize, Result<O, ItemError>)> {
        if let Some(Some(result)) = self.whole.next() {
            self.next += 1;
            return Some((self.next - 1, result));
        }
        self.single.pop_front()
    }

    /// Adds what is done; in a batch that holds a window this would come out of order.
    pub(super) fn append(&mut self, done: &mut Done<O>) {
        self.single.append(done);
    }

    pub(super) fn len(&self) -> usize {
        self.whole.len() + self.single.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Result<O, ItemError>> {
        self.whole.as_slice().iter().flatten().chain(self.single.iter().map(|(_, result)| result))
    }
}

/// What a cut-off window gives back to be dropped outside the lock.
pub(super) type Remains<I, E> = (VecDeque<Block<I>>, VecDeque<Entry<E>>);

#[derive(Debug)]
pub(super) struct Window<I, E, O> {
    /// The first item's index in the job.
    pub(super) first: usize,
    /// Whether the source may still add items.
    pub(super) open: bool,
    /// Pulled, not prepared.
    pub(super) blocks: VecDeque<Block<I>>,
    /// Items in `blocks`.
    pub(super) unprepared: usize,
    /// Items in the hands of workers that prepare or sort them.
    pub(super) preparing: usize,
    /// Prepared, waiting; by falling cost if `sorted`.
    pub(super) entries: VecDeque<Entry<E>>,
    pub(super) sorted: bool,
    pub(super) queued_cost: u64,
    /// Items pulled into it.
    pub(super) len: usize,
    /// One for each item, where results are to be in order; there from the first result on.
    pub(super) slots: Vec<Slot<O>>,
    /// Items that have their result: each gets one.
    pub(super) written: usize,
    /// Slots handed on, from the front.
    pub(super) taken: usize,
}

impl<I, E, O> Window<I, E, O> {
    pub(super) fn new(first: usize) -> Self {
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
            slots: Vec::new(),
            written: 0,
            taken: 0,
        }
    }

    /// Adds what was pulled.
    pub(super) fn push(&mut self, items: VecDeque<Result<I>>) {
        let start = self.len;
        self.len += items.len();
        self.unprepared += items.len();
        self.blocks.push_back(Block { start, items });
    }

    /// Takes up to `count` items off the oldest block.
    pub(super) fn take_block(&mut self, count: usize) -> Option<Block<I>> {
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
    pub(super) fn put_back(&mut self, rest: Block<I>) {
        self.unprepared += rest.items.len();
        let place = self.blocks.partition_point(|block| block.start < rest.start);
        self.blocks.insert(place, rest);
    }

    /// Adds prepared items to those that wait.
    pub(super) fn enqueue(&mut self, entries: VecDeque<Entry<E>>, sorted: bool) {
        let in_order = match (self.entries.back(), entries.front()) {
            (Some(last), Some(first)) => last.cost >= first.cost,
            _ => true,
        };
        self.sorted &= sorted && in_order;
        self.queued_cost = entries.iter().fold(self.queued_cost, |sum, entry| sum.saturating_add(entry.cost));
        if self.entries.is_empty() {
            self.entries = entries;
        } else {
            self.entries.extend(entries);
        }
    }

    /// Takes what waits, to be sorted.
    pub(super) fn take_entries(&mut self) -> VecDeque<Entry<E>> {
        self.preparing += self.entries.len();
        self.queued_cost = 0;
        self.sorted = true;
        std::mem::take(&mut self.entries)
    }

    /// Cuts a chunk off the costly end: items up to a cost of `target`, at most `most`, at least one.
    pub(super) fn cut(&mut self, target: u64, most: usize) -> Vec<Entry<E>> {
        debug_assert!(self.sorted);
        let mut cost = 0_u64;
        let fits = |entry: &&Entry<E>| {
            let first = cost == 0;
            cost = cost.saturating_add(entry.cost);
            first || cost <= target
        };
        let count = self.entries.iter().take(most.max(1)).take_while(fits).count();
        let chunk: Vec<_> = self.entries.drain(..count).collect();
        self.queued_cost = chunk.iter().fold(self.queued_cost, |sum, entry| sum.saturating_sub(entry.cost));
        chunk
    }

    /// Takes back a chunk that another worker must run.
    pub(super) fn restore(&mut self, chunk: Vec<Entry<E>>) {
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
    pub(super) fn write(&mut self, place: usize, result: Result<O, ItemError>, done: &mut Option<Done<O>>) {
        if let Some(done) = done {
            done.push_back((self.first + place, result));
        } else {
            if self.slots.len() < self.len {
                // Here and not where items are pulled: the consumer has enough to do.
                self.slots.resize_with(self.len, || None);
            }
            let slot = &mut self.slots[place];
            assert!(slot.is_none(), "item {} has two results", self.first + place);
            *slot = Some(result);
        }
        self.written += 1;
        assert!(self.written <= self.len, "more results than items");
    }

    /// Moves the results that are next in order to `batch`; whether the window is used up.
    pub(super) fn take_front(&mut self, batch: &mut Batch<O>) -> bool {
        if self.taken == 0 && self.done() && batch.len() == 0 {
            (batch.whole, batch.next) = (std::mem::take(&mut self.slots).into_iter(), self.first);
            self.taken = self.len;
            return true;
        }
        if batch.whole.len() > 0 {
            return false;
        }
        while let Some(result) = self.slots.get_mut(self.taken).and_then(Option::take) {
            batch.single.push_back((self.first + self.taken, result));
            self.taken += 1;
        }
        !self.open && self.taken == self.len
    }

    /// Whether all that will ever be in it is prepared.
    pub(super) fn complete(&self) -> bool {
        !self.open && self.unprepared == 0 && self.preparing == 0
    }

    /// Whether every item has its result.
    pub(super) fn done(&self) -> bool {
        !self.open && self.written == self.len
    }

    /// Gives every item that no worker holds an error that says `why`.
    pub(super) fn abandon(&mut self, why: &str, done: &mut Option<Done<O>>) -> Remains<I, E> {
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
