//! Texts to vectors.

use std::path::PathBuf;

use gristmill::text::{self, EmbedderOptions, Prompt};
use pyo3::{Bound, PyResult, Python, pyclass, pymethods, types::PyByteArray};

use crate::{
    errors::failed,
    job::check_process,
    texts::{Text, bytes, run, session},
};

/// An embedding model of a Hugging Face folder.
#[pyclass(frozen, module = "gristmill._native")]
pub(crate) struct Embedder {
    pub(crate) embedder: text::Embedder,
    pub(crate) workers: Option<usize>,
}

#[pymethods]
impl Embedder {
    #[new]
    #[pyo3(signature = (path, device, precision, workers, truncate_dim, max_tokens))]
    fn new(
        py: Python<'_>,
        path: PathBuf,
        device: &str,
        precision: &str,
        workers: Option<usize>,
        truncate_dim: Option<usize>,
        max_tokens: Option<usize>,
    ) -> PyResult<Self> {
        check_process(py)?;
        let mut options = EmbedderOptions::default().session(session(py, device, precision)?);
        if let Some(dimension) = truncate_dim {
            options = options.truncate_dim(dimension);
        }
        if let Some(tokens) = max_tokens {
            options = options.max_tokens(tokens);
        }
        let opened = py.detach(|| text::Embedder::open_with(&path, &options));
        Ok(Self { embedder: opened.map_err(|error| failed(py, &error))?, workers })
    }

    /// Numbers of a vector.
    #[getter]
    fn dimension(&self) -> usize {
        self.embedder.dimension()
    }

    /// Tokens to which a text is truncated.
    #[getter]
    fn max_tokens(&self) -> usize {
        self.embedder.max_tokens()
    }

    /// The prompts of the folder by name.
    #[getter]
    fn prompts(&self) -> std::collections::BTreeMap<String, String> {
        self.embedder.prompts().named.clone()
    }

    /// The vectors of texts, as the bytes of f32, and the report as JSON.
    ///
    /// `prompt` is a text, `prompt_name` one of the folder's, `task` "query" or "document"; at most one is given.
    fn encode<'py>(
        &self,
        py: Python<'py>,
        texts: Vec<Text>,
        prompt: Option<String>,
        prompt_name: Option<String>,
        task: Option<&str>,
    ) -> PyResult<(Bound<'py, PyByteArray>, String)> {
        let embedder = match (prompt, prompt_name, task) {
            (Some(prompt), ..) => self.embedder.with_prompt(&Prompt::Text(prompt)),
            (None, Some(name), _) => self.embedder.with_prompt(&Prompt::Named(name)),
            (None, None, Some("query")) => self.embedder.queries(),
            (None, None, Some("document")) => self.embedder.documents(),
            (None, None, _) => Ok(self.embedder.clone()),
        };
        let embedder = embedder.map_err(|error| failed(py, &error))?;
        let (vectors, report) = run(py, embedder.bulk(), self.workers, &texts)?;
        let count = vectors.len() * embedder.dimension();
        Ok((bytes(py, count, vectors.into_iter().flatten())?, report))
    }
}
