//! Work without the interpreter's lock, which Ctrl-C ends.

use std::{
    sync::{
        atomic::{AtomicU32, Ordering},
        mpsc::{RecvTimeoutError, channel},
    },
    thread,
    time::Duration,
};

use gristmill::{ErrorKind, bulk::CancelToken};
use pyo3::{PyErr, PyResult, Python};

use crate::errors::wrong;

/// How often a signal is looked for.
const LOOK: Duration = Duration::from_millis(50);

/// Runs `work` on a thread of its own; a pending signal cancels `token`, and its exception is returned.
pub(crate) fn interruptible<T: Send>(
    py: Python<'_>,
    token: &CancelToken,
    work: impl FnOnce() -> T + Send,
) -> PyResult<T> {
    let result = py.detach(|| {
        thread::scope(|scope| {
            let (done, wait) = channel();
            let worker = scope.spawn(move || {
                let result = work();
                // Nobody waits where a signal came first.
                let _ = done.send(());
                result
            });
            let mut signal: Option<PyErr> = None;
            while let Err(RecvTimeoutError::Timeout) = wait.recv_timeout(LOOK) {
                if signal.is_none()
                    && let Err(error) = Python::attach(|py| py.check_signals())
                {
                    token.cancel();
                    signal = Some(error);
                }
            }
            let result = worker.join();
            signal.map_or(Ok(result), Err)
        })
    });
    result?.map_err(|_| wrong(py, ErrorKind::Panic, "a job panicked".to_owned()))
}

/// Refuses a process that was forked after this package opened its first model: its threads are not there.
pub(crate) fn check_process(py: Python<'_>) -> PyResult<()> {
    static OWNER: AtomicU32 = AtomicU32::new(0);
    let own = std::process::id();
    match OWNER.compare_exchange(0, own, Ordering::Relaxed, Ordering::Relaxed) {
        Err(owner) if owner != own => {
            let message = "this process was forked from one that had used this package, and lacks its threads; start \
                           processes with multiprocessing's \"spawn\" or \"forkserver\", or fork before";
            Err(wrong(py, ErrorKind::Unsupported, message.to_owned()))
        }
        _ => Ok(()),
    }
}
