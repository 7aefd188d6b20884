//! Writes the results of a pass into the parts of their shards.

use std::{cell::RefCell, collections::VecDeque, fmt, rc::Rc, thread::JoinHandle};

use crate::{
    error::{Error, Result, Stage},
    files::{
        cell::Cell,
        folder::Publishing,
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

/// The most parts that are written into a store at once.
const MOST_UPLOADS: usize = 2;

/// A part with all its rows, whose files are on their way into a store.
struct Upload {
    thread: JoinHandle<Result<Option<Finished>>>,
    part: Ended,
}

/// What is known of a part that has all its rows.
#[derive(Clone, Copy)]
struct Ended {
    /// Failed rows of the earlier part, if there is one.
    retries: Option<u64>,
    /// Rows that failed now.
    failed: u64,
}

/// Writes results into the parts of their shards.
pub(in crate::files) struct Writer<'j> {
    making: &'j Making,
    queue: Rc<RefCell<Queue>>,
    part: Option<Part>,
    uploads: VecDeque<Upload>,
    pub(in crate::files) summary: Summary,
    /// Failed rows of parts that other processes have taken over.
    pub(in crate::files) lost: u64,
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
        Self { making, queue, part: None, uploads: VecDeque::new(), summary, lost: 0, progress }
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
                self.collect(MOST_UPLOADS - 1)?;
                let ended = Ended { retries: part.retries(), failed: part.failed() };
                match part.finish()? {
                    Publishing::Ended(finished) => self.count(finished, ended),
                    Publishing::Running(thread) => self.uploads.push_back(Upload { thread, part: ended }),
                }
            }
            self.collect(MOST_UPLOADS)?;
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

    /// Waits until all parts are where they belong.
    pub(in crate::files) fn finish(&mut self) -> Result<()> {
        self.settle()?;
        self.collect(0)
    }

    /// Takes the parts that were written into a store, and waits until no more than `most` are left.
    fn collect(&mut self, most: usize) -> Result<()> {
        while self.uploads.len() > most || self.uploads.front().is_some_and(|upload| upload.thread.is_finished()) {
            let Some(upload) = self.uploads.pop_front() else { break };
            let finished = upload.thread.join().map_err(|_| Error::internal("writing a part into a store panicked"))?;
            self.count(finished?, upload.part);
        }
        Ok(())
    }

    /// Counts a finished part, and tells the caller.
    fn count(&mut self, part: Option<Finished>, ended: Ended) {
        let Some(part) = part else {
            self.lost += ended.failed;
            return;
        };
        let summary = &mut self.summary;
        match ended.retries {
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

/// Parts that are on their way are finished also where the job ends early.
impl Drop for Writer<'_> {
    fn drop(&mut self) {
        for upload in self.uploads.drain(..) {
            let _ = upload.thread.join();
        }
    }
}
