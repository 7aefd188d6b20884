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
        queue::core::{Chunk, Core, State, Submitted},
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
    pub(in crate::bulk) fn run(&self, items: Vec<Submitted<I, S::Output>>) {
        let started = Instant::now();
        let (mut entries, mut tickets) = (Vec::with_capacity(items.len()), Vec::with_capacity(items.len()));
        let mut bytes = 0;
        for submitted in items {
            bytes += submitted.bytes;
            let Submitted { index, item, ticket, .. } = submitted;
            let why = if self.settings.cancel.is_cancelled() {
                Some("the queue's jobs were cancelled")
            } else {
                ticket.is_cancelled().then_some("the item was cancelled")
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

    /// Takes a stranded chunk if the calling worker can run it; called on each worker.
    pub(in crate::bulk) fn take_stranded(&self) {
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

    /// The body of a driver: runs chunks until the queue is closed and empty, or the model wants no
    /// drivers any more.
    pub(in crate::bulk) fn drive(self: Arc<Self>) {
        split::drive_for(self.pool.current_num_threads());
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
                if released {
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
        let Chunk { entries, tickets, bytes, took } = chunk;
        let started = Instant::now();
        let Outcome { results, .. } = finish_chunk(&*self.stages, 0, &entries, slots);
        for (result, ticket) in results.into_iter().flatten().zip(tickets) {
            ticket.fill(result);
        }
        let (cost, _) = totals(&entries);
        let count = entries.len();
        panics::drop_each(entries);
        let mut state = lock(&self.state);
        if count > 0 {
            let (model, workers) = (self.stages.model(), self.pool.current_num_threads());
            state.tuner.finished(model, &self.settings, workers, count, cost, took + started.elapsed());
        } else {
            state.tuner.came_back();
        }
        state.running -= 1;
        self.ledger.remove(bytes);
        drop(state);
        self.changed.notify_all();
    }
}
