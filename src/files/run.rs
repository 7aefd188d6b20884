//! The passes of a job over its shards, until none is left.

use std::{cell::RefCell, collections::BTreeSet, rc::Rc, thread, time::Instant};

use crate::{
    bulk::{Bulk, Failures, OnError, Report, Staged, Stages},
    error::{Error, ErrorKind, ItemError, Result, Stage},
    files::{
        cell::Cell,
        feed::{Feed, Todo},
        folder::LOOK,
        inputs::Input,
        job::FileJob,
        manifest::Manifest,
        part::Making,
        plan::Plan,
        queue::Queue,
        record::Row,
        summary::Summary,
        writer::Writer,
    },
};

/// A job that runs.
pub(in crate::files) struct Run<'j> {
    job: &'j FileJob,
    making: Making,
    plan: Plan,
    inputs: Vec<Input>,
    todo: Todo,
    ran: u64,
    /// Failed rows of parts that are under construction, and of those that were finished before.
    failed: u64,
    report: Option<Report>,
    /// What the last pass counted.
    counted: Option<Summary>,
}

/// The most times that a complete job is found to have parts that were changed meanwhile.
const MOST_ROUNDS: usize = 4;

/// How a pass ended.
#[derive(PartialEq, Eq)]
enum Pass {
    Stopped,
    /// All shards that nobody else has are run; whether somebody has some.
    Ended {
        is_shared: bool,
    },
}

impl<'j> Run<'j> {
    pub(in crate::files) fn new(
        job: &'j FileJob,
        making: Making,
        plan: Plan,
        inputs: Vec<Input>,
        manifest: Manifest,
        dealt: (usize, usize),
        retries: bool,
    ) -> Self {
        // Rows that are run once more are counted once more.
        let failed = if retries { 0 } else { manifest.failed() };
        let todo = Todo { dealt, retries, done: BTreeSet::new(), manifest };
        Self { job, making, plan, inputs, todo, ran: 0, failed, report: None, counted: None }
    }

    pub(in crate::files) fn run<S, I>(
        &mut self,
        bulk: &Bulk<S>,
        longest: usize,
        read: &impl Fn(&Row<'_>) -> Result<I>,
        write: &impl Fn(S::Output) -> Result<Vec<Cell>>,
    ) -> Result<Summary>
    where
        S: Stages<I> + Staged + 'static,
        I: Send + 'static,
    {
        let bulk = bulk.clone().on_error(OnError::default()).cancel(self.making.cancel.clone());
        let ended = self.run_passes(&bulk, longest, read, write);
        self.making.folder.leave();
        let stopped = match ended {
            // What failed beside a request that the token ended fails again in the resumed job.
            Err(_) if self.making.cancel.is_cancelled() => true,
            ended => ended?,
        };
        // After a stop the folder is not read once more.
        let counted = self.counted.take().filter(|_| stopped);
        Ok(Summary { stopped, report: self.report.take(), ..counted.unwrap_or_else(|| self.summary()) })
    }

    /// Runs passes until nothing is left; whether the token stopped them.
    fn run_passes<S, I>(
        &mut self,
        bulk: &Bulk<S>,
        longest: usize,
        read: &impl Fn(&Row<'_>) -> Result<I>,
        write: &impl Fn(S::Output) -> Result<Vec<Cell>>,
    ) -> Result<bool>
    where
        S: Stages<I> + Staged + 'static,
        I: Send + 'static,
    {
        for _ in 0..MOST_ROUNDS {
            while self.is_left() {
                match self.pass(bulk, longest, read, write)? {
                    Pass::Stopped => return Ok(true),
                    Pass::Ended { is_shared: false } => {}
                    // Their owners may die, which frees them.
                    Pass::Ended { is_shared: true } => self.pause(),
                }
                if self.making.cancel.is_cancelled() {
                    return Ok(true);
                }
                self.todo.manifest.refresh()?;
            }
            self.todo.manifest.refresh()?;
            if !self.todo.manifest.is_complete(&self.plan) {
                return Ok(false);
            }
            self.todo.manifest.complete()?;
            if self.todo.manifest.is_complete(&self.plan) {
                return Ok(false);
            }
        }
        let root = self.making.folder.path("");
        let message = "parts are changed by others than this job, again and again";
        Err(Error::invalid_input(format!("{}: {message}; run the job into a new folder", root.display())))
    }

    fn pause(&self) {
        let end = Instant::now() + self.making.folder.pause();
        while Instant::now() < end && !self.making.cancel.is_cancelled() {
            thread::sleep(LOOK);
        }
    }

    fn is_left(&self) -> bool {
        self.plan.shards.iter().enumerate().any(|(index, shard)| self.todo.has(index, shard))
    }

    fn summary(&self) -> Summary {
        let finished = &self.todo.manifest.finished;
        Summary {
            rows: self.plan.rows(),
            finished: finished.values().map(|part| part.rows).sum(),
            failed: self.todo.manifest.failed(),
            parts: self.plan.shards.len(),
            finished_parts: finished.len(),
            ran: self.ran,
            ..Summary::default()
        }
    }

    /// Runs all shards that nobody has, in one bulk job.
    fn pass<S, I>(
        &mut self,
        bulk: &Bulk<S>,
        longest: usize,
        read: &impl Fn(&Row<'_>) -> Result<I>,
        write: &impl Fn(S::Output) -> Result<Vec<Cell>>,
    ) -> Result<Pass>
    where
        S: Stages<I> + Staged + 'static,
        I: Send + 'static,
    {
        let queue = Rc::new(RefCell::new(Queue::default()));
        let progress = self.job.progress.as_deref();
        let mut writer = Writer::new(&self.making, Rc::clone(&queue), self.summary(), progress);
        let feed = Feed {
            making: &self.making,
            plan: &self.plan,
            inputs: &self.inputs,
            longest,
            read,
            todo: &mut self.todo,
            queue: Rc::clone(&queue),
            next: 0,
            reader: None,
            current: None,
            kept: 0,
        };
        let mut results = bulk.map_results(feed);
        let (mut stopped, mut not_written) = (false, Failures::default());
        for result in results.by_ref() {
            if self.making.cancel.is_cancelled() {
                stopped = true;
                break;
            }
            let result = match result {
                Err(error) if error.source.kind() == ErrorKind::Cancelled => {
                    stopped = true;
                    break;
                }
                Err(ItemError { stage, source, .. }) => Err((stage, source)),
                Ok(output) => write(output).map_err(|error| (Stage::Write, error)),
            };
            self.ran += 1;
            writer.summary.ran = self.ran;
            if let Some(failed) = writer.add(result)? {
                self.failed += 1;
                if self.failed.saturating_sub(writer.lost) > self.job.max_errors {
                    let most = self.job.max_errors;
                    return Err(Error::limit(format!("more than {most} rows failed, the last one {failed}")));
                }
                if failed.stage == Stage::Write {
                    not_written.add(Stage::Write, &failed.error);
                }
            }
        }
        let mut report = results.report();
        drop(results);
        self.counted = Some(writer.summary.clone());
        report.not_delivered(&not_written);
        report.name_slowest(|item| match queue.borrow().place(item) {
            Some((input, row)) => format!("{}, row {row}", self.inputs[input].name),
            None => format!("item {item}"),
        });
        if let Some(error) = queue.borrow_mut().failure.take() {
            // A read that the token ended fails too; what else failed then fails again in the resumed job.
            if self.making.cancel.is_cancelled() {
                return Ok(Pass::Stopped);
            }
            return Err(error);
        }
        if report.workers == 0 && !report.notes.is_empty() {
            return Err(Error::new(ErrorKind::Device, report.notes.join("; ")));
        }
        if report.items > 0 {
            self.report = Some(report);
        }
        if stopped || self.making.cancel.is_cancelled() {
            return Ok(Pass::Stopped);
        }
        writer.finish()?;
        self.failed = self.failed.saturating_sub(writer.lost);
        let is_shared = queue.borrow().is_shared;
        Ok(Pass::Ended { is_shared })
    }
}
