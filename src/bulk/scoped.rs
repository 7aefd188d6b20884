//! Jobs over borrowed items.

use std::{borrow::Borrow, sync::Arc, thread};

use rayon::Scope;

use crate::{
    bulk::{
        job::{
            Job,
            crew::{Crew, Launch},
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
    threads::{
        pool::{JOB_SHARE, Pool},
        turns::Member,
    },
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
            Err(error) => {
                let report = Report::not_started(&error, items.len());
                return (fill(Vec::new(), items.len(), S::FIRST, &error), report);
            }
        };
        let member = pool.join(bulk_settings.share.unwrap_or(JOB_SHARE));
        let job = Job::new(self.stages(), pool.workers(), bulk_settings, true);
        let mut results = Vec::with_capacity(items.len());
        let report = pool.scope(|scope| {
            thread::scope(|threads| {
                let crew = Scoped { job: &job, pool: &pool, member: &member, scope };
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
        (fill(results, items.len(), S::FIRST, &Error::new(ErrorKind::Cancelled, why)), report)
    }
}

/// Adds the error `why` for each item that was not reached, and that waited for `stage`.
pub(in crate::bulk) fn fill<O>(
    mut results: Vec<Result<O, ItemError>>,
    len: usize,
    stage: Stage,
    why: &Error,
) -> Vec<Result<O, ItemError>> {
    for index in results.len()..len {
        results.push(Err(ItemError { index, stage, source: why.clone() }));
    }
    results
}

/// Workers that run a job over borrowed items, inside a scope.
struct Scoped<'a, 's, S: Stages<I>, I> {
    job: &'s Job<S, I>,
    pool: &'s Arc<Pool>,
    member: &'s Member,
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
        let Self { job, pool, member, .. } = *self;
        match kind {
            Launch::Pump => {
                member.announce();
                self.scope.spawn(move |scope| {
                    let crew = Scoped { job, pool, member, scope };
                    if member.run_announced(pool, || job.is_idle(), || job.turn(&crew)) {
                        crew.launch(Launch::Pump);
                    }
                });
            }
            Launch::Probe => self.scope.spawn_broadcast(move |scope, _| {
                let crew = Scoped { job, pool, member, scope };
                if member.run_now(|| job.probe(&crew)) {
                    crew.launch(Launch::Pump);
                }
            }),
        }
    }

    fn contended(&self) -> bool {
        self.member.contended()
    }

    fn lend_a_hand(&self) -> bool {
        self.pool.help(self.member)
    }
}

/// Stops the job when dropped.
struct StopOnDrop<'j, S: Stages<I>, I>(&'j Job<S, I>);

impl<S: Stages<I>, I> Drop for StopOnDrop<'_, S, I> {
    fn drop(&mut self) {
        self.0.stop(None);
    }
}
