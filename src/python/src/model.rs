//! ONNX models on named arrays.

use std::{path::PathBuf, sync::Arc};

use gristmill::{
    ItemError, Session, Tensors,
    bulk::{Bulk, CancelToken},
};
use pyo3::{Bound, PyResult, Python, pyclass, pymethods, types::PyAny};

use crate::{
    arrays::{Given, Made, array, tensor},
    errors::{failed, item_failed},
    job::{check_process, interruptible},
    texts::{json, session},
};

/// A loaded ONNX model.
#[pyclass(frozen, module = "gristmill._native")]
pub(crate) struct Model {
    pub(crate) session: Arc<Session>,
    pub(crate) workers: Option<usize>,
}

#[pymethods]
impl Model {
    #[new]
    #[pyo3(signature = (path, device, precision, workers))]
    fn new(py: Python<'_>, path: PathBuf, device: &str, precision: &str, workers: Option<usize>) -> PyResult<Self> {
        check_process(py)?;
        let options = session(py, device, precision)?;
        let open = || gristmill::Model::open(&path)?.session(&options);
        let session = py.detach(open).map_err(|error| failed(py, &error))?;
        Ok(Self { session: Arc::new(session), workers })
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

    /// The results of items, each a list of arrays or an exception, and the report as JSON.
    ///
    /// `indexes` has the place of each item in the caller's job.
    fn run<'py>(
        &self,
        py: Python<'py>,
        items: Vec<Vec<Given>>,
        indexes: Vec<usize>,
    ) -> PyResult<(Vec<ItemResult<'py>>, String)> {
        check_process(py)?;
        let mut tensors = Vec::with_capacity(items.len());
        for item in &items {
            let mut named = Tensors::new();
            for given in item {
                named.insert(given.0.as_str(), tensor(py, given)?);
            }
            tensors.push(named);
        }
        let token = CancelToken::new();
        let mut bulk = Bulk::new(self.session.clone()).cancel(token.clone());
        if let Some(workers) = self.workers {
            bulk = bulk.workers(workers);
        }
        let (results, report) = interruptible(py, &token, || bulk.run(&tensors))?;
        let made = |tensors: Tensors| -> PyResult<_> {
            tensors.iter().map(|(name, tensor)| array(py, name, tensor)).collect()
        };
        let of = |result: Result<Tensors, ItemError>| {
            let result = result.map_err(|error| {
                let index = indexes.get(error.index).copied().unwrap_or(error.index);
                item_failed(py, &ItemError { index, ..error })
            });
            match result.and_then(made) {
                Ok(arrays) => ItemResult::Made(arrays),
                Err(error) => ItemResult::Failed(error.into_value(py).into_bound(py).into_any()),
            }
        };
        Ok((results.into_iter().map(of).collect(), json(py, &report)?))
    }
}

/// What became of an item.
#[derive(pyo3::IntoPyObject)]
pub(crate) enum ItemResult<'py> {
    Made(Vec<Made<'py>>),
    Failed(Bound<'py, PyAny>),
}
