//! The consumer's side of a job: pulls the source while there is room, and hands on what is ready.

use std::{
    cell::Cell,
    error::Error as StdError,
    time::{Duration, Instant},
};

#[cfg(feature = "stream")]
use std::task::{Context, Poll};

use crate::{
    bulk::{
        job::{
            Crew, Job, Launch, StateOf,
            results::{Batch, Numbered},
        },
        report::{Report, Tally},
        settings::{OnError, Progress},
        stages::Stages,
        sync::{self, atomic::Ordering::Relaxed},
    },
    error::{Error, ItemError, Result},
    threads::{panics, platform},
};

/// Where pulling a block should take as long as this, its size is right: often enough to look at what is ready.
const PULL: Duration = Duration::from_micros(500);
const LARGEST_BLOCK: usize = 4096;
/// How often a waiting consumer looks at the clock and the cancel token.
const LOOK: Duration = Duration::from_millis(20);
const PROGRESS: Duration = Duration::from_millis(100);

/// A source of items, and what its consumer knows of the job.
pub(in crate::bulk) struct Feed<It, I, O> {
    /// Gone once it has ended.
    pub(in crate::bulk) source: Option<It>,
    /// Whether a source that gives no item has none yet, rather than no more.
    waits: Option<fn(&It) -> bool>,
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
    pub(in crate::bulk) tally: Tally,
}

/// How far a look at the job has led.
enum Step<O> {
    /// To a result, with its item's index; without one, to the end.
    Result(Option<Numbered<O>>),
    Again,
    /// To where only workers, or the source, can go on.
    Wait,
}

impl<It, I, O> Feed<It, I, O>
where
    It: Iterator<Item = Result<I>>,
{
    /// A feed that is polled, from a source of which `waits` tells whether it has nothing yet.
    #[cfg(feature = "stream")]
    pub(in crate::bulk) fn polled(source: It, waits: fn(&It) -> bool) -> Self {
        Self { waits: Some(waits), ..Self::new(source) }
    }

    pub(in crate::bulk) fn new(source: It) -> Self {
        let (least, most) = source.size_hint();
        Self {
            tally: Tally::new(most.filter(|&most| most == least)),
            source: Some(source),
            waits: None,
            held: None,
            batch: Batch::new(),
            batch_bytes: 0,
            block: 1,
            slow: false,
            over: false,
            progressed: None,
        }
    }

    /// The next result, with its item's index, if there is one and it is no error: most of them.
    #[inline]
    pub(in crate::bulk) fn ready(&mut self) -> Option<Numbered<O>> {
        self.batch.pop_sound()
    }

    /// The next result, with its item's index; waits for it.
    #[inline(never)]
    pub(in crate::bulk) fn next<S: Stages<I, Output = O>>(
        &mut self,
        job: &Job<S, I>,
        crew: &dyn Crew,
    ) -> Option<Numbered<O>> {
        loop {
            match self.step(job, crew) {
                Step::Result(result) => return result,
                Step::Again => {}
                Step::Wait => job.wait(LOOK, crew),
            }
        }
    }

    /// [`next`](Self::next) without waiting: where there is nothing yet, the caller is woken by the workers, or by
    /// the source's own waker.
    #[cfg(feature = "stream")]
    pub(in crate::bulk) fn poll_next<S: Stages<I, Output = O>>(
        &mut self,
        job: &Job<S, I>,
        crew: &dyn Crew,
        context: &Context<'_>,
    ) -> Poll<Option<Numbered<O>>> {
        loop {
            match self.step(job, crew) {
                Step::Result(result) => return Poll::Ready(result),
                Step::Wait if job.watch(context.waker()) => return Poll::Pending,
                Step::Again | Step::Wait => {}
            }
        }
    }

    fn step<S: Stages<I, Output = O>>(&mut self, job: &Job<S, I>, crew: &dyn Crew) -> Step<O> {
        while let Some((index, result)) = self.batch.pop() {
            let Err(error) = result else { return Step::Result(Some((index, result))) };
            self.failed(&error);
            let enough = match job.settings.on_error {
                OnError::Skip => continue,
                OnError::FailFast => true,
                OnError::Collect { max_errors } => self.tally.errors > max_errors,
            };
            if enough {
                self.stop(job);
            }
            return Step::Result(Some((index, Err(error))));
        }
        if self.over { Step::Result(None) } else { self.refill(job, crew) }
    }

    fn failed(&mut self, error: &ItemError) {
        self.tally.failed(error);
        tracing::warn!(index = error.index, stage = %error.stage, error = %error.source, "item failed");
    }

    /// How many results are still to come, as far as it is known.
    pub(in crate::bulk) fn size_hint(&self, pulled: usize) -> (usize, Option<usize>) {
        if self.over {
            return (self.batch.len(), Some(self.batch.len()));
        }
        let waiting = pulled - self.delivered() + usize::from(self.held.is_some());
        let most = self.source.as_ref().map_or(Some(0), |source| source.size_hint().1);
        (0, most.and_then(|most| most.checked_add(waiting)))
    }

    pub(in crate::bulk) fn report<S: Stages<I, Output = O>>(&self, job: &Job<S, I>) -> Report {
        Report::of(job, &self.tally, self.delivered())
    }

    /// Results handed on so far.
    fn delivered(&self) -> usize {
        self.tally.items - self.batch.len()
    }

    /// Ends the job, whatever is still to come.
    pub(in crate::bulk) fn stop<S: Stages<I, Output = O>>(&mut self, job: &Job<S, I>) {
        self.tally.items = self.delivered();
        self.batch = Batch::new();
        if !self.over {
            self.finish(job);
        }
    }

    fn finish<S: Stages<I, Output = O>>(&mut self, job: &Job<S, I>) {
        job.stop(None);
        self.over = true;
        self.source = None;
        self.tally.ended = Some(sync::now());
        self.progress(job, true);
        tracing::info!(
            items = self.tally.items,
            errors = self.tally.errors,
            seconds = self.tally.elapsed().as_secs_f64(),
            "job ended"
        );
    }

    /// Gets the next results, and sees to it that the workers have something to do.
    fn refill<S: Stages<I, Output = O>>(&mut self, job: &Job<S, I>, crew: &dyn Crew) -> Step<O> {
        let started = self.tally.started.unwrap_or_else(|| self.start(job));
        if self.tally.processor_time.is_none() && sync::now().duration_since(started) > LOOK {
            self.tally.processor_time = platform::processor_time();
        }
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
        self.tally.items += self.batch.len();
        let ended = self.source.is_none() && self.held.is_none();
        if ended && !ready && state.taken == state.pulled {
            drop(state);
            self.finish(job);
            return Step::Result(None);
        }
        let room = if ended { 0 } else { self.room(job, &state) };
        state.stalled = room == 0;
        // Results were taken, or the source stalls: what could not go ahead before may do so now.
        let more = job.more_pumps(&mut state);
        drop(state);
        if more {
            crew.launch(Launch::Turn);
        }
        let waits = room > 0 && !(ready && self.slow) && !self.pull(job, crew, room);
        if ready {
            self.tally.first.get_or_insert_with(sync::now);
            self.batch_bytes = self.batch.bytes(|output| job.stages.output_bytes(output));
            return Step::Again;
        }
        if room == 0 || waits { Step::Wait } else { Step::Again }
    }

    /// The moment of the first pull.
    fn start<S: Stages<I, Output = O>>(&mut self, job: &Job<S, I>) -> Instant {
        tracing::info!(workers = job.busy.len(), total = self.tally.total, "job started");
        *self.tally.started.insert(sync::now())
    }

    /// How many items may be pulled now.
    fn room<S: Stages<I, Output = O>>(&self, job: &Job<S, I>, state: &StateOf<S, I>) -> usize {
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
        let free = job.memory_limit() as f64 - expected - job.bytes.load(Relaxed) as f64;
        let held = self.held.as_ref().map_or(0.0, |(_, bytes)| *bytes as f64);
        let fits = if free < held { 0 } else { (free / (entry + output).max(1.0)) as usize };
        // With nothing in flight the next item goes ahead whatever it takes.
        fits.max(usize::from(in_flight == 0)).min(first).min(self.block).min(state.window_room(window))
    }

    fn window<S: Stages<I, Output = O>>(&self, job: &Job<S, I>, state: &StateOf<S, I>) -> usize {
        job.settings.window.unwrap_or_else(|| state.tuner.window()).max(1)
    }

    /// Pulls up to `room` items and gives them to the workers; false: the source had none, and may have some later.
    fn pull<S: Stages<I, Output = O>>(&mut self, job: &Job<S, I>, crew: &dyn Crew, room: usize) -> bool {
        let started = sync::now();
        let loaded = job.bytes.load(Relaxed);
        let free = job.memory_limit().saturating_sub(loaded);
        let mut items = Vec::with_capacity(room);
        let (mut bytes, mut waiting) = (0_usize, false);
        if let Some((item, size)) = self.held.take() {
            items.push(item);
            bytes += size;
        }
        loop {
            let sizing = Cell::new(false);
            let outcome = panics::catch(|| {
                let Some(source) = &mut self.source else { return Ok(()) };
                while items.len() < room {
                    let Some(item) = source.next() else {
                        if self.waits.is_some_and(|waits| waits(source)) {
                            waiting = true;
                        } else {
                            self.source = None;
                        }
                        break;
                    };
                    let size = match &item {
                        Ok(item) => {
                            sizing.set(true);
                            let size = job.stages.item_bytes(job.stages.item(item));
                            sizing.set(false);
                            size
                        }
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
            let Err(error) = outcome else { break };
            if sizing.get() {
                items.push(Err(error.context("the bytes of the item")));
            } else {
                // Who knows what state it is in: nothing more is asked of it.
                self.source = None;
                items.push(Err(error.context("the source of the items")));
                break;
            }
        }
        let count = items.len();
        let took = sync::now().duration_since(started);
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
            state.push(items, last);
        }
        if self.source.is_none() && self.held.is_none() {
            state.close();
        }
        // What is there goes ahead meanwhile, however little it is.
        state.stalled |= waiting;
        let more = job.more_pumps(&mut state);
        drop(state);
        if more {
            crew.launch(Launch::Turn);
        }
        count > 0 || !waiting
    }

    fn progress<S: Stages<I, Output = O>>(&mut self, job: &Job<S, I>, last: bool) {
        let Some(call) = &job.settings.progress else { return };
        let now = sync::now();
        if !last && self.progressed.is_some_and(|before| now - before < PROGRESS) {
            return;
        }
        self.progressed = Some(now);
        let elapsed = self.tally.started.map_or(Duration::ZERO, |started| now - started);
        call(&Progress { items: self.delivered(), errors: self.tally.errors, total: self.tally.total, elapsed, last });
    }
}

/// Makes an [`Error`] of a source's own; one of ours stays what it is.
pub(in crate::bulk) fn source_error(error: impl Into<Box<dyn StdError + Send + Sync>>) -> Error {
    let error = match error.into().downcast::<Error>() {
        Ok(error) => return *error,
        Err(error) => error,
    };
    match error.downcast::<std::io::Error>() {
        Ok(error) => Error::io(*error, "reading an item"),
        Err(error) => Error::user(error),
    }
}
