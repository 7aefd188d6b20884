//! Writes the results of a pass into the parts of their shards.

use std::{cell::RefCell, fmt, rc::Rc};

use crate::{
    error::{Error, Result, Stage},
    files::{
        cell::Cell,
        manifest::Finished,
        part::{Making, Part},
        queue::{Entry, Queue},
        summary::Summary,
    },
};

type OnPart<'j> = Option<&'j (dyn Fn(&Summary) + Send + Sync)>;

/// A row that failed.
pub(in crate::files) struct Failed {
    row: u64,
    pub(in crate::files) stage: Stage,
    pub(in crate::files) error: Error,
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { row, stage, error } = self;
        write!(f, "row {row} in {stage}: {error}")
    }
}

/// Writes results into the parts of their shards.
pub(in crate::files) struct Writer<'j> {
    making: &'j Making,
    queue: Rc<RefCell<Queue>>,
    part: Option<Part>,
    pub(in crate::files) summary: Summary,
    /// Called after each part.
    progress: OnPart<'j>,
}

impl<'j> Writer<'j> {
    pub(in crate::files) fn new(
        making: &'j Making,
        queue: Rc<RefCell<Queue>>,
        summary: Summary,
        progress: OnPart<'j>,
    ) -> Self {
        Self { making, queue, part: None, summary, progress }
    }

    /// Writes the result of the oldest row; returns what failed.
    pub(in crate::files) fn add(&mut self, result: Result<Vec<Cell>, (Stage, Error)>) -> Result<Option<Failed>> {
        self.settle()?;
        let waiting = match self.queue.borrow_mut().entries.pop_front() {
            Some(Entry::Row(waiting)) => waiting,
            _ => return Err(Error::internal("a result without its row")),
        };
        let failed = self.part()?.add(&waiting, result)?;
        self.settle()?;
        Ok(failed.map(|(stage, error)| Failed { row: waiting.row, stage, error }))
    }

    /// Does what is to be done before the next result: parts end and begin, rows of earlier parts are copied.
    pub(in crate::files) fn settle(&mut self) -> Result<()> {
        loop {
            if self.part.as_ref().is_some_and(Part::is_full)
                && let Some(part) = self.part.take()
            {
                let retries = part.retries();
                let finished = part.finish()?;
                self.count(&finished, retries);
            }
            let mut queue = self.queue.borrow_mut();
            match queue.entries.front() {
                None | Some(Entry::Row(_)) => return Ok(()),
                Some(Entry::Begin(_) | Entry::Kept(_)) => {}
            }
            let entry = queue.entries.pop_front();
            drop(queue);
            match entry {
                Some(Entry::Begin(taken)) => self.part = Some(Part::begin(self.making, *taken)?),
                Some(Entry::Kept(record)) => self.part()?.keep(&record)?,
                _ => {}
            }
        }
    }

    /// Counts a finished part, and tells the caller.
    fn count(&mut self, part: &Finished, earlier: Option<u64>) {
        let summary = &mut self.summary;
        match earlier {
            Some(failed) => summary.failed = summary.failed.saturating_sub(failed),
            None => {
                (summary.finished, summary.finished_parts) = (summary.finished + part.rows, summary.finished_parts + 1)
            }
        }
        summary.failed += part.failed;
        if let Some(progress) = self.progress {
            progress(summary);
        }
    }

    fn part(&mut self) -> Result<&mut Part> {
        self.part.as_mut().ok_or_else(|| Error::internal("a row without its part"))
    }
}
