//! Texts to entities.

use std::path::PathBuf;

use gristmill::{
    ErrorKind,
    text::{self, TaggerOptions},
};
use pyo3::{IntoPyObject, Py, PyAny, PyResult, Python, pyclass, pymethods};

use crate::{
    arrow::Texts,
    errors::{failed, wrong},
    job::{JobReport, all, check_process},
    options::session,
    texts::run_texts,
};

/// A model of a Hugging Face folder that finds entities.
#[pyclass(frozen, module = "gristmill._native")]
pub(crate) struct Tagger {
    pub(crate) tagger: text::Tagger,
    pub(crate) workers: Option<usize>,
    by_token: bool,
}

/// An entity, as a dict with the keys of `transformers`: `entity` of a token, `entity_group` of an aggregated one.
#[derive(IntoPyObject)]
pub(crate) enum Entity {
    Token { entity: String, score: f32, word: String, start: usize, end: usize },
    Group { entity_group: String, score: f32, word: String, start: usize, end: usize },
}

#[pymethods]
impl Tagger {
    #[new]
    #[pyo3(signature = (path, device, precision, workers, aggregation_strategy, stride, ignore_labels, max_tokens))]
    #[expect(clippy::too_many_arguments, reason = "each is one of the Python half")]
    fn new(
        py: Python<'_>,
        path: PathBuf,
        device: &str,
        precision: &str,
        workers: Option<usize>,
        aggregation_strategy: &str,
        stride: Option<usize>,
        ignore_labels: Vec<String>,
        max_tokens: Option<usize>,
    ) -> PyResult<Self> {
        check_process(py)?;
        let mut options =
            TaggerOptions::default().session(session(py, device, precision, workers)?).ignored(ignore_labels);
        options.aggregation = aggregation_strategy.parse().map_err(|error| {
            wrong(py, ErrorKind::InvalidInput, format!("aggregation_strategy={aggregation_strategy:?}: {error}"))
        })?;
        options.overlap = stride;
        options.max_tokens = max_tokens;
        let by_token = options.aggregation == text::Aggregation::None;
        let opened = py.detach(|| text::Tagger::open_with(&path, &options));
        Ok(Self { tagger: opened.map_err(|error| failed(py, &error))?, workers, by_token })
    }

    /// The names of the tokens' classes.
    #[getter]
    fn labels(&self) -> Vec<&str> {
        self.tagger.labels().iter().map(|label| &**label).collect()
    }

    /// Tokens to which a text is truncated, or that a window has.
    #[getter]
    fn max_tokens(&self) -> usize {
        self.tagger.max_tokens()
    }

    /// The entities of each text, and the report.
    fn tag(
        &self,
        py: Python<'_>,
        texts: Texts,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<(Vec<Vec<Entity>>, JobReport)> {
        let (tagged, report) = run_texts(py, self.tagger.bulk(), self.workers, progress, &texts)?;
        let tagged = all(py, tagged)?;
        let entity = |found: text::Entity| {
            let (name, score, word) = (found.label.to_string(), found.score, found.word);
            let (start, end) = (found.characters.start, found.characters.end);
            match self.by_token {
                true => Entity::Token { entity: name, score, word, start, end },
                false => Entity::Group { entity_group: name, score, word, start, end },
            }
        };
        Ok((tagged.into_iter().map(|tagged| tagged.entities.into_iter().map(entity).collect()).collect(), report))
    }
}
