//! The consumer's side of a job: pulls the source while there is room, and hands on what is ready.

use std::{
    error::Error as StdError,
    sync::atomic::Ordering::Relaxed,
    time::{Duration, Instant},
};

use super::{
    OnError, Progress, guard,
    job::{Job, Launch, State},
    report::{Report, Tally},
    stages::Stages,
    window::Batch,
};
use crate::{
    error::{Error, ItemError, Result},
    platform,
};

/// Where pulling a block should take as long as this, its size is right: often enough to look at what is ready.
const PULL: Duration = Duration::from_micros(500);
const LARGEST_BLOCK: usize = 4096;
/// How often a waiting consumer looks at the clock and the cancel token.
const LOOK: Duration = Duration::from_millis(20);
const PROGRESS: Duration = Duration::from_millis(100);

/// A source of items, and what its consumer knows of the job.
pub(super) struct Feed<It, I, O> {
    /// Gone once it has ended.
    source: Option<It>,
    /// Pulled, but too large for the room that was left.
    held: Option<(Result<I>, usize)>,
    batch: Batch<O>,
    batch_bytes: usize,
    /// Items to pull in one go.
    block: usize,
    /// Whether the source is slower than what is done meanwhile.
    slow: bool,
    over: bool,
    progressed: Option<Instant>,
    pub(super) tally: Tally,
}

impl<It, I, O> Feed<It, I, O>
where
    It: Iterator<Item = Result<I>>,
{
    pub(super) fn new(source: It) -> Self {
        let (least, most) = source.size_hint();
        Self {
            tally: Tally::new(most.filter(|&most| most == least)),
            source: Some(source),
            held: None,
            batch: Batch::new(),
            batch_bytes: 0,
            block: 1,
            slow: false,
            over: false,
            progressed: None,
        }
    }

    /// The next result, with its item's index.
    pub(super) fn next<S: Stages<I, Output = O>>(
        &mut self,
        job: &Job<S, I>,
        launch: &dyn Fn(Launch),
    ) -> Option<(usize, Result<O, ItemError>)> {
        loop {
            if let Some((index, result)) = self.batch.pop() {
                self.tally.items += 1;
                let Err(error) = result else { return Some((index, result)) };
                self.tally.failed(&error);
                let enough = match job.settings.on_error {
                    OnError::Skip => continue,
                    OnError::FailFast => true,
                    OnError::Collect { max_errors } => self.tally.errors > max_errors,
                };
                if enough {
                    self.batch = Batch::new();
                    job.stop(None);
                    self.finish(job);
                }
                return Some((index, Err(error)));
            }
            if self.over {
                return None;
            }
            if !self.refill(job, launch) {
                self.finish(job);
            }
        }
    }

    /// How many results are still to come, as far as it is known.
    pub(super) fn size_hint(&self, pulled: usize) -> (usize, Option<usize>) {
        if self.over {
            return (self.batch.len(), Some(self.batch.len()));
        }
        let waiting = pulled - self.tally.items + usize::from(self.held.is_some());
        let most = self.source.as_ref().map_or(Some(0), |source| source.size_hint().1);
        (0, most.and_then(|most| most.checked_add(waiting)))
    }

    pub(super) fn report<S: Stages<I, Output = O>>(&self, job: &Job<S, I>) -> Report {
        Report::of(job, &self.tally)
    }

    fn finish<S: Stages<I, Output = O>>(&mut self, job: &Job<S, I>) {
        self.over = true;
        self.source = None;
        self.tally.ended = Some(Instant::now());
        self.progress(job, true);
    }

    /// Gets the next results; false: there are no more.
    fn refill<S: Stages<I, Output = O>>(&mut self, job: &Job<S, I>, launch: &dyn Fn(Launch)) -> bool {
        let started = *self.tally.started.get_or_insert_with(Instant::now);
        if self.tally.processor_time.is_none() && started.elapsed() > LOOK {
            self.tally.processor_time = platform::processor_time();
        }
        loop {
            if let Some(why) = job.settings.cut_off(started) {
                self.source = None;
                self.held = None;
                job.stop(Some(&why));
                self.tally.cut_off = Some(why);
            }
            self.progress(job, false);
            job.bytes.fetch_sub(std::mem::take(&mut self.batch_bytes), Relaxed);
            let mut state = job.lock();
            state.take_ready(&mut self.batch);
            let ready = self.batch.len() > 0;
            let ended = self.source.is_none() && self.held.is_none();
            if ended && !ready && state.taken == state.pulled {
                return false;
            }
            let room = if ended { 0 } else { self.room(job, &state) };
            state.stalled = room == 0;
            // Results were taken, or the source stalls: what could not go ahead before may do so now.
            let more = job.more_pumps(&mut state);
            drop(state);
            if more {
                launch(Launch::Turn);
            }
            if room > 0 && !(ready && self.slow) {
                self.pull(job, launch, room);
            }
            if ready {
                self.batch_bytes = self.batch_bytes(job);
                return true;
            }
            if room == 0 {
                job.wait(LOOK);
            }
        }
    }

    /// How many items may be pulled now.
    fn room<S: Stages<I, Output = O>>(&self, job: &Job<S, I>, state: &State<I, S::Entry, O>) -> usize {
        let in_flight = state.pulled - state.taken;
        let window = self.window(job, state);
        if !state.is_open() && in_flight > window.saturating_mul(2) {
            return 0;
        }
        // Until the first result shows how much results hold.
        let first = match state.output_bytes.get() {
            None => state.tuner.first_items().saturating_sub(in_flight),
            Some(_) => usize::MAX,
        };
        // What is in flight will grow: entries where items are, outputs where entries are.
        let entry = if S::PREPARES { state.entry_bytes.get().unwrap_or(0.0) } else { 0.0 };
        let output = state.output_bytes.get().unwrap_or(0.0);
        let expected = state.unprepared() as f64 * entry + state.unfinished() as f64 * output;
        let free = job.settings.memory_limit as f64 - expected - job.bytes.load(Relaxed) as f64;
        let held = self.held.as_ref().map_or(0.0, |(_, bytes)| *bytes as f64);
        let fits = if free < held { 0 } else { (free / (entry + output).max(1.0)) as usize };
        // With nothing in flight the next item goes ahead whatever it takes.
        fits.max(usize::from(in_flight == 0)).min(first).min(self.block).min(state.window_room(window))
    }

    fn window<S: Stages<I, Output = O>>(&self, job: &Job<S, I>, state: &State<I, S::Entry, O>) -> usize {
        job.settings.window.unwrap_or_else(|| state.tuner.window()).max(1)
    }

    /// Pulls up to `room` items and gives them to the workers.
    fn pull<S: Stages<I, Output = O>>(&mut self, job: &Job<S, I>, launch: &dyn Fn(Launch), room: usize) {
        let started = Instant::now();
        let loaded = job.bytes.load(Relaxed);
        let free = job.settings.memory_limit.saturating_sub(loaded);
        let mut items = Vec::with_capacity(room);
        let mut bytes = 0_usize;
        if let Some((item, size)) = self.held.take() {
            items.push(item);
            bytes += size;
        }
        let outcome = guard::catch(|| {
            let Some(source) = &mut self.source else { return Ok(()) };
            while items.len() < room {
                let Some(item) = source.next() else {
                    self.source = None;
                    break;
                };
                let size = match &item {
                    Ok(item) => job.stages.item_bytes(job.stages.item(item)),
                    Err(_) => 0,
                };
                // Alone it may be as large as it likes.
                if size > free.saturating_sub(bytes) && (!items.is_empty() || loaded > 0) {
                    self.held = Some((item, size));
                    break;
                }
                items.push(item);
                bytes += size;
            }
            Ok(())
        });
        if let Err(error) = outcome {
            // Who knows what state it is in: nothing more is asked of it.
            self.source = None;
            items.push(Err(error.context("the source of the items")));
        }
        let count = items.len();
        let took = started.elapsed();
        self.tally.pulling += took;
        self.slow = took > PULL * 2 * count.max(1) as u32;
        if took < PULL / 2 && count == self.block {
            self.block = (self.block * 2).min(LARGEST_BLOCK);
        } else if took > PULL * 2 {
            self.block = (self.block / 2).max(1);
        }
        job.bytes.fetch_add(bytes, Relaxed);
        let mut state = job.lock();
        if count > 0 {
            let last = state.window_room(self.window(job, &state)) <= count;
            state.push(items.into(), last);
        }
        if self.source.is_none() && self.held.is_none() {
            state.close();
        }
        let more = job.more_pumps(&mut state);
        drop(state);
        if more {
            launch(Launch::Turn);
        }
    }

    fn batch_bytes<S: Stages<I, Output = O>>(&self, job: &Job<S, I>) -> usize {
        self.batch.iter().flatten().map(|output| job.stages.output_bytes(output)).sum()
    }

    fn progress<S: Stages<I, Output = O>>(&mut self, job: &Job<S, I>, last: bool) {
        let Some(call) = &job.settings.progress else { return };
        let now = Instant::now();
        if !last && self.progressed.is_some_and(|before| now - before < PROGRESS) {
            return;
        }
        self.progressed = Some(now);
        let elapsed = self.tally.started.map_or(Duration::ZERO, |started| now - started);
        call(&Progress { items: self.tally.items, errors: self.tally.errors, total: self.tally.total, elapsed, last });
    }
}

/// Makes an [`Error`] of a source's own; one of ours stays what it is.
pub(super) fn source_error(error: impl Into<Box<dyn StdError + Send + Sync>>) -> Error {
    let error = match error.into().downcast::<Error>() {
        Ok(error) => return *error,
        Err(error) => error,
    };
    match error.downcast::<std::io::Error>() {
        Ok(error) => Error::io(*error, "reading an item"),
        Err(error) => Error::user(error),
    }
}
