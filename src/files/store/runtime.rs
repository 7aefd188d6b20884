//! The thread on which requests to stores run.

use std::{
    future::{pending, poll_fn},
    io,
    pin::Pin,
    sync::{
        Mutex, PoisonError,
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::{Duration, Instant},
};

use futures_core::{Stream, stream::BoxStream};
use tokio::{
    runtime::{Builder, Handle},
    task::JoinHandle,
};

use crate::{
    bulk::CancelToken,
    error::{Error, ErrorKind},
};

/// How often a wait looks whether the job was cancelled.
const LOOK: Duration = Duration::from_millis(20);

/// Runs a future on the thread of the stores, and waits for its result; the caller may be on any thread.
///
/// # Errors
/// If the token is cancelled first, which drops the future.
pub(super) fn wait<T: Send + 'static>(
    cancel: &CancelToken,
    future: impl Future<Output = T> + Send + 'static,
) -> io::Result<T> {
    spawn(future)?.wait(cancel)
}

/// A future that runs on the thread of the stores until this is dropped.
#[derive(Debug)]
pub(super) struct Task<T> {
    running: JoinHandle<()>,
    receiver: mpsc::Receiver<T>,
}

/// Starts a future on the thread of the stores.
pub(super) fn spawn<T: Send + 'static>(future: impl Future<Output = T> + Send + 'static) -> io::Result<Task<T>> {
    let (sender, receiver) = mpsc::channel();
    let running = handle()?.spawn(async move { drop(sender.send(future.await)) });
    Ok(Task { running, receiver })
}

impl<T> Task<T> {
    /// Waits for the result.
    ///
    /// # Errors
    /// If the token is cancelled first, while the future goes on.
    pub(super) fn wait(&self, cancel: &CancelToken) -> io::Result<T> {
        loop {
            if cancel.is_cancelled() {
                return Err(io::Error::other(Error::new(ErrorKind::Cancelled, "the job was cancelled")));
            }
            if let Some(result) = self.wait_until(Instant::now() + LOOK)? {
                return Ok(result);
            }
        }
    }

    /// Waits for the result until a moment; `None` if it did not come.
    pub(super) fn wait_until(&self, end: Instant) -> io::Result<Option<T>> {
        match self.receiver.recv_timeout(end.saturating_duration_since(Instant::now())) {
            Ok(result) => Ok(Some(result)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err(io::Error::other("a request to a store panicked")),
        }
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        self.running.abort();
    }
}

/// The next of a stream.
pub(super) async fn next<T>(stream: &mut BoxStream<'static, T>) -> Option<T> {
    poll_fn(|context| Pin::new(&mut *stream).poll_next(context)).await
}

/// The runtime, whose thread begins with the first request and stays until the process ends.
fn handle() -> io::Result<Handle> {
    static RUNNING: Mutex<Option<Handle>> = Mutex::new(None);
    let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(handle) = &*running {
        return Ok(handle.clone());
    }
    let runtime = Builder::new_current_thread().thread_name("mill-stores-names").enable_all().build()?;
    let handle = runtime.handle().clone();
    let thread = thread::Builder::new().name("mill-stores".to_owned());
    thread.spawn(move || runtime.block_on(pending::<()>()))?;
    *running = Some(handle.clone());
    Ok(handle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_ends_with_its_job() {
        let cancel = CancelToken::new();
        let canceller = cancel.clone();
        let started = Instant::now();
        let other = thread::spawn(move || {
            thread::sleep(3 * LOOK);
            canceller.cancel();
        });
        assert!(wait(&cancel, pending::<()>()).unwrap_err().to_string().contains("cancelled"));
        assert!(started.elapsed() < Duration::from_secs(10));
        other.join().unwrap();
    }

    #[test]
    fn a_panic_is_an_error() {
        let panicking = async { panic!("planted") };
        assert!(wait::<()>(&CancelToken::new(), panicking).unwrap_err().to_string().contains("panicked"));
        assert_eq!(wait(&CancelToken::new(), async { 7 }).unwrap(), 7);
    }
}
