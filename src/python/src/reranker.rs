//! Pairs of a query and a document to scores.

use std::{path::PathBuf, sync::Arc};

use gristmill::text::{self, Prompt};
use numpy::{IntoPyArray, PyArray1};
use pyo3::{Bound, Py, PyAny, PyResult, Python, pybacked::PyBackedStr, pyclass, pymethods};

use crate::{
    arrow::Texts,
    errors::failed,
    job::{JobReport, all, check_process, run},
    options::{self, own_prompt, prompt, session},
    texts::in_places,
};

/// A model of a Hugging Face folder that scores pairs.
#[pyclass(frozen, module = "gristmill._native")]
pub(crate) struct Reranker {
    pub(crate) reranker: text::Reranker,
    pub(crate) workers: Option<usize>,
}

/// Scores, and the report.
type Scores<'py> = (Bound<'py, PyArray1<f32>>, JobReport);

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
        let session = session(py, device, precision, workers)?;
        let mut options = options::classifier(py, session, function_to_apply, max_tokens)?;
        options.prompt = prompt(query_prompt, query_prompt_name);
        let opened = py.detach(|| text::Reranker::open_with(&path, &options));
        Ok(Self { reranker: opened.map_err(|error| failed(py, &error))?, workers })
    }

    /// Tokens to which a pair is truncated.
    #[getter]
    fn max_tokens(&self) -> usize {
        self.reranker.max_tokens()
    }

    /// The scores of pairs, and the report.
    fn predict<'py>(
        &self,
        py: Python<'py>,
        pairs: Vec<(PyBackedStr, PyBackedStr)>,
        prompt: Option<String>,
        prompt_name: Option<String>,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<Scores<'py>> {
        let pairs: Vec<(Arc<str>, Arc<str>)> =
            pairs.iter().map(|(query, document)| ((**query).into(), (**document).into())).collect();
        self.scores(py, &pairs, &[], own_prompt(prompt, prompt_name), progress)
    }

    /// The scores of documents for a query, and the report.
    fn rank<'py>(
        &self,
        py: Python<'py>,
        documents: Texts,
        query: &str,
        prompt: Option<String>,
        prompt_name: Option<String>,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<Scores<'py>> {
        let query: Arc<str> = query.into();
        let (documents, absent) = documents.present();
        let pairs: Vec<(Arc<str>, Arc<str>)> =
            documents.into_iter().map(|document| (query.clone(), document.into())).collect();
        self.scores(py, &pairs, &absent, own_prompt(prompt, prompt_name), progress)
    }
}

impl Reranker {
    /// The scores of pairs; at the places `absent` is none, which is an error.
    fn scores<'py>(
        &self,
        py: Python<'py>,
        pairs: &[(Arc<str>, Arc<str>)],
        absent: &[usize],
        prompt: Option<Prompt>,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<Scores<'py>> {
        let reranker = match prompt {
            Some(prompt) => self.reranker.with_prompt(&prompt).map_err(|error| failed(py, &error))?,
            None => self.reranker.clone(),
        };
        let (scores, report) = run(py, reranker.bulk(), self.workers, progress, pairs)?;
        let scores = all(py, in_places(scores, absent))?;
        Ok((scores.into_pyarray(py), JobReport(report)))
    }
}
