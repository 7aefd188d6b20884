//! Options by the names that Python has for them.

use gristmill::{
    ErrorKind, SessionOptions, Weights,
    text::{Prompt, Scores},
};
use pyo3::{PyResult, Python};

use crate::errors::{failed, wrong};

/// Session options by their names.
pub(crate) fn session(py: Python<'_>, device: &str, precision: &str) -> PyResult<SessionOptions> {
    let device = device.parse().map_err(|error| failed(py, &error))?;
    let precision = precision.parse().map_err(|error| failed(py, &error))?;
    Ok(SessionOptions::on(device).precision(precision))
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

/// How scores are made, by the names of `transformers`.
pub(crate) fn scores(py: Python<'_>, name: &str) -> PyResult<Scores> {
    match name {
        "none" => Ok(Scores::Raw),
        "sigmoid" => Ok(Scores::Sigmoid),
        "softmax" => Ok(Scores::Softmax),
        other => {
            let message = format!("function_to_apply is \"none\", \"sigmoid\" or \"softmax\", not {other:?}");
            Err(wrong(py, ErrorKind::InvalidInput, message))
        }
    }
}
