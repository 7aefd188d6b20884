//! Stopping a job from outside.

use std::sync::Arc;

use crate::bulk::sync::atomic::{AtomicBool, Ordering};

/// Stops the jobs that were given it, between chunks; clones stop the same jobs.
///
/// What was done is still handed on; items that were pulled and not run become errors of kind
/// [`ErrorKind::Cancelled`](crate::ErrorKind::Cancelled), and nothing more is pulled.
#[derive(Clone, Debug, Default)]
pub struct CancelToken(Arc<AtomicBool>);

impl CancelToken {
    /// A token that nobody has used.
    pub fn new() -> Self {
        Self::default()
    }

    /// Stops the jobs. Safe to call from a signal handler's thread, any number of times.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether [`cancel`](Self::cancel) was called.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
