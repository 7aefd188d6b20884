//! The results of a job as an iterator: the thread that takes them pulls the items, and sees signals.

use std::{
    pin::Pin,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll, Wake, Waker},
};

use futures_core::Stream;
use gristmill::{
    Error, ErrorKind, ItemError,
    bulk::{CancelToken, Report, ResultStream},
};
use pyo3::{
    Bound, Py, PyAny, PyErr, PyRef, PyResult, Python,
    exceptions::{PyException, PyValueError},
    pyclass, pymethods,
    types::{PyAnyMethods, PyIterator},
};

use crate::{
    errors::{item_failed, wrong},
    events::hand_on,
    function::is_worker,
    job::{LOOK, json},
};

/// Makes an item of a Python object.
pub(crate) type Take<I> = Box<dyn Fn(&Bound<'_, PyAny>) -> PyResult<I> + Send + Sync>;

/// The items of a Python iterator.
pub(crate) struct Source<I> {
    items: Py<PyIterator>,
    len: Option<usize>,
    take: Take<I>,
    raised: Arc<Raised>,
}

/// What the iterator raised.
#[derive(Default)]
pub(crate) struct Raised {
    error: Mutex<Option<PyErr>>,
    /// Whether the job ends here, as for `KeyboardInterrupt`, rather than behind the items before.
    now: AtomicBool,
}

impl Raised {
    fn set(&self, py: Python<'_>, error: PyErr) {
        self.now.store(!error.is_instance_of::<PyException>(py), Relaxed);
        *locked(&self.error) = Some(error);
    }

    fn take(&self) -> Option<PyErr> {
        locked(&self.error).take()
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<I> Source<I> {
    /// The items of an iterable, each made by `take`.
    pub(crate) fn new(items: &Bound<'_, PyAny>, take: Take<I>) -> PyResult<Self> {
        let len = items.len().ok();
        Ok(Self { items: items.try_iter()?.unbind(), len, take, raised: Arc::default() })
    }

    fn next(&self, py: Python<'_>) -> Option<Result<I, Error>> {
        let item = match self.items.bind(py).clone().next()? {
            Ok(item) => item,
            Err(error) => {
                self.raised.set(py, error);
                return None;
            }
        };
        match (self.take)(&item) {
            Ok(item) => Some(Ok(item)),
            Err(error) if error.is_instance_of::<PyException>(py) => {
                Some(Err(Error::invalid_input(error.value(py).to_string())))
            }
            Err(error) => {
                self.raised.set(py, error);
                None
            }
        }
    }
}

impl<I> Stream for Source<I> {
    type Item = Result<I, Error>;

    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(Python::attach(|py| self.next(py)))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.len.map_or((0, None), |len| (len, Some(len)))
    }
}

/// Wakes the thread that waits for a result.
#[derive(Default)]
struct Bell {
    rung: Mutex<bool>,
    changed: Condvar,
}

impl Bell {
    fn wait(&self) {
        let rung = locked(&self.rung);
        let waited = self.changed.wait_timeout_while(rung, LOOK, |rung| !*rung);
        *waited.unwrap_or_else(PoisonError::into_inner).0 = false;
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        *locked(&self.rung) = true;
        self.changed.notify_one();
    }
}

/// A job whose results are Python objects.
trait Job: Send {
    /// The next result without waiting.
    fn poll(&mut self, py: Python<'_>, context: &mut Context<'_>) -> Poll<Option<Next>>;
    fn report(&self) -> Report;
}

/// A result, made of the model's only if it was one.
type Next = Result<PyResult<Py<PyAny>>, ItemError>;

struct Running<I, O, F> {
    stream: ResultStream<O, Source<I>>,
    give: F,
}

impl<I: Send, O: Send, F> Job for Running<I, O, F>
where
    F: Fn(Python<'_>, O) -> PyResult<Py<PyAny>> + Send,
{
    fn poll(&mut self, py: Python<'_>, context: &mut Context<'_>) -> Poll<Option<Next>> {
        let polled = Pin::new(&mut self.stream).poll_next(context);
        polled.map(|next| next.map(|result| result.map(|output| (self.give)(py, output))))
    }

    fn report(&self) -> Report {
        self.stream.report()
    }
}

/// What a failed item gives.
#[derive(Clone, Copy)]
pub(crate) enum OnError {
    Raise,
    Null,
    Collect,
}

impl OnError {
    pub(crate) fn named(name: &str) -> PyResult<Self> {
        match name {
            "raise" => Ok(Self::Raise),
            "null" => Ok(Self::Null),
            "collect" => Ok(Self::Collect),
            _ => Err(PyValueError::new_err(format!("on_error is 'raise', 'null' or 'collect', not {name:?}"))),
        }
    }
}

/// The report of the last job.
#[derive(Clone, Default)]
pub(crate) struct LastReport(Arc<Mutex<Option<Report>>>);

impl LastReport {
    pub(crate) fn set(&self, report: Report) {
        *locked(&self.0) = Some(report);
    }

    /// The report as JSON.
    pub(crate) fn json(&self, py: Python<'_>) -> PyResult<Option<String>> {
        locked(&self.0).as_ref().map(|report| json(py, report)).transpose()
    }
}

/// The results of items, in order, as they are taken.
#[pyclass(frozen, module = "gristmill")]
pub(crate) struct Results {
    /// `None` once it has ended.
    job: Mutex<Option<Box<dyn Job>>>,
    raised: Arc<Raised>,
    bell: Arc<Bell>,
    token: CancelToken,
    on_error: OnError,
    last: LastReport,
    own: LastReport,
}

impl Results {
    /// The results of a job that is made of `source`.
    pub(crate) fn new<I: Send + 'static, O: Send + 'static>(
        source: Source<I>,
        token: CancelToken,
        on_error: OnError,
        last: LastReport,
        start: impl FnOnce(Source<I>) -> ResultStream<O, Source<I>>,
        give: impl Fn(Python<'_>, O) -> PyResult<Py<PyAny>> + Send + 'static,
    ) -> Self {
        let raised = source.raised.clone();
        let job: Box<dyn Job> = Box::new(Running { stream: start(source), give });
        let own = LastReport::default();
        Self { job: Mutex::new(Some(job)), raised, bell: Arc::default(), token, on_error, last, own }
    }

    /// Ends the job, and keeps its report.
    fn end(&self, py: Python<'_>, job: &mut Option<Box<dyn Job>>) -> PyResult<()> {
        self.token.cancel();
        let Some(job) = job.take() else { return Ok(()) };
        self.own.set(job.report());
        self.last.set(job.report());
        // Whatever the job still holds is dropped without the interpreter's lock.
        py.detach(|| drop(job));
        hand_on(py)
    }
}

#[pymethods]
impl Results {
    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        let Ok(mut job) = self.job.try_lock() else {
            return Err(PyValueError::new_err("another thread is taking a result"));
        };
        if is_worker() {
            let message = "a function of `bulk` cannot wait for a map: the workers are its own; call `run` or `encode`";
            return Err(wrong(py, ErrorKind::Unsupported, message.to_owned()));
        }
        let waker = Waker::from(self.bell.clone());
        let mut context = Context::from_waker(&waker);
        loop {
            let Some(running) = job.as_mut() else { return Ok(None) };
            let polled = running.poll(py, &mut context);
            if self.raised.now.load(Relaxed)
                && let Some(error) = self.raised.take()
            {
                self.end(py, &mut job)?;
                return Err(error);
            }
            match polled {
                Poll::Ready(Some(Ok(result))) => return result.map(Some),
                Poll::Ready(Some(Err(error))) => match self.on_error {
                    OnError::Null => return Ok(Some(py.None())),
                    OnError::Collect => return Ok(Some(item_failed(py, &error).into_value(py).into_any())),
                    OnError::Raise => {
                        self.end(py, &mut job)?;
                        return Err(item_failed(py, &error));
                    }
                },
                Poll::Ready(None) => {
                    self.end(py, &mut job)?;
                    return self.raised.take().map_or(Ok(None), Err);
                }
                Poll::Pending => {
                    let bell = &self.bell;
                    py.detach(|| bell.wait());
                    if let Err(error) = hand_on(py).and_then(|()| py.check_signals()) {
                        self.end(py, &mut job)?;
                        return Err(error);
                    }
                }
            }
        }
    }

    /// What the job did so far: items, failures, device, precision and times.
    fn report<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let report = match self.job.try_lock().as_deref() {
            Ok(Some(job)) => Some(json(py, &job.report())?),
            _ => self.own.json(py)?,
        };
        report.map(|report| py.import("json")?.call_method1("loads", (report,))).transpose()
    }

    /// Ends the job: results that were not taken are dropped.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        match self.job.try_lock() {
            Ok(mut job) => self.end(py, &mut job),
            Err(_) => Err(PyValueError::new_err("another thread is taking a result")),
        }
    }
}

impl Drop for Results {
    fn drop(&mut self) {
        self.token.cancel();
        let Some(job) = self.job.get_mut().unwrap_or_else(PoisonError::into_inner).take() else { return };
        self.last.set(job.report());
        Python::attach(|py| py.detach(|| drop(job)));
    }
}
