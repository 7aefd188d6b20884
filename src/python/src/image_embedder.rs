//! Images to vectors.

use std::path::PathBuf;

use gristmill::vision;
use pyo3::{Bound, IntoPyObjectExt, PyAny, PyResult, Python, pyclass, pymethods};

use crate::{
    arrays,
    errors::failed,
    images::{self, Asked},
    results::Results,
};

/// An image embedding model of a Hugging Face folder.
#[pyclass(frozen, module = "gristmill._native")]
pub(crate) struct ImageEmbedder {
    embedder: vision::ImageEmbedder,
    workers: Option<usize>,
}

#[pymethods]
impl ImageEmbedder {
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
        let opened = py.detach(|| vision::ImageEmbedder::open_with(&path, &options));
        Ok(Self { embedder: opened.map_err(|error| failed(py, &error))?, workers })
    }

    /// Numbers of a vector.
    #[getter]
    fn dimension(&self) -> usize {
        self.embedder.dimension()
    }

    /// The vectors of the images of an iterable.
    fn map(
        &self,
        py: Python<'_>,
        images: &Bound<'_, PyAny>,
        on_error: &str,
        window: Option<usize>,
    ) -> PyResult<Results> {
        let asked = Asked { workers: self.workers, on_error, window };
        images::map(py, self.embedder.bulk(), images, &asked, |py, vector| arrays::vector(py, vector).into_py_any(py))
    }
}
