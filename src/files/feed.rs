//! The rows of a job as the items of a bulk job: takes shards that nobody has, and reads them.

use std::{cell::RefCell, collections::BTreeSet, rc::Rc};

use crate::{
    error::{Error, Result},
    files::{
        folder::{hash_of, letters_name},
        inputs::Input,
        letters,
        manifest::Manifest,
        part::{Making, Taken, Waiting, rows_changed},
        plan::{Plan, Shard},
        queue::{Entry, Queue},
        record::{Record, Row},
        source::{Reader, Reading, open},
    },
};

/// Rows of earlier parts after which a pass ends, because they wait until the results behind them come.
const MOST_KEPT: u64 = 50_000;

/// Which shards a process runs.
pub(in crate::files) struct Todo {
    /// This process's number and that of all, where shards are dealt out.
    pub(in crate::files) dealt: (usize, usize),
    pub(in crate::files) retries: bool,
    /// Shards that were retried.
    pub(in crate::files) done: BTreeSet<usize>,
    pub(in crate::files) manifest: Manifest,
}

impl Todo {
    pub(in crate::files) fn is_mine(&self, index: usize) -> bool {
        index % self.dealt.1 == self.dealt.0
    }

    /// Whether a shard is to be run, as far as the manifest has been read.
    pub(in crate::files) fn has(&self, index: usize, shard: &Shard) -> bool {
        if !self.is_mine(index) {
            return false;
        }
        match self.manifest.finished.get(&shard.name) {
            None => true,
            Some(part) => self.retries && part.failed > 0 && !self.done.contains(&index),
        }
    }
}

/// Rows of shards, one after another.
pub(in crate::files) struct Feed<'j, F> {
    pub(in crate::files) making: &'j Making,
    pub(in crate::files) plan: &'j Plan,
    pub(in crate::files) inputs: &'j [Input],
    pub(in crate::files) longest: usize,
    pub(in crate::files) read: &'j F,
    pub(in crate::files) todo: &'j mut Todo,
    pub(in crate::files) queue: Rc<RefCell<Queue>>,
    /// The next shard to look at.
    pub(in crate::files) next: usize,
    pub(in crate::files) reader: Option<(usize, Box<dyn Reader>)>,
    pub(in crate::files) current: Option<Current>,
    pub(in crate::files) kept: u64,
}

/// The shard that is read.
pub(in crate::files) struct Current {
    shard: Shard,
    read: u64,
    /// The rows to run; all of them if absent.
    wanted: Option<BTreeSet<u64>>,
}

impl<F, I> Feed<'_, F>
where
    F: Fn(&Row<'_>) -> Result<I>,
{
    /// Takes the next shard that nobody has; false if there is none.
    fn take(&mut self) -> Result<bool> {
        while self.next < self.plan.shards.len() && self.kept < MOST_KEPT && !self.making.cancel.is_cancelled() {
            let (index, shard) = (self.next, &self.plan.shards[self.next]);
            self.next += 1;
            if !self.todo.has(index, shard) {
                continue;
            }
            let folder = &*self.making.folder;
            let Some(mut claim) = folder.claim(&shard.name)? else {
                self.queue.borrow_mut().is_shared = true;
                continue;
            };
            // Its last owner may have finished it.
            self.todo.manifest.refresh_part(&shard.name)?;
            if !self.todo.has(index, shard) {
                continue;
            }
            if claim.is_lost() {
                self.queue.borrow_mut().is_shared = true;
                continue;
            }
            let mut earlier = self.todo.manifest.finished.get(&shard.name).cloned();
            let mut wanted = None;
            if earlier.is_some() && self.making.shape.format.is_table() {
                // Such a part is made anew as a whole.
                claim.reopen()?;
                self.todo.done.insert(index);
                earlier = None;
            }
            if let Some(part) = &earlier {
                let is_as = |name: &str, hash: &str| {
                    let found = hash_of(folder, name, &self.making.cancel)?;
                    Ok::<_, Error>(found.is_some_and(|(_, found)| found == hash))
                };
                let letters = letters_name(&part.name);
                if !(is_as(&part.name, &part.blake3)? && is_as(&letters, &part.errors_blake3)?) {
                    let message = format!("{} or its dead letters were changed since they were written", part.name);
                    return Err(Error::invalid_input(message));
                }
                wanted = Some(letters::read(folder, &part.name)?.into_keys().collect());
                self.todo.done.insert(index);
            }
            let input = &self.inputs[shard.input];
            if self.reader.as_ref().is_none_or(|(number, _)| *number != shard.input) {
                self.reader = Some((shard.input, open(input, self.longest)?));
            }
            if let Some((_, reader)) = &mut self.reader {
                reader.seek(shard)?;
            }
            let (name, rows) = (shard.name.clone(), shard.rows);
            let taken = Taken { name, input: input.name.clone(), rows, claim, earlier };
            self.queue.borrow_mut().entries.push_back(Entry::Begin(Box::new(taken)));
            self.current = Some(Current { shard: shard.clone(), read: 0, wanted });
            return Ok(true);
        }
        Ok(false)
    }

    /// The next item; `None` where no shard is left.
    fn pull(&mut self) -> Result<Option<Result<I>>> {
        loop {
            if self.current.is_none() && !self.take()? {
                return Ok(None);
            }
            let (Some(current), Some((_, reader))) = (&mut self.current, &mut self.reader) else { return Ok(None) };
            let number = current.shard.input;
            let input = &self.inputs[number];
            if current.read == current.shard.rows {
                input.check_unchanged()?;
                self.current = None;
                continue;
            }
            let row = current.shard.first + current.read;
            current.read += 1;
            let Some(reading) = reader.next()? else {
                input.check_unchanged()?;
                return Err(Error::invalid_input(format!("{} ends before row {row}", input.path.display())));
            };
            let is_wanted = current.wanted.as_ref().is_none_or(|wanted| wanted.contains(&row));
            let entry;
            let item;
            match reading {
                Reading::Bad(..) if !is_wanted => return Err(rows_changed(&input.name, &current.shard.name)),
                Reading::Row(record) if !is_wanted => {
                    self.kept += 1;
                    self.queue.borrow_mut().entries.push_back(Entry::Kept(record));
                    continue;
                }
                Reading::Bad(error, bytes) => {
                    item = Err(error);
                    entry = Waiting { row, content: Err(bytes), has_columns: false };
                }
                Reading::Row(record) => {
                    let columns = self.columns(&record);
                    let has_columns = columns.is_ok();
                    item = columns.and_then(|row| (self.read)(&row));
                    entry = Waiting { row, content: Ok(record), has_columns };
                }
            }
            self.queue.borrow_mut().push_row(number, entry);
            return Ok(Some(item));
        }
    }

    /// The columns of a row, none of which has a name that the job writes.
    fn columns<'r>(&self, record: &'r Record) -> Result<Row<'r>> {
        let row = record.row()?;
        let shape = &self.making.shape;
        for column in shape.columns.iter() {
            if shape.keep.has(&column.name) {
                row.check_free(&column.name)?;
            }
        }
        Ok(row)
    }
}

impl<F, I> Iterator for Feed<'_, F>
where
    F: Fn(&Row<'_>) -> Result<I>,
{
    type Item = Result<I>;

    fn next(&mut self) -> Option<Result<I>> {
        if self.queue.borrow().failure.is_some() {
            return None;
        }
        match self.pull() {
            Ok(item) => item,
            Err(error) => {
                self.queue.borrow_mut().failure = Some(error);
                None
            }
        }
    }
}
