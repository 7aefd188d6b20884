//! The results of a model over a table, batch by batch.

use std::{
    sync::{Arc, Mutex},
    thread::{self, ThreadId},
};

use arrow_array::{Array, ArrayRef, RecordBatch, RecordBatchReader, StructArray, ffi_stream::FFI_ArrowArrayStream};
use arrow_schema::{ArrowError, DataType, SchemaRef};
use gristmill::{ErrorKind, bulk::CancelToken};
use pyo3::{
    Bound, Py, PyAny, PyErr, PyRef, PyResult, Python,
    exceptions::PyValueError,
    pyclass, pymethods,
    types::{PyAnyMethods, PyCapsule},
};

use super::{
    batch::ArrowArray,
    capsule::{Reader, STREAM},
    table::{Failure, Table},
};
use crate::{
    errors::{failed, item_failed, wrong},
    job::{interruptible, json},
    results::LastReport,
};

/// Rows of a batch of results; longer ones of the source are cut.
const BATCH: usize = 1 << 16;

/// A job over the batches of a source.
struct Job {
    reader: Reader,
    table: Table,
    token: CancelToken,
    /// What is left of the source's last batch.
    rest: Option<ArrayRef>,
    /// Whether there were results.
    ran: bool,
    over: bool,
    last: LastReport,
    /// Where rows are counted, and those that are not counted yet.
    bar: Option<Py<PyAny>>,
    uncounted: usize,
}

/// Why there is no next batch.
enum Ended {
    Failed(Failure),
    Signal(PyErr),
}

impl Ended {
    fn into_error(self, py: Python<'_>) -> PyErr {
        match self {
            Self::Failed(Failure::Row(error)) => item_failed(py, &error),
            Self::Failed(Failure::All(error)) => failed(py, &error),
            Self::Signal(error) => error,
        }
    }
}

impl Job {
    /// The next rows of the source.
    fn read(&mut self) -> Result<Option<ArrayRef>, Failure> {
        while self.rest.as_ref().is_none_or(|rest| rest.is_empty()) {
            match self.reader.next()? {
                Some(array) => self.rest = Some(array),
                None => return Ok(None),
            }
        }
        let Some(rest) = self.rest.take() else { return Ok(None) };
        let rows = rest.len().min(BATCH);
        self.rest = Some(rest.slice(rows, rest.len() - rows));
        Ok(Some(rest.slice(0, rows)))
    }

    /// The next results, by `run` on the table and the rows.
    fn next(
        &mut self,
        run: impl FnOnce(&mut Table, &ArrayRef) -> Result<RecordBatch, Ended>,
    ) -> Result<Option<RecordBatch>, Ended> {
        if self.over {
            return Ok(None);
        }
        let next = match self.read().map_err(Ended::Failed) {
            Ok(Some(rows)) => run(&mut self.table, &rows).map(Some),
            // A source without rows still has columns.
            Ok(None) if !self.ran => self.table.none().map(Some).map_err(|error| Ended::Failed(Failure::All(error))),
            other => other.map(|_| None),
        };
        self.ran = true;
        if let Some(report) = &self.table.report {
            self.last.set(report.clone());
        }
        self.over = !matches!(next, Ok(Some(_)));
        if let Ok(Some(batch)) = &next {
            self.uncounted += batch.num_rows();
        }
        next
    }

    /// The next results, which Ctrl-C ends.
    fn next_here(&mut self, py: Python<'_>) -> Result<Option<RecordBatch>, Ended> {
        let token = self.token.clone();
        let next = py.detach(|| {
            self.next(|table, rows| {
                let ran = Python::attach(|py| interruptible(py, &token, || table.run(rows)));
                ran.map_err(Ended::Signal)?.map_err(Ended::Failed)
            })
        });
        self.count(py);
        next
    }

    /// Shows on the bar what came since the last call; what the bar raises is printed, as from a destructor.
    fn count(&mut self, py: Python<'_>) {
        let Some(bar) = &self.bar else { return };
        let mut shown = bar.call_method1(py, "update", (std::mem::take(&mut self.uncounted),));
        if self.over {
            shown = shown.and_then(|_| bar.call_method0(py, "close"));
            self.bar = None;
        }
        if let Err(error) = shown {
            error.write_unraisable(py, None);
        }
    }
}

/// The results of a model over a table: an iterator over batches, and a stream for takers of Arrow's data.
#[pyclass(frozen, module = "gristmill")]
pub(crate) struct ArrowResults {
    /// `None` once a stream has it.
    job: Mutex<Option<Job>>,
}

impl ArrowResults {
    /// The results of `table` over what `source` has.
    pub(crate) fn new(
        source: &Bound<'_, PyAny>,
        table: Table,
        token: CancelToken,
        last: LastReport,
        bar: Option<Py<PyAny>>,
    ) -> PyResult<Self> {
        let reader = Reader::of(source)?;
        let job = Job { reader, table, token, rest: None, ran: false, over: false, last, bar, uncounted: 0 };
        Ok(Self { job: Mutex::new(Some(job)) })
    }

    fn with<T>(&self, run: impl FnOnce(&mut Option<Job>) -> PyResult<T>) -> PyResult<T> {
        match self.job.try_lock() {
            Ok(mut job) => run(&mut job),
            Err(_) => Err(PyValueError::new_err("another thread is taking a result")),
        }
    }
}

#[pymethods]
impl ArrowResults {
    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    /// The next batch of results.
    fn __next__(&self, py: Python<'_>) -> PyResult<Option<ArrowArray>> {
        self.with(|job| {
            // The columns of a source without rows are for streams alone.
            let Some(job) = job.as_mut() else { return Ok(None) };
            let next = job.next_here(py).map_err(|ended| ended.into_error(py))?;
            let next = next.filter(|batch| batch.num_rows() > 0);
            Ok(next.map(|batch| ArrowArray::new(Arc::new(StructArray::from(batch)))))
        })
    }

    /// What the job did so far: rows, failures, device, precision and times.
    fn report<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.with(|job| {
            let report = job.as_ref().and_then(|job| job.table.report.as_ref());
            let report = report.map(|report| json(py, report)).transpose()?;
            report.map(|report| py.import("json")?.call_method1("loads", (report,))).transpose()
        })
    }

    /// The results as a stream, which takes them away from here; `requested_schema` is a wish that is not granted.
    #[pyo3(signature = (requested_schema=None))]
    fn __arrow_c_stream__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyCapsule>> {
        let _ = requested_schema;
        let job = self.with(|job| Ok(job.take()))?.filter(|job| !job.over);
        let Some(mut job) = job else {
            return Err(wrong(py, ErrorKind::InvalidInput, "the results were taken already".to_owned()));
        };
        let next = job.next_here(py).map_err(|ended| ended.into_error(py))?;
        let next = next.map_or_else(|| job.table.none().map_err(|error| failed(py, &error)), Ok)?;
        let batches = Batches { schema: next.schema(), next: Some(next), job, thread: thread::current().id() };
        PyCapsule::new_with_value(py, FFI_ArrowArrayStream::new(Box::new(batches)), STREAM)
    }
}

/// Results that a consumer pulls through Arrow's stream.
struct Batches {
    schema: SchemaRef,
    next: Option<RecordBatch>,
    job: Job,
    /// The thread that asked for the stream: on it, signals are looked for.
    thread: ThreadId,
}

impl Batches {
    fn pull(&mut self) -> Result<Option<RecordBatch>, ArrowError> {
        if let Some(batch) = self.next.take() {
            return Ok(Some(batch));
        }
        // Another thread may be waited for by one that has the interpreter's lock.
        let next = if thread::current().id() == self.thread {
            Python::attach(|py| self.job.next_here(py).map_err(|ended| ended.into_error(py).to_string()))
        } else {
            self.job.next(|table, rows| table.run(rows).map_err(Ended::Failed)).map_err(|ended| match ended {
                Ended::Failed(Failure::Row(error)) => error.to_string(),
                Ended::Failed(Failure::All(error)) => error.to_string(),
                Ended::Signal(_) => "interrupted".to_owned(),
            })
        };
        // The message goes to C.
        let next = next.map_err(|message| ArrowError::ExternalError(message.replace('\0', " ").into()))?;
        match next {
            Some(batch) if batch.schema() != self.schema => {
                let schema = batch.schema();
                let (own, first) = (types(&schema), types(&self.schema));
                Err(ArrowError::SchemaError(format!("a later batch has columns of {own:?}, the first of {first:?}")))
            }
            next => Ok(next),
        }
    }
}

fn types(schema: &SchemaRef) -> Vec<&DataType> {
    schema.fields().iter().map(|field| field.data_type()).collect()
}

impl Iterator for Batches {
    type Item = Result<RecordBatch, ArrowError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.pull().transpose()
    }
}

impl RecordBatchReader for Batches {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }
}
