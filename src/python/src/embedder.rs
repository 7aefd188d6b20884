//! Texts to vectors.

use std::{borrow::Borrow, path::PathBuf};

use gristmill::{
    ErrorKind, SessionOptions,
    bulk::{CancelToken, Report},
    text::{self, EmbedderOptions, Prompt},
};
use pyo3::{Bound, PyResult, Python, pybacked::PyBackedStr, pyclass, pymethods, types::PyByteArray};

use crate::{
    errors::{failed, item_failed, wrong},
    job::{check_process, interruptible},
};

/// A text of Python, read in place.
struct Text(PyBackedStr);

impl Borrow<str> for Text {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// An embedding model of a Hugging Face folder.
#[pyclass(frozen, module = "gristmill._native")]
pub(crate) struct Embedder {
    embedder: text::Embedder,
    workers: Option<usize>,
}

/// Session options by their names.
pub(crate) fn session(py: Python<'_>, device: &str, precision: &str) -> PyResult<SessionOptions> {
    let device = device.parse().map_err(|error| failed(py, &error))?;
    let precision = precision.parse().map_err(|error| failed(py, &error))?;
    Ok(SessionOptions::on(device).precision(precision))
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
        texts: Vec<PyBackedStr>,
        prompt: Option<String>,
        prompt_name: Option<String>,
        task: Option<&str>,
    ) -> PyResult<(Bound<'py, PyByteArray>, String)> {
        check_process(py)?;
        let embedder = match (prompt, prompt_name, task) {
            (Some(prompt), ..) => self.embedder.with_prompt(&Prompt::Text(prompt)),
            (None, Some(name), _) => self.embedder.with_prompt(&Prompt::Named(name)),
            (None, None, Some("query")) => self.embedder.queries(),
            (None, None, Some("document")) => self.embedder.documents(),
            (None, None, _) => Ok(self.embedder.clone()),
        };
        let embedder = embedder.map_err(|error| failed(py, &error))?;
        let texts: Vec<Text> = texts.into_iter().map(Text).collect();
        let token = CancelToken::new();
        let mut bulk = embedder.bulk().cancel(token.clone());
        if let Some(workers) = self.workers {
            bulk = bulk.workers(workers);
        }
        let (vectors, report) = interruptible(py, &token, || bulk.run(&texts))?;
        let vectors: Vec<_> = vectors.into_iter().collect::<Result<_, _>>().map_err(|error| item_failed(py, &error))?;
        let bytes = vectors.len() * embedder.dimension() * size_of::<f32>();
        let made = PyByteArray::new_with(py, bytes, |to| {
            for (to, number) in to.chunks_exact_mut(size_of::<f32>()).zip(vectors.iter().flatten()) {
                to.copy_from_slice(&number.to_ne_bytes());
            }
            Ok(())
        })?;
        Ok((made, json(py, &report)?))
    }
}

/// A report as JSON.
pub(crate) fn json(py: Python<'_>, report: &Report) -> PyResult<String> {
    serde_json::to_string(report).map_err(|error| wrong(py, ErrorKind::Internal, error.to_string()))
}
