//! A job together with the pool that works for it.

use std::sync::Arc;

use rayon::ThreadPool;

use crate::{
    bulk::{
        job::{
            Job,
            crew::{Crew, Launch, lend_a_hand},
            drivers,
        },
        settings::Settings,
        stages::Stages,
    },
    threads::panics,
};

/// A job and the pool that works for it.
pub(in crate::bulk) struct Pooled<S: Stages<I>, I> {
    pub(in crate::bulk) job: Job<S, I>,
    pool: Arc<ThreadPool>,
}

impl<S: Stages<I>, I> Pooled<S, I> {
    pub(in crate::bulk) fn new(stages: Arc<S>, pool: Arc<ThreadPool>, settings: Settings, ordered: bool) -> Self {
        Self { job: Job::new(stages, pool.current_num_threads(), settings, ordered), pool }
    }
}

impl<S: Stages<I> + 'static, I: Send + 'static> Pooled<S, I> {
    /// Starts the driver threads that the model wants; to be called before the first pull.
    pub(in crate::bulk) fn start_drivers(self: &Arc<Self>) {
        self.job.start_drivers(|number| {
            let task = Arc::clone(self);
            drivers::thread(number).spawn(move || task.job.drive(number, &task)).map(drop)
        });
    }
}

impl<S: Stages<I> + 'static, I: Send + 'static> Crew for Arc<Pooled<S, I>> {
    fn launch(&self, kind: Launch) {
        let task = Arc::clone(self);
        match kind {
            // The last task to let go of a job drops its model.
            Launch::Turn => self.pool.spawn(move || {
                task.job.turn(&task);
                panics::drop_quietly(task);
            }),
            Launch::Probe => self.pool.spawn_broadcast(move |_| task.job.probe(&task)),
        }
    }

    fn lend_a_hand(&self) -> bool {
        lend_a_hand(&self.pool)
    }
}
