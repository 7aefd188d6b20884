//! Pairs of texts to the scores of classes.

use std::{path::PathBuf, sync::Arc};

use gristmill::text;
use pyo3::{Bound, Py, PyAny, PyResult, Python, pybacked::PyBackedStr, pyclass, pymethods};

use crate::{
    arrays,
    errors::failed,
    job::{JobReport, all, check_process, run},
    options::{self, session},
};

/// A model of a Hugging Face folder that classifies pairs of texts.
#[pyclass(frozen, module = "gristmill._native")]
pub(crate) struct PairClassifier {
    classifier: text::PairClassifier,
    workers: Option<usize>,
}

#[pymethods]
impl PairClassifier {
    #[new]
    #[pyo3(signature = (path, device, precision, workers, function_to_apply, max_tokens))]
    fn new(
        py: Python<'_>,
        path: PathBuf,
        device: &str,
        precision: &str,
        workers: Option<usize>,
        function_to_apply: Option<&str>,
        max_tokens: Option<usize>,
    ) -> PyResult<Self> {
        check_process(py)?;
        let session = session(py, device, precision, workers)?;
        let options = options::classifier(py, session, function_to_apply, max_tokens)?;
        let opened = py.detach(|| text::PairClassifier::open_with(&path, &options));
        Ok(Self { classifier: opened.map_err(|error| failed(py, &error))?, workers })
    }

    /// The names of the classes.
    #[getter]
    fn labels(&self) -> Vec<&str> {
        self.classifier.labels().iter().map(|label| &**label).collect()
    }

    /// Tokens to which a pair is truncated.
    #[getter]
    fn max_tokens(&self) -> usize {
        self.classifier.max_tokens()
    }

    /// The scores of all classes of each pair, and the report.
    fn classify<'py>(
        &self,
        py: Python<'py>,
        pairs: Vec<(PyBackedStr, PyBackedStr)>,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<(Bound<'py, PyAny>, JobReport)> {
        let pairs: Vec<(Arc<str>, Arc<str>)> =
            pairs.iter().map(|(first, second)| ((**first).into(), (**second).into())).collect();
        let (classes, report) = run(py, self.classifier.bulk(), self.workers, progress, &pairs)?;
        let scores = all(py, classes)?.into_iter().flat_map(|class| class.scores).collect();
        Ok((arrays::vectors(py, scores, self.classifier.labels().len())?, JobReport(report)))
    }
}
