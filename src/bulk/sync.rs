//! Locks and the clock of a job: the standard ones or, with `--cfg shuttle`, those of the model
//! checker.
//!
//! The checker chooses every interleaving. Its `wait_timeout` never times out, so that a lost
//! wake-up shows as a deadlock instead of being repaired by the consumer's regular look at the
//! clock. Its clock stands still, so that a schedule can be replayed.

use std::time::Instant;

#[cfg(not(shuttle))]
pub(super) use std::sync::{Condvar, Mutex, MutexGuard, atomic};

#[cfg(shuttle)]
pub(super) use shuttle::sync::{Condvar, Mutex, MutexGuard, atomic};

/// The current time.
#[cfg(not(shuttle))]
#[inline]
pub(super) fn now() -> Instant {
    Instant::now()
}

/// Always the same time.
#[cfg(shuttle)]
pub(super) fn now() -> Instant {
    static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    *START.get_or_init(Instant::now)
}
