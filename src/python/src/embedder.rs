//! Texts to vectors.

use std::path::PathBuf;

use gristmill::text::{self, EmbedderOptions};
use pyo3::{Bound, Py, PyAny, PyResult, Python, pyclass, pymethods};

use crate::{
    arrays,
    arrow::Texts,
    errors::{failed, item_failed},
    job::{Each, JobReport, check_process},
    options::{own_prompt, place, session},
    texts::run_texts,
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
    #[expect(clippy::too_many_arguments, reason = "those of the Python half, by position")]
    #[pyo3(signature = (path, device, precision, workers, truncate_dim, max_tokens, weights, task))]
    fn new(
        py: Python<'_>,
        path: PathBuf,
        device: &str,
        precision: &str,
        workers: Option<usize>,
        truncate_dim: Option<usize>,
        max_tokens: Option<usize>,
        weights: &str,
        task: Option<String>,
    ) -> PyResult<Self> {
        check_process(py)?;
        let mut options =
            EmbedderOptions::default().session(session(py, device, precision, workers)?).weights(place(py, weights)?);
        options.folder.task = task;
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

    /// The vectors of texts, the places of texts that failed, which have zeros, and the report.
    ///
    /// `prompt` is a text, `prompt_name` one of the folder's; without either the folder's default stands before the
    /// texts. With `nulls` a failed text is no error. `progress` is called with the number of texts done since its last
    /// call.
    fn encode<'py>(
        &self,
        py: Python<'py>,
        texts: Texts,
        prompt: Option<String>,
        prompt_name: Option<String>,
        nulls: bool,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<(Bound<'py, PyAny>, Vec<usize>, JobReport)> {
        let embedder = match own_prompt(prompt, prompt_name) {
            Some(prompt) => self.embedder.with_prompt(&prompt),
            None => Ok(self.embedder.clone()),
        };
        let embedder = embedder.map_err(|error| failed(py, &error))?;
        let (results, report) = run_texts(py, embedder.bulk(), self.workers, progress, &texts)?;
        let (vectors, failed) = rows(py, results, embedder.dimension(), nulls)?;
        Ok((arrays::vectors(py, vectors, embedder.dimension())?, failed, report))
    }
}

/// Vectors one after another, and the places of those that failed, which have zeros if `nulls`.
fn rows(py: Python<'_>, results: Each<Vec<f32>>, dimension: usize, nulls: bool) -> PyResult<(Vec<f32>, Vec<usize>)> {
    let (mut vectors, mut failed) = (Vec::with_capacity(results.len() * dimension), Vec::new());
    for (place, result) in results.into_iter().enumerate() {
        match result {
            Ok(vector) => vectors.extend(vector),
            Err(error) if !nulls => return Err(item_failed(py, &error)),
            Err(_) => {
                failed.push(place);
                vectors.resize(vectors.len() + dimension, 0.0);
            }
        }
    }
    Ok((vectors, failed))
}
