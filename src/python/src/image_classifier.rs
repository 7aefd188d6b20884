//! Images to the scores of classes.

use std::path::PathBuf;

use gristmill::vision;
use pyo3::{Bound, IntoPyObjectExt, PyAny, PyResult, Python, pyclass, pymethods};

use crate::{
    arrays,
    errors::failed,
    images::{self, Asked},
    results::Results,
};

/// A model of a Hugging Face folder that classifies images.
#[pyclass(frozen, module = "gristmill._native")]
pub(crate) struct ImageClassifier {
    classifier: vision::ImageClassifier,
    workers: Option<usize>,
}

#[pymethods]
impl ImageClassifier {
    #[new]
    #[pyo3(signature = (path, device, precision, workers, max_pixels, weights))]
    fn new(
        py: Python<'_>,
        path: PathBuf,
        device: &str,
        precision: &str,
        workers: Option<usize>,
        max_pixels: Option<u64>,
        weights: &str,
    ) -> PyResult<Self> {
        let options = images::options(py, device, precision, workers, max_pixels, weights)?;
        let opened = py.detach(|| vision::ImageClassifier::open_with(&path, &options));
        Ok(Self { classifier: opened.map_err(|error| failed(py, &error))?, workers })
    }

    /// The names of the classes.
    #[getter]
    fn labels(&self) -> Vec<&str> {
        self.classifier.labels().iter().map(|label| &**label).collect()
    }

    /// The scores of all classes of the images of an iterable.
    fn map(
        &self,
        py: Python<'_>,
        images: &Bound<'_, PyAny>,
        on_error: &str,
        window: Option<usize>,
    ) -> PyResult<Results> {
        let asked = Asked { workers: self.workers, on_error, window };
        let give = |py: Python<'_>, class: vision::ImageClass| arrays::vector(py, class.scores).into_py_any(py);
        images::map(py, self.classifier.bulk(), images, &asked, give)
    }
}
