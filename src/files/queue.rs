//! The rows between the reader and the writer of a job.

use std::collections::VecDeque;

use crate::{
    error::Error,
    files::{
        part::{Taken, Waiting},
        record::Record,
    },
};

/// What the writer needs to know of the rows that were read.
#[derive(Debug)]
pub(in crate::files) enum Entry {
    Begin(Box<Taken>),
    /// A row that has a result.
    Row(Box<Waiting>),
    /// A row that stays as it is in the earlier part.
    Kept(Record),
}

/// The entries of rows whose results are not written, oldest first.
#[derive(Debug, Default)]
pub(in crate::files) struct Queue {
    pub(in crate::files) entries: VecDeque<Entry>,
    /// Why no further row could be read.
    pub(in crate::files) failure: Option<Error>,
    /// Whether other processes hold shards of this one.
    pub(in crate::files) is_shared: bool,
    /// Items so far.
    items: usize,
    /// Consecutive rows of an input: the first item, the number of the input, and the first row.
    runs: Vec<(usize, usize, u64)>,
}

impl Queue {
    /// Adds the row of the next item.
    pub(in crate::files) fn push_row(&mut self, input: usize, waiting: Waiting) {
        if self.place(self.items) != Some((input, waiting.row)) {
            self.runs.push((self.items, input, waiting.row));
        }
        self.items += 1;
        self.entries.push_back(Entry::Row(Box::new(waiting)));
    }

    /// The number of the input of an item, and its row.
    pub(in crate::files) fn place(&self, item: usize) -> Option<(usize, u64)> {
        let after = self.runs.partition_point(|(first, ..)| *first <= item);
        let (first, input, row) = self.runs.get(after.checked_sub(1)?)?;
        Some((*input, row + (item - first) as u64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_have_their_rows() {
        let mut queue = Queue::default();
        assert_eq!(queue.place(0), None);
        let rows = [(0, 4), (0, 5), (1, 0), (1, 1), (1, 7), (1, 8), (0, 9)];
        for (input, row) in rows {
            queue.push_row(input, Waiting { row, content: Err(Vec::new()), has_columns: false });
        }
        assert_eq!((queue.runs.len(), queue.entries.len()), (4, rows.len()));
        for (item, place) in rows.into_iter().enumerate() {
            assert_eq!(queue.place(item), Some(place));
        }
    }
}
