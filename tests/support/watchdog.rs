//! A deadlock must not look like a slow machine.

use std::{process, sync::mpsc, thread, time::Duration};

/// Ends the process, saying which job it was, if a job is still under way after a time.
pub struct Watchdog {
    /// Gone with the job, which tells the dog.
    _done: mpsc::Sender<()>,
}

impl Watchdog {
    pub fn new(patience: Duration, job: String) -> Self {
        let (done, told) = mpsc::channel();
        thread::spawn(move || {
            if told.recv_timeout(patience) == Err(mpsc::RecvTimeoutError::Timeout) {
                eprintln!("no end after {patience:?}: {job}");
                process::abort();
            }
        });
        Self { _done: done }
    }
}
