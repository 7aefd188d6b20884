//! Locks and the clock of jobs and of the pool's turns: the standard ones or, with `--cfg shuttle`, those of the model
//! checker.
//!
//! The checker chooses every interleaving. Its `wait_timeout` never times out, so that a lost
//! wake-up shows as a deadlock instead of being repaired by the consumer's regular look at the
//! clock. Its clock stands still, so that a schedule can be replayed.

use std::time::Instant;

#[cfg(not(shuttle))]
pub(crate) use std::{
    sync::{Condvar, Mutex, MutexGuard, atomic},
    thread::LocalKey,
    thread_local,
};

#[cfg(shuttle)]
pub(crate) use shuttle::{
    sync::{Condvar, Mutex, MutexGuard, atomic},
    thread::LocalKey,
    thread_local,
};

/// The current time.
#[cfg(not(shuttle))]
#[inline]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Always the same time.
#[cfg(shuttle)]
pub(crate) fn now() -> Instant {
    static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    *START.get_or_init(Instant::now)
}
