//! Texts to the vectors of their tokens.

use std::path::PathBuf;

use gristmill::text::{self, TokenOptions};
use pyo3::{Bound, Py, PyAny, PyResult, Python, pyclass, pymethods};

use crate::{
    arrays,
    arrow::Texts,
    errors::failed,
    job::{JobReport, all, check_process},
    options::session,
    texts::run_texts,
};

/// A late-interaction model of a folder.
#[pyclass(frozen, module = "gristmill._native")]
pub(crate) struct TokenEmbedder {
    documents: text::TokenEmbedder,
    workers: Option<usize>,
}

#[pymethods]
impl TokenEmbedder {
    #[new]
    #[pyo3(signature = (path, device, precision, workers, max_tokens))]
    fn new(
        py: Python<'_>,
        path: PathBuf,
        device: &str,
        precision: &str,
        workers: Option<usize>,
        max_tokens: Option<usize>,
    ) -> PyResult<Self> {
        check_process(py)?;
        let mut options = TokenOptions::default().session(session(py, device, precision, workers)?);
        options.max_tokens = max_tokens;
        let opened = py.detach(|| text::TokenEmbedder::open_with(&path, &options));
        Ok(Self { documents: opened.map_err(|error| failed(py, &error))?, workers })
    }

    /// Numbers of a vector.
    #[getter]
    fn dimension(&self) -> usize {
        self.documents.dimension()
    }

    /// Tokens to which a document is truncated.
    #[getter]
    fn max_tokens(&self) -> usize {
        self.documents.max_tokens()
    }

    /// The vectors of each text's tokens, and the report.
    fn encode<'py>(
        &self,
        py: Python<'py>,
        texts: Texts,
        queries: bool,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<(Vec<Bound<'py, PyAny>>, JobReport)> {
        let embedder = if queries { self.documents.queries() } else { Ok(self.documents.clone()) };
        let embedder = embedder.map_err(|error| failed(py, &error))?;
        let (texts, report) = run_texts(py, embedder.bulk(), self.workers, progress, &texts)?;
        let vectors = all(py, texts)?;
        let made = vectors.iter().map(|text| arrays::vectors(py, text.numbers().to_vec(), embedder.dimension()));
        Ok((made.collect::<PyResult<_>>()?, report))
    }
}
