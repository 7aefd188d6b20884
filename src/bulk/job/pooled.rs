//! A job together with the pool that works for it.

use std::sync::Arc;
#[cfg(feature = "stream")]
use std::task::{Context, Poll};

use crate::{
    bulk::{
        job::{
            Job,
            crew::{Crew, Launch},
            drivers,
            feed::{Feed, Side},
            intake::Intake,
            results::Numbered,
            running::Serve,
        },
        report::Report,
        settings::Settings,
        stages::Stages,
    },
    error::Stage,
    threads::{
        pool::{JOB_SHARE, Pool},
        turns::Member,
    },
};

/// A job, the pool that works for it, and how its items are made.
pub(in crate::bulk) struct Pooled<S: Stages<I>, I, C> {
    job: Job<S, I>,
    pool: Arc<Pool>,
    member: Member,
    intake: C,
}

impl<S: Stages<I>, I, C> Pooled<S, I, C> {
    pub(in crate::bulk) fn new(stages: Arc<S>, pool: Arc<Pool>, settings: Settings, ordered: bool, intake: C) -> Self {
        let member = pool.join(settings.share.unwrap_or(JOB_SHARE));
        Self { job: Job::new(stages, pool.workers(), settings, ordered), pool, member, intake }
    }
}

impl<S, I, C> Pooled<S, I, C>
where
    S: Stages<I> + 'static,
    I: Send + 'static,
    C: Send + Sync + 'static,
{
    /// Before the first pull: starts the driver threads that the model wants.
    fn prepare_start<It, O>(self: &Arc<Self>, feed: &Feed<It, O>) {
        if feed.has_started() {
            return;
        }
        self.job.start_drivers(|number| {
            let task = Arc::clone(self);
            drivers::thread(number).spawn(move || task.job.drive(number, &task)).map(drop)
        });
    }
}

impl<S, I, C, It, O> Serve<It, O> for Pooled<S, I, C>
where
    S: Stages<I, Output = O> + 'static,
    I: Send + 'static,
    C: Intake<It::Item, Item = I> + 'static,
    It: Iterator,
    O: Send,
{
    fn next(self: Arc<Self>, feed: &mut Feed<It, O>) -> Option<Numbered<O>> {
        self.prepare_start(feed);
        feed.next(Side { job: &self.job, intake: &self.intake, crew: &self })
    }

    #[cfg(feature = "stream")]
    fn poll_next(self: Arc<Self>, feed: &mut Feed<It, O>, context: &Context<'_>) -> Poll<Option<Numbered<O>>> {
        self.prepare_start(feed);
        feed.poll_next(Side { job: &self.job, intake: &self.intake, crew: &self }, context)
    }

    fn stop(&self, feed: &mut Feed<It, O>) {
        feed.stop(&self.job);
    }

    fn give_up(&self) {
        self.job.stop(None);
    }

    fn first() -> Stage {
        S::FIRST
    }

    fn pulled(&self) -> usize {
        self.job.lock().pulled
    }

    fn report(&self, feed: &Feed<It, O>) -> Report {
        feed.report(&self.job)
    }
}

impl<S, I, C> Crew for Arc<Pooled<S, I, C>>
where
    S: Stages<I> + 'static,
    I: Send + 'static,
    C: Send + Sync + 'static,
{
    fn launch(&self, kind: Launch) {
        let task = Arc::clone(self);
        match kind {
            Launch::Pump => self.pool.push(&self.member, Box::new(move || task.job.turn(&task))),
            Launch::Probe => self.pool.broadcast(move || {
                if task.member.run_now(|| task.job.probe(&task)) {
                    task.launch(Launch::Pump);
                }
            }),
        }
    }

    fn contended(&self) -> bool {
        self.member.contended()
    }

    fn lend_a_hand(&self) -> bool {
        self.pool.help(&self.member)
    }
}
