//! Work without the interpreter's lock, which Ctrl-C ends.

use std::{
    borrow::Borrow,
    sync::{
        atomic::{AtomicU32, AtomicUsize, Ordering},
        mpsc::{RecvTimeoutError, channel},
    },
    thread,
    time::Duration,
};

use gristmill::{
    ErrorKind, Inference, ItemError,
    bulk::{Bulk, CancelToken, Plain, Progress, Report, Staged, Stages},
};
use pyo3::{Py, PyAny, PyErr, PyResult, Python, pyclass, pymethods};

use crate::{
    errors::{item_failed, wrong},
    events::hand_on,
    function::is_worker,
};

/// How often a signal is looked for.
pub(crate) const LOOK: Duration = Duration::from_millis(50);

/// Runs `work` on a thread of its own; a pending signal cancels `token`, and its exception is returned.
///
/// Within a function of Python that a job runs it is the thread's own work.
pub(crate) fn interruptible<T: Send>(
    py: Python<'_>,
    token: &CancelToken,
    work: impl FnOnce() -> T + Send,
) -> PyResult<T> {
    hand_on(py)?;
    if is_worker() {
        // Its job has the signals; a thread more would wait for the workers, of which this is one.
        return Ok(py.detach(work));
    }
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
                    && let Err(error) = Python::attach(|py| hand_on(py).and_then(|()| py.check_signals()))
                {
                    token.cancel();
                    signal = Some(error);
                }
            }
            let result = worker.join();
            signal.map_or(Ok(result), Err)
        })
    });
    hand_on(py)?;
    result?.map_err(|_| wrong(py, ErrorKind::Panic, "a job panicked".to_owned()))
}

/// A job of a model that `token` stops.
pub(crate) fn bulk<M: Inference>(model: M, workers: Option<usize>, token: &CancelToken) -> Bulk<Plain<M>> {
    let bulk = Bulk::new(model).cancel(token.clone());
    match workers {
        Some(workers) => bulk.workers(workers),
        None => bulk,
    }
}

/// What became of each item, in order.
pub(crate) type Each<T> = Vec<Result<T, ItemError>>;

/// What became of each item, and the report; Ctrl-C ends the job.
///
/// `progress` is called with the number of items done since its last call.
pub(crate) fn run<'i, S, I>(
    py: Python<'_>,
    bulk: Bulk<S>,
    workers: Option<usize>,
    progress: Option<Py<PyAny>>,
    items: &'i [I],
) -> PyResult<(Each<S::Output>, Report)>
where
    S: Staged + Stages<&'i <S as Staged>::Item>,
    <S as Staged>::Item: Sync + 'i,
    I: Borrow<<S as Staged>::Item> + Sync,
{
    check_process(py)?;
    let token = CancelToken::new();
    let mut bulk = bulk.cancel(token.clone());
    if let Some(workers) = workers {
        bulk = bulk.workers(workers);
    }
    if let Some(progress) = progress {
        bulk = bulk.progress(counted(progress));
    }
    interruptible(py, &token, || bulk.run(items))
}

/// The results of all items, or the error of the first that failed.
pub(crate) fn all<T>(py: Python<'_>, results: Each<T>) -> PyResult<Vec<T>> {
    results.into_iter().collect::<Result<_, _>>().map_err(|error| item_failed(py, &error))
}

/// What a call did, as JSON where it is asked for: for the model's fingerprint all its files are read.
#[pyclass(frozen, module = "gristmill._native")]
pub(crate) struct JobReport(pub(crate) Report);

#[pymethods]
impl JobReport {
    fn json(&self, py: Python<'_>) -> PyResult<String> {
        json(py, &self.0)
    }
}

/// A report as JSON.
pub(crate) fn json(py: Python<'_>, report: &Report) -> PyResult<String> {
    serde_json::to_string(report).map_err(|error| wrong(py, ErrorKind::Internal, error.to_string()))
}

/// Progress that calls `update` with the number of items done since its last call.
///
/// What it raises is printed, as from a destructor.
fn counted(update: Py<PyAny>) -> impl Fn(&Progress) + Send + Sync + 'static {
    let done = AtomicUsize::new(0);
    move |progress| {
        let more = progress.items - done.swap(progress.items, Ordering::Relaxed);
        Python::attach(|py| {
            if let Err(error) = update.call1(py, (more,)) {
                error.write_unraisable(py, None);
            }
        });
    }
}

/// Refuses a process that was forked after this package opened its first model: its threads are not there.
///
/// Every call begins here, so that what the logger wants is read here too.
pub(crate) fn check_process(py: Python<'_>) -> PyResult<()> {
    hand_on(py)?;
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
