//! Python's functions as models.

use std::cell::Cell;

use gristmill::{
    Error, ErrorKind, Inference, Result, Slots,
    bulk::{Bulk, CancelToken},
};
use pyo3::{
    Bound, Py, PyAny, PyResult, Python,
    exceptions::PyValueError,
    pyfunction,
    types::{PyAnyMethods, PyList},
};

use crate::{
    job::check_process,
    results::{LastReport, OnError, Results, Source},
};

thread_local! {
    /// Whether this thread runs a function of Python for a job.
    static RUNS: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread is a worker that runs a function of Python.
pub(crate) fn is_worker() -> bool {
    RUNS.get()
}

/// A function of one item, or of a list of them.
struct Function {
    function: Py<PyAny>,
    of_lists: bool,
}

impl Function {
    fn each(&self, py: Python<'_>, chunk: &[&Py<PyAny>], out: &mut Slots<'_, Py<PyAny>>) {
        let function = self.function.bind(py);
        for (index, item) in chunk.iter().enumerate() {
            match function.call1((item.bind(py),)) {
                Ok(result) => out.set(index, result.unbind()),
                Err(error) => out.fail(index, Error::user(error)),
            }
        }
    }

    fn list(&self, py: Python<'_>, chunk: &[&Py<PyAny>], out: &mut Slots<'_, Py<PyAny>>) -> PyResult<()> {
        let items = PyList::new(py, chunk.iter().map(|item| item.bind(py)))?;
        let results = self.function.bind(py).call1((items,))?.try_iter()?.collect::<PyResult<Vec<_>>>()?;
        if results.len() != chunk.len() {
            let message = format!("the function returned {} results for {} items", results.len(), chunk.len());
            return Err(PyValueError::new_err(message));
        }
        results.into_iter().enumerate().for_each(|(index, result)| out.set(index, result.unbind()));
        Ok(())
    }
}

impl Inference for Function {
    type Input = Py<PyAny>;
    type Output = Py<PyAny>;

    fn infer(&self, chunk: &[&Py<PyAny>], out: &mut Slots<'_, Py<PyAny>>) -> Result<()> {
        let outer = RUNS.replace(true);
        let done = Python::try_attach(|py| {
            if !self.of_lists {
                self.each(py, chunk, out);
                return Ok(());
            }
            self.list(py, chunk, out).map_err(Error::user)
        });
        RUNS.set(outer);
        done.unwrap_or_else(|| Err(Error::new(ErrorKind::Cancelled, "the interpreter ends")))
    }
}

/// The results of a function for the items of an iterable; with `of_lists` it is called with lists of them.
#[pyfunction]
#[pyo3(signature = (function, items, of_lists, on_error, window, workers))]
pub(crate) fn map_function(
    py: Python<'_>,
    function: Py<PyAny>,
    items: &Bound<'_, PyAny>,
    of_lists: bool,
    on_error: &str,
    window: Option<usize>,
    workers: Option<usize>,
) -> PyResult<Results> {
    check_process(py)?;
    let on_error = OnError::named(on_error)?;
    let source = Source::new(items, Box::new(|item| Ok(item.clone().unbind())))?;
    let token = CancelToken::new();
    let mut bulk = Bulk::new(Function { function, of_lists }).cancel(token.clone());
    if let Some(workers) = workers {
        bulk = bulk.workers(workers);
    }
    if let Some(items) = window {
        bulk = bulk.window(items);
    }
    let start = |source| bulk.stream_results(source);
    Ok(Results::new(source, token, on_error, LastReport::default(), start, |_, result| Ok(result)))
}
