//! The consumer's side of a job: pulls the source while there is room, and hands on results.

use std::time::{Duration, Instant};

#[cfg(feature = "stream")]
use std::task::{Context, Poll};

use crate::{
    bulk::{
        job::{
            Job,
            crew::{Crew, Launch},
            intake::Intake,
            results::{Batch, Numbered},
            summary,
            tally::Tally,
        },
        report::Report,
        settings::{OnError, Progress},
        stages::Stages,
        sync,
    },
    error::{ItemError, chain},
    threads::platform,
};

/// How often a waiting consumer checks the clock and the cancel token.
const LOOK: Duration = Duration::from_millis(20);
/// Time between two calls of the progress callback.
const PROGRESS: Duration = Duration::from_millis(100);

/// The source of a job's items, and the consumer's state.
pub(in crate::bulk) struct Feed<It, O> {
    /// `None` once it has ended.
    pub(in crate::bulk) source: Option<It>,
    /// For a polled source: whether it has no item yet, rather than no more.
    pub(in crate::bulk) waits: Option<fn(&It) -> bool>,
    /// The bytes of an item that was pulled but does not fit the memory that is left; the job's
    /// state holds it.
    pub(in crate::bulk) held: Option<usize>,
    /// Results taken from the job and not handed on yet.
    batch: Batch<O>,
    /// Bytes of `batch`, in flight until all of it is handed on.
    batch_bytes: usize,
    /// Items to pull at a time.
    pub(in crate::bulk) block: usize,
    /// Whether the source is slow: then results are handed on before more is pulled.
    pub(in crate::bulk) slow: bool,
    /// Whether the consumer's side has ended.
    over: bool,
    /// When the progress callback was called last.
    progressed: Option<Instant>,
    pub(in crate::bulk) tally: Tally,
}

/// What a consumer works with.
pub(in crate::bulk) struct Side<'j, S: Stages<I>, I, C> {
    pub(in crate::bulk) job: &'j Job<S, I>,
    /// How items are made of what the source returns.
    pub(in crate::bulk) intake: &'j C,
    pub(in crate::bulk) crew: &'j dyn Crew,
}

impl<S: Stages<I>, I, C> Clone for Side<'_, S, I, C> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S: Stages<I>, I, C> Copy for Side<'_, S, I, C> {}

/// The outcome of one step of the consumer.
enum Step<O> {
    /// The next result, or the end.
    Result(Option<Numbered<O>>),
    /// There may be a result now.
    Again,
    /// Only the workers, or the source, can make progress.
    Wait,
}

impl<It: Iterator, O> Feed<It, O> {
    /// A feed from a polled source; `waits` returns whether it has no item yet.
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

    /// The next result, if one is at hand and is not an error: the fast path.
    #[inline]
    pub(in crate::bulk) fn ready(&mut self) -> Option<Numbered<O>> {
        self.batch.pop_sound()
    }

    /// The next result; waits for it.
    #[inline(never)]
    pub(in crate::bulk) fn next<S, I, C>(&mut self, side: Side<'_, S, I, C>) -> Option<Numbered<O>>
    where
        S: Stages<I, Output = O>,
        C: Intake<It::Item, Item = I>,
    {
        loop {
            match self.step(side) {
                Step::Result(result) => return result,
                Step::Again => {}
                Step::Wait => side.job.wait(LOOK, side.crew),
            }
        }
    }

    /// [`next`](Self::next) without waiting.
    ///
    /// A pending caller is woken by the workers, or by the source's own waker.
    #[cfg(feature = "stream")]
    pub(in crate::bulk) fn poll_next<S, I, C>(
        &mut self,
        side: Side<'_, S, I, C>,
        context: &Context<'_>,
    ) -> Poll<Option<Numbered<O>>>
    where
        S: Stages<I, Output = O>,
        C: Intake<It::Item, Item = I>,
    {
        loop {
            match self.step(side) {
                Step::Result(result) => return Poll::Ready(result),
                Step::Wait if side.job.watch(context.waker()) => return Poll::Pending,
                Step::Again | Step::Wait => {}
            }
        }
    }

    fn step<S, I, C>(&mut self, side: Side<'_, S, I, C>) -> Step<O>
    where
        S: Stages<I, Output = O>,
        C: Intake<It::Item, Item = I>,
    {
        let job = side.job;
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
        if self.over { Step::Result(None) } else { self.refill(side) }
    }

    fn failed(&mut self, error: &ItemError) {
        self.tally.failed(error);
        tracing::warn!(index = error.index, stage = %error.stage, error = chain(&error.source), "item failed");
    }

    /// Bounds on the number of results to come.
    pub(in crate::bulk) fn size_hint(&self, pulled: usize) -> (usize, Option<usize>) {
        if self.over {
            return (self.batch.len(), Some(self.batch.len()));
        }
        let waiting = pulled - self.delivered() + usize::from(self.held.is_some());
        let most = self.source.as_ref().map_or(Some(0), |source| source.size_hint().1);
        (0, most.and_then(|most| most.checked_add(waiting)))
    }

    /// Ends the job and drops the results to come.
    pub(in crate::bulk) fn stop<S: Stages<I, Output = O>, I>(&mut self, job: &Job<S, I>) {
        self.tally.items = self.delivered();
        self.batch = Batch::new();
        if !self.over {
            self.finish(job);
        }
    }

    fn finish<S: Stages<I, Output = O>, I>(&mut self, job: &Job<S, I>) {
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

    /// Takes the results that are ready, and pulls items to keep the workers busy.
    fn refill<S, I, C>(&mut self, side: Side<'_, S, I, C>) -> Step<O>
    where
        S: Stages<I, Output = O>,
        C: Intake<It::Item, Item = I>,
    {
        let job = side.job;
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
        self.sample(job);
        job.ledger.remove(std::mem::take(&mut self.batch_bytes));
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
        // Results were taken, or the source stalled: work that had to wait may proceed now.
        let more = job.more_pumps(&mut state);
        drop(state);
        if more {
            side.crew.launch(Launch::Pump);
        }
        let waits = room > 0 && !(ready && self.slow) && !self.pull(side, room);
        if ready {
            self.tally.first.get_or_insert_with(sync::now);
            self.batch_bytes = self.batch.bytes(|output| job.stages.output_bytes(output));
            return Step::Again;
        }
        if room == 0 || waits { Step::Wait } else { Step::Again }
    }

    /// Starts the clock, at the first pull.
    fn start<S: Stages<I, Output = O>, I>(&mut self, job: &Job<S, I>) -> Instant {
        tracing::info!(workers = job.busy.len(), total = self.tally.total, "job started");
        let now = sync::now();
        job.lock().measures.history.start(now);
        *self.tally.started.insert(now)
    }

    /// Records the memory of the process from time to time.
    fn sample<S: Stages<I, Output = O>, I>(&mut self, job: &Job<S, I>) {
        let now = sync::now();
        if self.tally.samples(now) {
            let bytes = platform::rss_bytes();
            job.lock().measures.history.memory(now, bytes);
        }
    }

    fn progress<S: Stages<I, Output = O>, I>(&mut self, job: &Job<S, I>, last: bool) {
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

impl<It, O> Feed<It, O> {
    /// Whether the first pull was made.
    pub(in crate::bulk) fn has_started(&self) -> bool {
        self.tally.started.is_some()
    }

    /// What the job did so far.
    pub(in crate::bulk) fn report<S: Stages<I, Output = O>, I>(&self, job: &Job<S, I>) -> Report {
        summary::report(job, &self.tally, self.delivered())
    }

    /// Results handed on so far.
    fn delivered(&self) -> usize {
        self.tally.items - self.batch.len()
    }
}
