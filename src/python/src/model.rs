//! ONNX models on named arrays.

use std::{path::PathBuf, sync::Arc};

use arrow_array::StructArray;
use gristmill::{
    Error, ErrorKind, ImportOptions, ItemError, Session, Stage, Tensors,
    bulk::{Bulk, CancelToken},
};
use pyo3::{
    Bound, Py, PyErr, PyResult, Python,
    exceptions::{PyException, PyValueError},
    pyclass, pymethods,
    types::{PyAny, PyString},
};

use crate::{
    arrays::{self, Names},
    arrow::{ArrowArray, ArrowResults, Reader, Table, is_arrow},
    errors::{failed, item_failed, wrong},
    job::{bulk, check_process, run},
    options::session,
    results::{LastReport, OnError, Results, Source},
};

/// What the caller says of the inputs' sizes: `names_apart`, `ranks` and `shapes` of the import options.
type Sizes = (bool, Vec<(String, usize)>, Vec<(String, Vec<Option<usize>>)>);

/// A loaded ONNX model.
#[pyclass(frozen, module = "gristmill._native")]
pub(crate) struct Model {
    pub(crate) session: Arc<Session>,
    pub(crate) workers: Option<usize>,
    names: Arc<Names>,
    last: LastReport,
}

#[pymethods]
impl Model {
    #[new]
    #[pyo3(signature = (path, device, precision, workers, sizes))]
    fn new(
        py: Python<'_>,
        path: PathBuf,
        device: &str,
        precision: &str,
        workers: Option<usize>,
        sizes: Sizes,
    ) -> PyResult<Self> {
        check_process(py)?;
        let options = session(py, device, precision, workers)?;
        let mut import = ImportOptions::default();
        (import.names_apart, import.ranks, import.shapes) = sizes;
        let open = || gristmill::Model::open_with(&path, &import)?.session(&options);
        let session = py.detach(open).map_err(|error| failed(py, &error))?;
        let names = Names {
            inputs: session.inputs().map(|(name, _)| name.into()).collect(),
            outputs: session
                .outputs()
                .map(|(name, _)| (name.to_owned(), PyString::intern(py, name).unbind()))
                .collect(),
        };
        Ok(Self { session: Arc::new(session), workers, names: Arc::new(names), last: LastReport::default() })
    }

    /// The names of the inputs.
    #[getter]
    fn inputs(&self) -> Vec<String> {
        self.session.inputs().map(|(name, _)| name.to_owned()).collect()
    }

    /// The names of the outputs.
    #[getter]
    fn outputs(&self) -> Vec<String> {
        self.session.outputs().map(|(name, _)| name.to_owned()).collect()
    }

    /// The arrays of one result, or a table of them if `inputs` is one.
    fn run<'py>(&self, py: Python<'py>, inputs: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        check_process(py)?;
        if is_arrow(inputs)? {
            return self.run_table(py, inputs);
        }
        let tensors = arrays::tensors(&self.names, inputs).map_err(|error| unread(py, error))?;
        let result = self.run_one(py, tensors)?;
        arrays::arrays(py, &self.names, result)
    }

    /// The results of the items of an iterable, or of the rows of a table, which are counted on `bar`.
    fn map<'py>(
        &self,
        py: Python<'py>,
        items: &Bound<'py, PyAny>,
        on_error: &str,
        window: Option<usize>,
        bar: Option<Py<PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        check_process(py)?;
        let on_error = OnError::named(on_error)?;
        if is_arrow(items)? {
            let results = self.map_table(items, on_error, window, bar)?;
            return Ok(Bound::new(py, results)?.into_any());
        }
        let names = self.names.clone();
        let source = Source::new(items, Box::new(move |item| arrays::tensors(&names, item)))?;
        let token = CancelToken::new();
        let mut bulk = bulk(self.session.clone(), self.workers, &token);
        if let Some(items) = window {
            bulk = bulk.window(items);
        }
        let names = self.names.clone();
        let give = move |py: Python<'_>, tensors| Ok(arrays::arrays(py, &names, tensors)?.unbind());
        let start = |source| bulk.stream_results(source);
        let results = Results::new(source, token, on_error, self.last.clone(), start, give);
        Ok(Bound::new(py, results)?.into_any())
    }

    /// The report of the last run or job that ended, as JSON.
    fn report(&self, py: Python<'_>) -> PyResult<Option<String>> {
        self.last.json(py)
    }
}

impl Model {
    fn map_table(
        &self,
        source: &Bound<'_, PyAny>,
        on_error: OnError,
        window: Option<usize>,
        bar: Option<Py<PyAny>>,
    ) -> PyResult<ArrowResults> {
        if matches!(on_error, OnError::Collect) {
            return Err(PyValueError::new_err("on_error='collect' needs items: no column has exceptions"));
        }
        let token = CancelToken::new();
        let nulls = matches!(on_error, OnError::Null);
        let table = Table::new(&self.session, self.workers, &token, window, nulls);
        ArrowResults::new(source, table, token, self.last.clone(), bar)
    }

    /// Runs all rows of a table as one item.
    fn run_table<'py>(&self, py: Python<'py>, inputs: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let table = Table::new(&self.session, self.workers, &CancelToken::new(), None, false);
        let item = Reader::of(inputs)?.all(py).and_then(|arrays| table.item(&arrays));
        let (item, rows) = item.map_err(|error| failed(py, &error))?;
        let result = self.run_one(py, item)?;
        let batch = table.result(result, rows).map_err(|error| failed(py, &error))?;
        Ok(Bound::new(py, ArrowArray::new(Arc::new(StructArray::from(batch))))?.into_any())
    }

    /// Runs one item.
    fn run_one(&self, py: Python<'_>, item: Tensors) -> PyResult<Tensors> {
        let (mut results, report) = run(py, Bulk::new(self.session.clone()), self.workers, None, &[item])?;
        self.last.set(report);
        let result = results.pop().ok_or_else(|| wrong(py, ErrorKind::Internal, "a run gave no result".to_owned()))?;
        result.map_err(|error| item_failed(py, &error))
    }
}

/// The failure of the only item, whose arrays could not be read; other exceptions than errors stay as they are.
fn unread(py: Python<'_>, error: PyErr) -> PyErr {
    if !error.is_instance_of::<PyException>(py) {
        return error;
    }
    let source = Error::invalid_input(error.value(py).to_string());
    item_failed(py, &ItemError { index: 0, stage: Stage::Read, source })
}
