//! How workers and drivers run the chunks of a queue.

use std::{
    sync::{Arc, MutexGuard, PoisonError},
    time::Instant,
};

use crate::{
    bulk::{
        job::{
            chunk::{Outcome, Raw, finish_chunk, infer_chunk, prepare_item, totals},
            drivers,
        },
        queue::{
            core::{Chunk, Core, Gathered, State, Submitted},
            measures::Answer,
        },
        stages::{Ready, Stages},
    },
    error::{Error, ErrorKind, ItemError, Result, Stage},
    inference::Inference,
    threads::{
        panics::{self, lock},
        split,
    },
};

impl<S, I> Core<S, I>
where
    S: Stages<I> + 'static,
    I: Send + 'static,
{
    /// Prepares gathered items on a worker, and runs them there or hands them to the drivers.
    pub(in crate::bulk) fn run(&self, gathered: Gathered<S, I>) {
        let started = Instant::now();
        let Gathered { items, version } = gathered;
        let (mut entries, mut tickets) = (Vec::with_capacity(items.len()), Vec::with_capacity(items.len()));
        let (number, mut bytes) = (items.first().map_or(0, |first| first.index), 0);
        let mut answered = Vec::new();
        let mut times = Vec::with_capacity(items.len());
        for submitted in items {
            bytes += submitted.bytes;
            let Submitted { index, item, ticket, since, .. } = submitted;
            let why = if self.settings.cancel.is_cancelled() {
                Some("the queue's jobs were cancelled")
            } else {
                ticket.is_cancelled().then_some("the item was cancelled")
            };
            if let Some(why) = why {
                let source = Error::new(ErrorKind::Cancelled, why);
                ticket.fill(Err(ItemError { index, stage: S::FIRST, source }));
                answered.push((Answer::Cancelled, since));
                panics::drop_quietly(item);
                continue;
            }
            times.push(since);
            let entry = panics::catch(|| prepare_item(&*version.1, item, index, 0, &mut 0));
            match entry {
                Ok(Ready::Run(entry)) => {
                    entries.push(entry);
                    tickets.push((ticket, since));
                }
                Ok(Ready::Done(output)) => {
                    ticket.fill(Ok(output));
                    answered.push((Answer::Result, since));
                }
                Err(source) => {
                    ticket.fill(Err(ItemError { index, stage: Stage::Prepare, source }));
                    answered.push((Answer::Error, since));
                }
            }
        }
        let chunk = Chunk { number, version, entries, tickets, answered, bytes, took: started.elapsed() };
        let mut state = lock(&self.state);
        times.into_iter().for_each(|since| state.measures.taken(since, started));
        if state.drivers.in_charge() {
            state.prepared.push_back(chunk);
            drop(state);
            self.changed.notify_all();
        } else {
            drop(state);
            self.run_here(chunk);
        }
    }

    /// Runs a chunk on a worker, or passes it on if this worker cannot.
    fn run_here(&self, mut chunk: Chunk<S, I>) {
        let started = Instant::now();
        match infer_chunk(&*chunk.version.1, &chunk.entries) {
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

    /// Takes a stranded chunk if the calling worker can run it; called on each worker.
    pub(in crate::bulk) fn take_stranded(&self) {
        let mut state = lock(&self.state);
        let stages = state.stranded.front().map(|chunk| Arc::clone(&chunk.version.1));
        drop(state);
        let ready_here = stages.as_ref().is_some_and(|stages| stages.model().ready_here());
        panics::drop_quietly(stages);
        state = lock(&self.state);
        state.asked -= 1;
        let chunk = ready_here.then(|| state.stranded.pop_front()).flatten();
        drop(state);
        match chunk {
            Some(chunk) => self.run_here(chunk),
            None => self.changed.notify_all(),
        }
    }

    /// The body of a driver: runs chunks until the queue is closed and empty, or the model wants no
    /// drivers any more.
    pub(in crate::bulk) fn drive(self: Arc<Self>) {
        split::drive_for(self.pool.workers());
        let mut state = lock(&self.state);
        loop {
            if !state.drivers.in_charge() {
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
            let (version, stages) = (chunk.version.0, Arc::clone(&chunk.version.1));
            let slots = infer_chunk(&*stages, &chunk.entries);
            chunk.took += started.elapsed();
            if let Some((slots, _)) = slots {
                let task = Arc::clone(&self);
                self.pool.push_once(&self.member, move || {
                    task.finish(chunk, slots);
                    panics::drop_quietly(task);
                });
                let released = drivers::is_released(stages.model());
                panics::drop_quietly(stages);
                state = lock(&self.state);
                if released && state.current.0 == version {
                    state.drivers.release();
                }
            } else {
                state = lock(&self.state);
                state.stranded.push_back(chunk);
                return self.leave(state);
            }
        }
    }

    /// Counts a driver out; after the last one, the workers run what is prepared.
    fn leave(&self, mut state: MutexGuard<'_, State<S, I>>) {
        state.drivers.leave();
        if state.drivers.is_empty() {
            let left = std::mem::take(&mut state.prepared);
            state.stranded.extend(left);
        }
        drop(state);
        self.changed.notify_all();
    }

    /// Finishes a chunk on a worker, and hands its results to their handles.
    fn finish(&self, chunk: Chunk<S, I>, slots: Vec<Option<Result<Raw<S>>>>) {
        let Chunk { number, version: (version, stages), entries, tickets, mut answered, bytes, took } = chunk;
        let started = Instant::now();
        let Outcome { results, .. } = finish_chunk(&*stages, 0, &entries, slots);
        let (cost, _) = totals(&entries);
        let count = entries.len();
        panics::drop_each(entries);
        let results: Vec<_> = results.into_iter().flatten().collect();
        for (result, (_, since)) in results.iter().zip(&tickets) {
            answered.push((if result.is_ok() { Answer::Result } else { Answer::Error }, *since));
        }
        let now = Instant::now();
        let took = took + now.duration_since(started);
        let mut state = lock(&self.state);
        let current = state.current.0 == version;
        if count > 0 {
            state.measures.ran(count, took);
            if current {
                let (model, workers) = (stages.model(), self.pool.workers());
                state.tuner.finished(model, &self.settings, workers, count, cost, took);
            }
        } else if current {
            state.tuner.came_back();
        }
        answered.iter().for_each(|&(answer, since)| state.measures.answered(answer, since, now));
        state.unanswered -= answered.len();
        state.running.retain(|&(first, _)| first != number);
        self.ledger.remove(bytes);
        let wakers = std::mem::take(&mut state.wakers);
        drop(state);
        self.changed.notify_all();
        for (result, (ticket, _)) in results.into_iter().zip(tickets) {
            ticket.fill(result);
        }
        wakers.into_values().for_each(|waker| panics::quietly(|| waker.wake()));
        panics::drop_quietly(stages);
    }
}
