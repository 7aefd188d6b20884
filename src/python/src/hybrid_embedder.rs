//! Texts to what several heads find of them.

use std::path::PathBuf;

use gristmill::text::{self, HybridOptions};
use pyo3::{Bound, Py, PyAny, PyResult, Python, pyclass, pymethods};

use crate::{
    arrays,
    arrow::Texts,
    errors::failed,
    job::{JobReport, all, check_process},
    options::session,
    texts::run_texts,
};

/// An embedding model of a folder with several heads.
#[pyclass(frozen, module = "gristmill._native")]
pub(crate) struct HybridEmbedder {
    embedder: text::HybridEmbedder,
    heads: [bool; 3],
    workers: Option<usize>,
}

/// The vectors of texts, the words of each with their weights, the vectors of each's tokens, and the report.
type Found<'py> = (Option<Bound<'py, PyAny>>, Option<Vec<Vec<(u32, f32)>>>, Option<Vec<Bound<'py, PyAny>>>, JobReport);

#[pymethods]
impl HybridEmbedder {
    #[new]
    #[pyo3(signature = (path, device, precision, workers, heads, max_tokens))]
    fn new(
        py: Python<'_>,
        path: PathBuf,
        device: &str,
        precision: &str,
        workers: Option<usize>,
        heads: [bool; 3],
        max_tokens: Option<usize>,
    ) -> PyResult<Self> {
        check_process(py)?;
        let mut options = HybridOptions::default().session(session(py, device, precision, workers)?);
        [options.vector, options.words, options.token_vectors] = heads;
        options.max_tokens = max_tokens;
        let opened = py.detach(|| text::HybridEmbedder::open_with(&path, &options));
        Ok(Self { embedder: opened.map_err(|error| failed(py, &error))?, heads, workers })
    }

    /// Tokens to which a text is truncated.
    #[getter]
    fn max_tokens(&self) -> usize {
        self.embedder.max_tokens()
    }

    /// What the heads find of texts; `side`, "query" or "document", chooses the prompt that the folder has for it.
    fn encode<'py>(
        &self,
        py: Python<'py>,
        texts: Texts,
        side: Option<&str>,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<Found<'py>> {
        let embedder = match side {
            Some("query") => self.embedder.queries(),
            Some("document") => self.embedder.documents(),
            _ => Ok(self.embedder.clone()),
        };
        let embedder = embedder.map_err(|error| failed(py, &error))?;
        let (found, report) = run_texts(py, embedder.bulk(), self.workers, progress, &texts)?;
        let (dimension, width) = (embedder.dimension().unwrap_or(0), embedder.token_dimension().unwrap_or(0));
        let (mut vectors, mut words, mut tokens) = (Vec::new(), Vec::new(), Vec::new());
        for text in all(py, found)? {
            vectors.extend(text.vector.into_iter().flatten());
            words.extend(text.words.map(|words| words.weights));
            if let Some(own) = text.token_vectors {
                tokens.push(arrays::vectors(py, own.numbers().to_vec(), width)?);
            }
        }
        let [vector, word, token] = self.heads;
        let vectors = vector.then(|| arrays::vectors(py, vectors, dimension)).transpose()?;
        Ok((vectors, word.then_some(words), token.then_some(tokens), report))
    }
}
