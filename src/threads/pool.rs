//! The thread budget: one pool per worker count, shared by the whole process.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::{
    error::{Error, ErrorKind, Result},
    threads::platform,
};

/// The pool of `workers` threads, or of as many as can run at once.
///
/// It is started on first use and stopped with its last user.
///
/// # Errors
/// `Io` if threads cannot be started.
pub(crate) fn pool(workers: Option<usize>) -> Result<Arc<ThreadPool>> {
    static POOLS: Mutex<Vec<(usize, Weak<ThreadPool>)>> = Mutex::new(Vec::new());
    let workers = workers.unwrap_or_else(platform::parallelism).max(1);
    let mut pools = POOLS.lock().unwrap_or_else(PoisonError::into_inner);
    pools.retain(|(_, pool)| pool.strong_count() > 0);
    let known = pools.iter().find(|(count, _)| *count == workers).and_then(|(_, pool)| pool.upgrade());
    if let Some(pool) = known {
        return Ok(pool);
    }
    let pool = ThreadPoolBuilder::new()
        .num_threads(workers)
        .thread_name(|index| format!("mill-worker-{index}"))
        .build()
        .map_err(|error| Error::new(ErrorKind::Io, format!("starting {workers} worker threads: {error}")))?;
    let pool = Arc::new(pool);
    pools.push((workers, Arc::downgrade(&pool)));
    Ok(pool)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg_attr(miri, ignore = "starts threads")]
    fn one_pool_a_worker_count() {
        let (a, b, c) = (pool(Some(3)).unwrap(), pool(Some(3)).unwrap(), pool(Some(2)).unwrap());
        assert!(Arc::ptr_eq(&a, &b) && !Arc::ptr_eq(&a, &c));
        assert_eq!((a.current_num_threads(), c.current_num_threads()), (3, 2));
        let name = a.install(|| std::thread::current().name().map(str::to_owned));
        assert!(name.is_some_and(|name| name.starts_with("mill-worker-")));
    }
}
