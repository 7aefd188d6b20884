//! Items from anywhere in the program, one at a time, that share chunks.

use std::{
    collections::VecDeque,
    fmt,
    future::Future,
    pin::Pin,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll, Waker},
    thread,
    time::{Duration, Instant},
};

use rayon::ThreadPool;

use crate::{
    bulk::{
        job::{
            chunk::{Outcome, Raw, finish_chunk, infer_chunk, prepare_item},
            drivers,
            tuner::Tuner,
            window::Entry,
        },
        results_iter::lend_a_hand,
        settings::Settings,
        stages::{Ready, Stages},
    },
    error::{Error, ErrorKind, ItemError, Result, Stage},
    inference::Inference,
    threads::{
        panics::{self, lock},
        split,
    },
};

/// How soon workers are asked again to take a chunk that none of them could.
const ASK_AGAIN: Duration = Duration::from_millis(1);

/// A door to a model for single items: those that come within a short time of one another share a chunk. Made by
/// [`Bulk::queue`](super::Bulk::queue).
///
/// An item waits at most the stated time for company, then for a free worker. Dropping the queue lets what was
/// submitted run to its end.
pub struct Queue<S: Stages<I>, I>(Arc<Shared<S, I>>);

/// The result to come of a submitted item: wait for it, poll it, await it or cancel it. Dropping it cancels the
/// item if it has not begun.
#[must_use = "dropping it cancels the item"]
pub struct Handle<O> {
    ticket: Arc<Ticket<O>>,
    /// There while the item is under way.
    queue: Weak<dyn Help>,
}

struct Shared<S: Stages<I>, I> {
    stages: Arc<S>,
    pool: Arc<ThreadPool>,
    settings: Settings,
    longest_wait: Duration,
    state: Mutex<State<S, I>>,
    /// Told when something comes, a chunk goes on or ends, or the queue closes.
    changed: Condvar,
}

struct State<S: Stages<I>, I> {
    waiting: VecDeque<Submitted<I, S::Output>>,
    /// Chunks for drivers.
    prepared: VecDeque<Chunk<S, I>>,
    /// Driver threads that are started; without any, the workers run the chunks.
    drivers: usize,
    /// Whether the model wants no drivers any more.
    released: bool,
    /// Chunks that the worker which had them could not run.
    stranded: VecDeque<Chunk<S, I>>,
    /// Workers that are asked whether they can, and have not answered.
    asked: usize,
    tuner: Tuner,
    submitted: usize,
    /// Bytes of items from their submission to the end of their chunk.
    bytes: usize,
    running: usize,
    /// Workers that wait for this queue in the midst of something, and do some of its work meanwhile.
    helpers: usize,
    closed: bool,
}

/// What a worker of the pool does that waits for the queue: were it to sleep, its work might wait for it.
trait Help: Send + Sync {
    /// Does some of the pool's work until it is `done`; false: the calling thread is none of its workers.
    fn help_until(&self, done: &dyn Fn() -> bool) -> bool;
}

struct Submitted<I, O> {
    index: usize,
    item: I,
    bytes: usize,
    since: Instant,
    ticket: Arc<Ticket<O>>,
}

/// What was submitted, prepared to be run together.
struct Chunk<S: Stages<I>, I> {
    entries: Vec<Entry<S::Entry>>,
    tickets: Vec<Arc<Ticket<S::Output>>>,
    /// Of the items, until the chunk ends.
    bytes: usize,
    /// The work that went into it so far.
    took: Duration,
}

struct Ticket<O> {
    state: Mutex<TicketState<O>>,
    done: Condvar,
    cancelled: AtomicBool,
}

enum TicketState<O> {
    Pending(Option<Waker>),
    Done(Result<O, ItemError>),
    Taken,
}

impl<S, I> Queue<S, I>
where
    S: Stages<I> + 'static,
    I: Send + 'static,
{
    pub(super) fn new(
        stages: Arc<S>,
        pool: Arc<ThreadPool>,
        settings: Settings,
        longest_wait: Duration,
    ) -> Result<Self> {
        panics::keep_backtraces();
        let drivers = drivers::wanted(stages.model());
        let tuner = Tuner::of(stages.model(), &settings, pool.current_num_threads());
        let state = State {
            waiting: VecDeque::new(),
            prepared: VecDeque::new(),
            drivers: 0,
            released: false,
            stranded: VecDeque::new(),
            asked: 0,
            tuner,
            submitted: 0,
            bytes: 0,
            running: 0,
            helpers: 0,
            closed: false,
        };
        let shared = Shared { stages, pool, settings, longest_wait, state: Mutex::new(state), changed: Condvar::new() };
        let queue = Self(Arc::new(shared));
        let started = |thread: std::io::Result<thread::JoinHandle<()>>| {
            thread.map(drop).map_err(|error| Error::io(error, "starting a thread of a queue"))
        };
        for number in 0..drivers {
            lock(&queue.0.state).drivers += 1;
            let task = Arc::clone(&queue.0);
            // Where this fails the queue goes, and its drivers with it.
            started(drivers::thread(number).spawn(move || task.drive()))?;
        }
        let gather = Arc::clone(&queue.0);
        started(thread::Builder::new().name("mill-queue".into()).spawn(move || gather.gather()))?;
        Ok(queue)
    }

    /// Submits an item. Returns at once, unless the items that are under way hold as many bytes as the memory limit
    /// allows: then it blocks until there is room. A worker of the pool does some of its work meanwhile.
    pub fn submit(&self, item: I) -> Handle<S::Output> {
        let stages = &self.0.stages;
        // A hook that panics here counts as no bytes; it will panic again on a worker and be told there.
        let bytes = panics::catch(|| Ok(stages.item_bytes(stages.item(&item)))).unwrap_or(0);
        let ticket = Arc::new(Ticket {
            state: Mutex::new(TicketState::Pending(None)),
            done: Condvar::new(),
            cancelled: AtomicBool::new(false),
        });
        let limit = self.0.settings.memory_limit;
        let admitted = || {
            let mut state = lock(&self.0.state);
            let room = state.has_room(bytes, limit);
            state.bytes += if room { bytes } else { 0 };
            room
        };
        let helped = admitted() || self.0.help_until(&admitted);
        let mut state = lock(&self.0.state);
        if !helped {
            while !state.has_room(bytes, limit) {
                state = self.0.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            state.bytes += bytes;
        }
        let index = state.submitted;
        state.submitted += 1;
        state.waiting.push_back(Submitted { index, item, bytes, since: Instant::now(), ticket: Arc::clone(&ticket) });
        drop(state);
        self.0.changed.notify_all();
        let queue = Arc::downgrade(&self.0);
        Handle { ticket, queue }
    }
}

impl<S: Stages<I>, I> Drop for Queue<S, I> {
    fn drop(&mut self) {
        lock(&self.0.state).closed = true;
        self.0.changed.notify_all();
    }
}

impl<S, I> Shared<S, I>
where
    S: Stages<I> + 'static,
    I: Send + 'static,
{
    /// The body of the queue's own thread, which only waits: gathers chunks and gives them to the pool.
    fn gather(self: Arc<Self>) {
        let mut state = lock(&self.state);
        loop {
            if !state.stranded.is_empty() && state.asked == 0 {
                state.asked = self.pool.current_num_threads();
                let task = Arc::clone(&self);
                self.pool.spawn_broadcast(move |_| task.take_stranded());
                // Where none of them can, they are all in the midst of something: then they are asked again.
                state = self.changed.wait_timeout(state, ASK_AGAIN).unwrap_or_else(PoisonError::into_inner).0;
                continue;
            }
            let Some(first) = state.waiting.front() else {
                if state.is_over() {
                    return;
                }
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let waited = first.since.elapsed();
            // Costs are known only once items are prepared: a chunk is gathered by the mean cost so far.
            let cost = state.tuner.item_cost().max(1.0);
            let (target, most) = state.tuner.bounds((state.waiting.len() as f64 * cost) as u64);
            let chunk = ((target as f64 / cost) as usize).clamp(1, most);
            // What a worker that waits here has begun goes on only with what it waits for.
            if state.running > state.tuner.lanes() + state.helpers || state.tuner.holds_back() && state.helpers == 0 {
                // Every worker has something, and the next chunk is ready to go: it may as well grow.
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            } else if state.waiting.len() < chunk.max(2).min(most)
                && !state.tuner.is_single()
                && waited < self.longest_wait
                && !state.closed
            {
                let left = self.longest_wait - waited;
                state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
            } else {
                let count = chunk.min(state.waiting.len());
                let items: Vec<_> = state.waiting.drain(..count).collect();
                state.running += 1;
                state.tuner.begun();
                let task = Arc::clone(&self);
                drop(state);
                self.pool.spawn(move || {
                    task.run(items);
                    panics::drop_quietly(task);
                });
                state = lock(&self.state);
            }
        }
    }

    /// Prepares what was gathered, on a worker, and runs it or gives it to the drivers.
    fn run(&self, items: Vec<Submitted<I, S::Output>>) {
        let started = Instant::now();
        let (mut entries, mut tickets) = (Vec::with_capacity(items.len()), Vec::with_capacity(items.len()));
        let mut bytes = 0;
        for submitted in items {
            bytes += submitted.bytes;
            let Submitted { index, item, ticket, .. } = submitted;
            let why = if self.settings.cancel.is_cancelled() {
                Some("the queue's jobs were cancelled")
            } else {
                ticket.cancelled.load(Relaxed).then_some("the item was cancelled")
            };
            if let Some(why) = why {
                let source = Error::new(ErrorKind::Cancelled, why);
                ticket.fill(Err(ItemError { index, stage: Stage::Prepare, source }));
                panics::drop_quietly(item);
                continue;
            }
            let entry = panics::catch(|| prepare_item(&*self.stages, item, index, 0, &mut 0));
            match entry {
                Ok(Ready::Run(entry)) => {
                    entries.push(entry);
                    tickets.push(ticket);
                }
                Ok(Ready::Done(output)) => ticket.fill(Ok(output)),
                Err(source) => ticket.fill(Err(ItemError { index, stage: Stage::Prepare, source })),
            }
        }
        let chunk = Chunk { entries, tickets, bytes, took: started.elapsed() };
        let mut state = lock(&self.state);
        if state.drivers > 0 {
            state.prepared.push_back(chunk);
            drop(state);
            self.changed.notify_all();
        } else {
            drop(state);
            self.run_here(chunk);
        }
    }

    /// On a worker: runs a chunk, or passes it on if this worker cannot.
    fn run_here(&self, mut chunk: Chunk<S, I>) {
        let started = Instant::now();
        match infer_chunk(&*self.stages, &chunk.entries) {
            Some((slots, _)) => {
                chunk.took += started.elapsed();
                self.finish(chunk, slots);
            }
            None => {
                lock(&self.state).stranded.push_back(chunk);
                self.changed.notify_all();
            }
        }
    }

    /// On each worker, if a chunk is stranded: takes it if this one can run it.
    fn take_stranded(&self) {
        let ready_here = self.stages.model().ready_here();
        let mut state = lock(&self.state);
        state.asked -= 1;
        let chunk = ready_here.then(|| state.stranded.pop_front()).flatten();
        drop(state);
        match chunk {
            Some(chunk) => self.run_here(chunk),
            None => self.changed.notify_all(),
        }
    }

    /// The body of a driver: runs one chunk after the other until the queue is closed and empty.
    fn drive(self: Arc<Self>) {
        split::drive_for(self.pool.current_num_threads());
        let mut state = lock(&self.state);
        loop {
            if state.released {
                return self.leave(state);
            }
            let Some(mut chunk) = state.prepared.pop_front() else {
                if state.is_over() {
                    return;
                }
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            drop(state);
            let started = Instant::now();
            let slots = infer_chunk(&*self.stages, &chunk.entries);
            chunk.took += started.elapsed();
            if let Some((slots, _)) = slots {
                let task = Arc::clone(&self);
                self.pool.spawn(move || {
                    task.finish(chunk, slots);
                    panics::drop_quietly(task);
                });
                let released = drivers::is_released(self.stages.model());
                state = lock(&self.state);
                state.released |= released;
            } else {
                state = lock(&self.state);
                state.stranded.push_back(chunk);
                return self.leave(state);
            }
        }
    }

    /// A driver goes; with the last of them, what is prepared is the workers'.
    fn leave(&self, mut state: MutexGuard<'_, State<S, I>>) {
        state.drivers -= 1;
        if state.drivers == 0 {
            let left = std::mem::take(&mut state.prepared);
            state.stranded.extend(left);
        }
        drop(state);
        self.changed.notify_all();
    }

    /// On a worker: makes the results of a chunk and hands them out.
    fn finish(&self, chunk: Chunk<S, I>, slots: Vec<Option<Result<Raw<S>>>>) {
        let Chunk { entries, tickets, bytes, took } = chunk;
        let started = Instant::now();
        let Outcome { results, .. } = finish_chunk(&*self.stages, 0, &entries, slots);
        for (result, ticket) in results.into_iter().flatten().zip(tickets) {
            ticket.fill(result);
        }
        let cost = entries.iter().fold(0_u64, |sum, entry| sum.saturating_add(entry.cost));
        let count = entries.len();
        panics::drop_each(entries);
        let mut state = lock(&self.state);
        if count > 0 {
            let measuring = state.tuner.holds_back();
            state.tuner.measured(count, cost, took + started.elapsed());
            if measuring {
                state.tuner.ask(self.stages.model(), &self.settings, self.pool.current_num_threads());
            }
        } else {
            state.tuner.came_back();
        }
        state.running -= 1;
        state.bytes -= bytes;
        drop(state);
        self.changed.notify_all();
    }
}

impl<S: Stages<I>, I> State<S, I> {
    /// Whether an item of so many `bytes` may come. Where all that is under way waits for room, it must.
    fn has_room(&self, bytes: usize, limit: usize) -> bool {
        let left = self.waiting.is_empty() && self.prepared.is_empty() && self.stranded.is_empty();
        let stuck = left && self.helpers > 0 && self.running <= self.helpers;
        self.bytes == 0 || self.bytes.saturating_add(bytes) <= limit || stuck
    }

    /// Whether nothing is left, and nothing more will come.
    fn is_over(&self) -> bool {
        self.closed && self.waiting.is_empty() && self.running == 0
    }
}

impl<S, I> Help for Shared<S, I>
where
    S: Stages<I> + 'static,
    I: Send + 'static,
{
    fn help_until(&self, done: &dyn Fn() -> bool) -> bool {
        if self.pool.current_thread_index().is_none() {
            return false;
        }
        lock(&self.state).helpers += 1;
        self.changed.notify_all();
        while !done() {
            lend_a_hand(&self.pool);
        }
        lock(&self.state).helpers -= 1;
        true
    }
}

impl<O> Ticket<O> {
    /// Gives it its result; where nobody wants to know any more, that is dropped here.
    fn fill(self: Arc<Self>, result: Result<O, ItemError>) {
        let before = std::mem::replace(&mut *lock(&self.state), TicketState::Done(result));
        self.done.notify_all();
        if let TicketState::Pending(Some(waker)) = before {
            panics::quietly(|| waker.wake());
        }
        panics::drop_quietly(self);
    }

    fn is_done(&self) -> bool {
        !matches!(*lock(&self.state), TicketState::Pending(_))
    }
}

impl<O> Handle<O> {
    /// Whether the result is there.
    pub fn is_done(&self) -> bool {
        self.ticket.is_done()
    }

    /// The result if it is there; afterwards `None`.
    pub fn poll_now(&mut self) -> Option<Result<O, ItemError>> {
        let mut state = lock(&self.ticket.state);
        match std::mem::replace(&mut *state, TicketState::Taken) {
            TicketState::Done(result) => Some(result),
            before => {
                *state = before;
                None
            }
        }
    }

    /// Waits for the result; `None` if it was taken before. A worker of the pool does some of its work meanwhile.
    pub fn wait(mut self) -> Option<Result<O, ItemError>> {
        if !self.is_done()
            && let Some(queue) = self.queue.upgrade()
        {
            queue.help_until(&|| self.is_done());
        }
        let mut state = lock(&self.ticket.state);
        while matches!(*state, TicketState::Pending(_)) {
            state = self.ticket.done.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        drop(state);
        self.poll_now()
    }

    /// Makes the result an error of kind [`ErrorKind::Cancelled`], unless the item has begun.
    pub fn cancel(&self) {
        self.ticket.cancelled.store(true, Relaxed);
    }
}

/// The result, for any executor.
///
/// # Panics
/// If it is polled after it has given the result, or after [`Handle::poll_now`] has.
impl<O> Future for Handle<O> {
    type Output = Result<O, ItemError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = lock(&self.ticket.state);
        match std::mem::replace(&mut *state, TicketState::Taken) {
            TicketState::Done(result) => Poll::Ready(result),
            TicketState::Pending(_) => {
                *state = TicketState::Pending(Some(context.waker().clone()));
                Poll::Pending
            }
            TicketState::Taken => panic!("the result was taken before"),
        }
    }
}

impl<O> Drop for Handle<O> {
    fn drop(&mut self) {
        self.cancel();
    }
}

impl<S: Stages<I>, I> fmt::Debug for Queue<S, I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue").field("longest_wait", &self.0.longest_wait).finish_non_exhaustive()
    }
}

impl<O> fmt::Debug for Handle<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").finish_non_exhaustive()
    }
}
