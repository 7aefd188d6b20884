//! Jobs over borrowed items.

use std::{borrow::Borrow, thread};

use rayon::{Scope, ThreadPool};

use crate::{
    bulk::{
        job::{
            Job,
            crew::{Crew, Launch, lend_a_hand},
            drivers,
            feed::{Feed, Side},
            intake::Items,
        },
        report::Report,
        runner::Bulk,
        settings::OnError,
        stages::{Staged, Stages},
    },
    error::{Error, ErrorKind, ItemError, Result, Stage},
};

impl<S: Staged> Bulk<S> {
    /// Runs borrowed items without copying them, and returns one result for each item, in order.
    ///
    /// Errors are returned in the places of their items, also under [`OnError::Skip`]. Items that
    /// an early end left out have an error of kind [`ErrorKind::Cancelled`].
    pub fn run<'i, I>(&self, items: &'i [I]) -> (Vec<Result<S::Output, ItemError>>, Report)
    where
        I: Borrow<<S as Staged>::Item>,
        <S as Staged>::Item: Sync + 'i,
        S: Stages<&'i <S as Staged>::Item>,
    {
        let mut bulk_settings = self.settings.clone();
        if bulk_settings.on_error == OnError::Skip {
            bulk_settings.on_error = OnError::default();
        }
        let pool = match self.pool() {
            Ok(pool) => pool,
            Err(error) => return (fill(Vec::new(), items.len(), &error.to_string()), Report::default()),
        };
        let job = Job::new(self.stages(), pool.current_num_threads(), bulk_settings, true);
        let mut results = Vec::with_capacity(items.len());
        let report = pool.in_place_scope(|scope| {
            thread::scope(|threads| {
                let crew = Scoped { job: &job, pool: &pool, scope };
                // Ends drivers and pumps, and the scopes with them, however this returns.
                let _stop = StopOnDrop(&job);
                job.start_drivers(|number| {
                    drivers::thread(number).spawn_scoped(threads, move || crew.job.drive(number, &crew)).map(drop)
                });
                let mut feed = Feed::new(items.iter().map(Borrow::borrow));
                while let Some((_, result)) =
                    feed.ready().or_else(|| feed.next(Side { job: &job, intake: &Items, crew: &crew }))
                {
                    results.push(result);
                }
                feed.report(&job)
            })
        });
        let why = report.notes.last().map_or("an error ended the job", String::as_str);
        (fill(results, items.len(), why), report)
    }
}

/// Adds an error that says `why` for each item that was not reached.
pub(in crate::bulk) fn fill<O>(
    mut results: Vec<Result<O, ItemError>>,
    len: usize,
    why: &str,
) -> Vec<Result<O, ItemError>> {
    for index in results.len()..len {
        let source = Error::new(ErrorKind::Cancelled, why);
        results.push(Err(ItemError { index, stage: Stage::Read, source }));
    }
    results
}

/// Workers that run a job over borrowed items, inside a scope.
struct Scoped<'a, 's, S: Stages<I>, I> {
    job: &'s Job<S, I>,
    pool: &'s ThreadPool,
    scope: &'a Scope<'s>,
}

impl<S: Stages<I>, I> Clone for Scoped<'_, '_, S, I> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S: Stages<I>, I> Copy for Scoped<'_, '_, S, I> {}

impl<S: Stages<I>, I: Send> Crew for Scoped<'_, '_, S, I> {
    fn launch(&self, kind: Launch) {
        let (job, pool) = (self.job, self.pool);
        match kind {
            Launch::Turn => self.scope.spawn(move |scope| job.turn(&Scoped { job, pool, scope })),
            Launch::Probe => self.scope.spawn_broadcast(move |scope, _| job.probe(&Scoped { job, pool, scope })),
        }
    }

    fn lend_a_hand(&self) -> bool {
        lend_a_hand(self.pool)
    }
}

/// Stops the job when dropped.
struct StopOnDrop<'j, S: Stages<I>, I>(&'j Job<S, I>);

impl<S: Stages<I>, I> Drop for StopOnDrop<'_, S, I> {
    fn drop(&mut self) {
        self.0.stop(None);
    }
}
