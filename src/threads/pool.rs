//! The thread budget: one pool per worker count, shared by the whole process.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use rayon::{Scope, ThreadPool, ThreadPoolBuilder, Yield};

use crate::{
    error::{Error, ErrorKind, Result},
    threads::{
        platform,
        turns::{Member, Pump, Turns, Workers},
    },
};

/// The share of a job, unless its caller sets one.
pub(crate) const JOB_SHARE: u32 = 1;
/// The share of a queue, unless its caller sets one, and of single runs: somebody waits for them.
pub(crate) const ONLINE_SHARE: u32 = 8;

/// A pool of worker threads, and whose turn it is there.
pub(crate) struct Pool {
    threads: ThreadPool,
    turns: Arc<Turns>,
    /// The single runs from outside.
    runs: Member,
}

/// The pools that have users, with their numbers of threads.
static POOLS: Mutex<Vec<(usize, Weak<Pool>)>> = Mutex::new(Vec::new());

/// The pool of a load: that of the calling worker, or else that of `workers` threads.
///
/// # Errors
/// As [`pool`].
pub(crate) fn load_pool(workers: Option<usize>) -> Result<Arc<Pool>> {
    let known: Vec<Arc<Pool>> = {
        let pools = POOLS.lock().unwrap_or_else(PoisonError::into_inner);
        pools.iter().filter_map(|(_, pool)| pool.upgrade()).collect()
    };
    known.into_iter().find(|own| own.is_here()).map_or_else(|| pool(workers), Ok)
}

/// The pool of `workers` threads, or of as many as can run at once.
///
/// It is started on first use and stopped with its last user.
///
/// # Errors
/// `Io` if threads cannot be started.
pub(crate) fn pool(workers: Option<usize>) -> Result<Arc<Pool>> {
    let workers = workers.unwrap_or_else(platform::parallelism).max(1);
    let mut pools = POOLS.lock().unwrap_or_else(PoisonError::into_inner);
    pools.retain(|(_, pool)| pool.strong_count() > 0);
    let known = pools.iter().find(|(count, _)| *count == workers).and_then(|(_, pool)| pool.upgrade());
    if let Some(pool) = known {
        return Ok(pool);
    }
    let threads = ThreadPoolBuilder::new()
        .num_threads(workers)
        .thread_name(|index| format!("mill-worker-{index}"))
        .build()
        .map_err(|error| Error::new(ErrorKind::Io, format!("starting {workers} worker threads: {error}")))?;
    let turns = Arc::new(Turns::default());
    let pool = Arc::new(Pool { threads, runs: turns.join(ONLINE_SHARE), turns });
    pools.push((workers, Arc::downgrade(&pool)));
    Ok(pool)
}

impl Pool {
    /// The number of workers.
    pub(crate) fn workers(&self) -> usize {
        self.threads.current_num_threads()
    }

    /// Whether the calling thread is one of the workers.
    pub(crate) fn is_here(&self) -> bool {
        self.threads.current_thread_index().is_some()
    }

    /// Adds a member with this share.
    pub(crate) fn join(&self, share: u32) -> Member {
        self.turns.join(share)
    }

    /// Runs `work` on a worker as one turn of the single runs.
    pub(crate) fn run<R: Send>(self: &Arc<Self>, work: impl FnOnce() -> R + Send) -> R {
        self.run_as(&self.runs, work)
    }

    /// Runs `work` on a worker as the one turn of a member of its own, as a load is.
    pub(crate) fn run_once<R: Send>(self: &Arc<Self>, work: impl FnOnce() -> R + Send) -> R {
        self.run_as(&self.join(ONLINE_SHARE), work)
    }

    fn run_as<R: Send>(self: &Arc<Self>, member: &Member, work: impl FnOnce() -> R + Send) -> R {
        if self.is_here() {
            return work();
        }
        member.announce();
        self.threads.install(|| member.run_announced(self, || false, work))
    }

    /// Lets a pump wait for its turns.
    pub(crate) fn push(self: &Arc<Self>, member: &Member, pump: Pump) {
        member.push(self, pump);
    }

    /// Lets a turn of `work` wait, as a pump with a single turn.
    pub(crate) fn push_once(self: &Arc<Self>, member: &Member, work: impl FnOnce() + Send + 'static) {
        let mut work = Some(work);
        self.push(
            member,
            Box::new(move || {
                if let Some(work) = work.take() {
                    work();
                }
                false
            }),
        );
    }

    /// Runs `work` on every worker, outside all turns.
    pub(crate) fn broadcast(&self, work: impl Fn() + Send + Sync + 'static) {
        self.threads.spawn_broadcast(move |_| work());
    }

    /// Runs `work` with a scope in which borrowing tasks can be spawned.
    pub(crate) fn scope<'s, R>(&self, work: impl FnOnce(&Scope<'s>) -> R) -> R {
        self.threads.in_place_scope(work)
    }

    /// On a worker that waits for `member`: runs some of the work that waits; false on other
    /// threads.
    pub(crate) fn help(self: &Arc<Self>, member: &Member) -> bool {
        if !self.is_here() {
            return false;
        }
        if !member.help(self) {
            std::thread::yield_now();
        }
        true
    }
}

impl Workers for Arc<Pool> {
    fn count(&self) -> usize {
        self.workers()
    }
    fn spawn_lane(&self) {
        let pool = Arc::clone(self);
        self.threads.spawn(move || pool.turns.lane(&pool));
    }
    fn run_any(&self) -> bool {
        self.threads.yield_now() == Some(Yield::Executed)
    }
    fn run_own(&self) {
        self.threads.yield_local();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg_attr(miri, ignore = "starts threads")]
    fn one_pool_a_worker_count() {
        let (a, b, c) = (pool(Some(3)).unwrap(), pool(Some(3)).unwrap(), pool(Some(2)).unwrap());
        assert!(Arc::ptr_eq(&a, &b) && !Arc::ptr_eq(&a, &c));
        assert_eq!((a.workers(), c.workers()), (3, 2));
        let name = a.run(|| std::thread::current().name().map(str::to_owned));
        assert!(name.is_some_and(|name| name.starts_with("mill-worker-")));
    }

    #[test]
    #[cfg_attr(miri, ignore = "starts threads")]
    fn a_load_within_a_load_has_its_pool() {
        let outer = load_pool(Some(5)).unwrap();
        assert_eq!(outer.workers(), 5);
        let inner = outer.run_once(|| load_pool(None).unwrap());
        assert!(Arc::ptr_eq(&outer, &inner));
    }
}
