//! Texts to the weights of the vocabulary's words.

use std::path::PathBuf;

use gristmill::text::{self, SparseOptions};
use pyo3::{Bound, PyResult, Python, pyclass, pymethods, types::PyByteArray};

use crate::{
    errors::failed,
    job::check_process,
    texts::{Text, bytes, prompt, run, session},
};

/// A sparse embedding model of a Hugging Face folder.
#[pyclass(frozen, module = "gristmill._native")]
pub(crate) struct SparseEmbedder {
    embedder: text::SparseEmbedder,
    workers: Option<usize>,
}

/// The weights of texts, one text behind the other: as the bytes of f32 the weights, as those of i64 their words and
/// where the weights of each text begin, and the report as JSON.
type Weights<'py> = (Bound<'py, PyByteArray>, Bound<'py, PyByteArray>, Bound<'py, PyByteArray>, String);

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
        let mut options = SparseOptions::default().session(session(py, device, precision)?);
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

    /// The weights of texts.
    fn encode<'py>(&self, py: Python<'py>, texts: Vec<Text>) -> PyResult<Weights<'py>> {
        let (vectors, report) = run(py, self.embedder.bulk(), self.workers, &texts)?;
        let mut starts = vec![0i64];
        let mut words: Vec<i64> = Vec::new();
        for vector in &vectors {
            words.extend(vector.weights.iter().map(|(word, _)| i64::from(*word)));
            starts.push(words.len() as i64);
        }
        let weights = vectors.iter().flat_map(|vector| vector.weights.iter().map(|(_, weight)| *weight));
        Ok((bytes(py, words.len(), weights)?, integers(py, &words)?, integers(py, &starts)?, report))
    }
}

fn integers<'py>(py: Python<'py>, numbers: &[i64]) -> PyResult<Bound<'py, PyByteArray>> {
    PyByteArray::new_with(py, size_of_val(numbers), |to| {
        for (to, number) in to.chunks_exact_mut(size_of::<i64>()).zip(numbers) {
            to.copy_from_slice(&number.to_ne_bytes());
        }
        Ok(())
    })
}
