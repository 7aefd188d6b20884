//! Options by the names that Python has for them.

use gristmill::{
    ErrorKind, SessionOptions, Weights,
    text::{ClassifierOptions, Prompt, Scores},
};
use pyo3::{PyResult, Python};

use crate::errors::{failed, wrong};

/// Session options by their names, with as many threads to load as to run.
pub(crate) fn session(
    py: Python<'_>,
    device: &str,
    precision: &str,
    workers: Option<usize>,
) -> PyResult<SessionOptions> {
    let device = device.parse().map_err(|error| failed(py, &error))?;
    let precision = precision.parse().map_err(|error| failed(py, &error))?;
    let mut options = SessionOptions::on(device).precision(precision);
    options.workers = workers;
    Ok(options)
}

/// A classifier's or reranker's options by their names.
pub(crate) fn classifier(
    py: Python<'_>,
    session: SessionOptions,
    function_to_apply: Option<&str>,
    max_tokens: Option<usize>,
) -> PyResult<ClassifierOptions> {
    let mut options = ClassifierOptions::default().session(session);
    options.scores = function_to_apply.map(|name| scores(py, name)).transpose()?;
    options.max_tokens = max_tokens;
    Ok(options)
}

/// Where weights stay, by its name.
pub(crate) fn place(py: Python<'_>, name: &str) -> PyResult<Weights> {
    match name {
        "own" => Ok(Weights::Own),
        "mapped" => Ok(Weights::Mapped),
        _ => {
            let message = format!("weights is {name:?}; known are \"own\" and \"mapped\"");
            Err(wrong(py, ErrorKind::InvalidInput, message))
        }
    }
}

/// The prompt that is a text or has a name; the folder's default prompt without either.
pub(crate) fn prompt(text: Option<String>, name: Option<String>) -> Prompt {
    match (text, name) {
        (Some(text), _) => Prompt::Text(text),
        (None, Some(name)) => Prompt::Named(name),
        (None, None) => Prompt::Default,
    }
}

/// The prompt of one call, if it has one.
pub(crate) fn own_prompt(text: Option<String>, name: Option<String>) -> Option<Prompt> {
    (text.is_some() || name.is_some()).then(|| prompt(text, name))
}

/// How scores are made, by the names of `transformers`.
pub(crate) fn scores(py: Python<'_>, name: &str) -> PyResult<Scores> {
    let own = if name == "none" { "raw" } else { name };
    own.parse().map_err(|_| {
        let message = format!("function_to_apply is \"none\", \"sigmoid\" or \"softmax\", not {name:?}");
        wrong(py, ErrorKind::InvalidInput, message)
    })
}
