//! Texts to the weights of the vocabulary's words.

use std::path::PathBuf;

use gristmill::text::{self, SparseOptions};
use numpy::{IntoPyArray, PyArray1};
use pyo3::{Bound, Py, PyAny, PyResult, Python, pyclass, pymethods};

use crate::{
    arrow::Texts,
    errors::failed,
    job::{JobReport, all, check_process},
    options::{own_prompt, prompt, session},
    texts::run_texts,
};

/// A sparse embedding model of a Hugging Face folder.
#[pyclass(frozen, module = "gristmill._native")]
pub(crate) struct SparseEmbedder {
    embedder: text::SparseEmbedder,
    workers: Option<usize>,
}

/// The weights of texts, one text behind the other, their words, where the weights of each text begin, and the report as
/// JSON.
type Weights<'py> = (Bound<'py, PyArray1<f32>>, Bound<'py, PyArray1<i64>>, Bound<'py, PyArray1<i64>>, JobReport);

#[pymethods]
impl SparseEmbedder {
    #[new]
    #[pyo3(signature = (path, device, precision, workers, prompt_text, prompt_name, max_active_dims, max_tokens))]
    #[expect(clippy::too_many_arguments, reason = "each is one of the Python half")]
    fn new(
        py: Python<'_>,
        path: PathBuf,
        device: &str,
        precision: &str,
        workers: Option<usize>,
        prompt_text: Option<String>,
        prompt_name: Option<String>,
        max_active_dims: Option<usize>,
        max_tokens: Option<usize>,
    ) -> PyResult<Self> {
        check_process(py)?;
        let mut options = SparseOptions::default().session(session(py, device, precision, workers)?);
        options.prompt = prompt(prompt_text, prompt_name);
        options.max_weights = max_active_dims;
        options.max_tokens = max_tokens;
        let opened = py.detach(|| text::SparseEmbedder::open_with(&path, &options));
        Ok(Self { embedder: opened.map_err(|error| failed(py, &error))?, workers })
    }

    /// Words of the vocabulary.
    #[getter]
    fn dimension(&self) -> usize {
        self.embedder.dimension()
    }

    /// Tokens to which a text is truncated.
    #[getter]
    fn max_tokens(&self) -> usize {
        self.embedder.max_tokens()
    }

    /// The words with these token ids.
    fn words(&self, ids: Vec<u32>) -> Vec<String> {
        ids.into_iter().map(|id| self.embedder.word(id)).collect()
    }

    /// The weights of texts; without a prompt `side`, "query" or "document", chooses the one that the folder has for it.
    fn encode<'py>(
        &self,
        py: Python<'py>,
        texts: Texts,
        prompt: Option<String>,
        prompt_name: Option<String>,
        side: Option<&str>,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<Weights<'py>> {
        let embedder = match (own_prompt(prompt, prompt_name), side) {
            (Some(prompt), _) => self.embedder.with_prompt(&prompt),
            (None, Some("query")) => self.embedder.queries(),
            (None, Some("document")) => self.embedder.documents(),
            (None, _) => Ok(self.embedder.clone()),
        };
        let embedder = embedder.map_err(|error| failed(py, &error))?;
        let (vectors, report) = run_texts(py, embedder.bulk(), self.workers, progress, &texts)?;
        let (mut weights, mut words, mut starts) = (Vec::new(), Vec::new(), vec![0]);
        for vector in all(py, vectors)? {
            weights.extend(vector.weights.iter().map(|(_, weight)| *weight));
            words.extend(vector.weights.iter().map(|(word, _)| i64::from(*word)));
            starts.push(words.len() as i64);
        }
        Ok((weights.into_pyarray(py), words.into_pyarray(py), starts.into_pyarray(py), report))
    }
}
