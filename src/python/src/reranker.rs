//! Pairs of a query and a document to scores.

use std::{path::PathBuf, sync::Arc};

use gristmill::text::{self, ClassifierOptions};
use pyo3::{Bound, PyResult, Python, pybacked::PyBackedStr, pyclass, pymethods, types::PyByteArray};

use crate::{
    errors::failed,
    job::check_process,
    texts::{bytes, prompt, run, scores, session},
};

/// A model of a Hugging Face folder that scores pairs.
#[pyclass(frozen, module = "gristmill._native")]
pub(crate) struct Reranker {
    pub(crate) reranker: text::Reranker,
    pub(crate) workers: Option<usize>,
}

#[pymethods]
impl Reranker {
    #[new]
    #[pyo3(signature = (path, device, precision, workers, function_to_apply, query_prompt, query_prompt_name, max_tokens))]
    #[expect(clippy::too_many_arguments, reason = "each is one of the Python half")]
    fn new(
        py: Python<'_>,
        path: PathBuf,
        device: &str,
        precision: &str,
        workers: Option<usize>,
        function_to_apply: Option<&str>,
        query_prompt: Option<String>,
        query_prompt_name: Option<String>,
        max_tokens: Option<usize>,
    ) -> PyResult<Self> {
        check_process(py)?;
        let mut options = ClassifierOptions::default().session(session(py, device, precision)?);
        options.scores = function_to_apply.map(|name| scores(py, name)).transpose()?;
        options.max_tokens = max_tokens;
        options.prompt = prompt(query_prompt, query_prompt_name);
        let opened = py.detach(|| text::Reranker::open_with(&path, &options));
        Ok(Self { reranker: opened.map_err(|error| failed(py, &error))?, workers })
    }

    /// Tokens to which a pair is truncated.
    #[getter]
    fn max_tokens(&self) -> usize {
        self.reranker.max_tokens()
    }

    /// The scores of pairs, as the bytes of f32, and the report as JSON.
    fn predict<'py>(
        &self,
        py: Python<'py>,
        pairs: Vec<(PyBackedStr, PyBackedStr)>,
    ) -> PyResult<(Bound<'py, PyByteArray>, String)> {
        let pairs: Vec<(Arc<str>, Arc<str>)> =
            pairs.iter().map(|(query, document)| ((**query).into(), (**document).into())).collect();
        let (scores, report) = run(py, self.reranker.bulk(), self.workers, &pairs)?;
        Ok((bytes(py, scores.len(), scores)?, report))
    }
}
