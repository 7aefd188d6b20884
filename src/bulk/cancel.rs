//! Stopping a job from outside.

use std::sync::Arc;

use crate::bulk::sync::atomic::{AtomicBool, Ordering};

/// Stops the jobs that use it, between chunks; clones stop the same jobs.
///
/// Finished results are still returned. Items that were pulled and not run become errors of kind
/// [`ErrorKind::Cancelled`](crate::ErrorKind::Cancelled), and no more items are pulled.
#[derive(Clone, Debug, Default)]
pub struct CancelToken(Arc<AtomicBool>);

impl CancelToken {
    /// Makes a token that is not cancelled.
    pub fn new() -> Self {
        Self::default()
    }

    /// Stops the jobs; may be called from any thread, any number of times.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether [`cancel`](Self::cancel) was called.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
