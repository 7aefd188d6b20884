//! Locks, threads and the clock of a job: the standard ones, or with `--cfg shuttle` the model checker's, under which
//! a test chooses every interleaving.
//!
//! The checker's `wait_timeout` never times out, so a wake-up that is lost shows as a deadlock instead of being healed
//! by the consumer's regular look at the clock; and its clock stands still, so that a schedule can be replayed.

use std::time::Instant;

#[cfg(not(shuttle))]
pub(super) use std::sync::{Condvar, Mutex, MutexGuard, atomic};

#[cfg(shuttle)]
pub(super) use shuttle::sync::{Condvar, Mutex, MutexGuard, atomic};

/// The time.
#[cfg(not(shuttle))]
#[inline]
pub(super) fn now() -> Instant {
    Instant::now()
}

/// The same time for ever.
#[cfg(shuttle)]
pub(super) fn now() -> Instant {
    static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    *START.get_or_init(Instant::now)
}
