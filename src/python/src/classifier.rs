//! Texts to the scores of classes.

use std::path::PathBuf;

use gristmill::text;
use pyo3::{Bound, Py, PyAny, PyResult, Python, pyclass, pymethods};

use crate::{
    arrays,
    arrow::Texts,
    errors::failed,
    job::{JobReport, all, check_process},
    options::{self, session},
    texts::run_texts,
};

/// A model of a Hugging Face folder that classifies texts.
#[pyclass(frozen, module = "gristmill._native")]
pub(crate) struct Classifier {
    pub(crate) classifier: text::Classifier,
    pub(crate) workers: Option<usize>,
}

#[pymethods]
impl Classifier {
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
        let opened = py.detach(|| text::Classifier::open_with(&path, &options));
        Ok(Self { classifier: opened.map_err(|error| failed(py, &error))?, workers })
    }

    /// The names of the classes.
    #[getter]
    fn labels(&self) -> Vec<&str> {
        self.classifier.labels().iter().map(|label| &**label).collect()
    }

    /// Tokens to which a text is truncated.
    #[getter]
    fn max_tokens(&self) -> usize {
        self.classifier.max_tokens()
    }

    /// The scores of all classes of each text, and the report.
    fn classify<'py>(
        &self,
        py: Python<'py>,
        texts: Texts,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<(Bound<'py, PyAny>, JobReport)> {
        let (classes, report) = run_texts(py, self.classifier.bulk(), self.workers, progress, &texts)?;
        let scores = all(py, classes)?.into_iter().flat_map(|class| class.scores).collect();
        Ok((arrays::vectors(py, scores, self.classifier.labels().len())?, report))
    }
}
