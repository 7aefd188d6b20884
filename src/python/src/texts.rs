//! What all classes for texts share: their options, a job that Ctrl-C ends, and numbers as bytes.

use std::borrow::Borrow;

use gristmill::{
    ErrorKind, SessionOptions,
    bulk::{Bulk, CancelToken, Report, Staged, Stages},
    text::{Prompt, Scores},
};
use pyo3::{Bound, PyResult, Python, pybacked::PyBackedStr, types::PyByteArray};

use crate::{
    errors::{failed, item_failed, wrong},
    job::{check_process, interruptible},
};

/// A text of Python, read in place.
#[derive(pyo3::FromPyObject)]
#[pyo3(transparent)]
pub(crate) struct Text(PyBackedStr);

impl Borrow<str> for Text {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// Session options by their names.
pub(crate) fn session(py: Python<'_>, device: &str, precision: &str) -> PyResult<SessionOptions> {
    let device = device.parse().map_err(|error| failed(py, &error))?;
    let precision = precision.parse().map_err(|error| failed(py, &error))?;
    Ok(SessionOptions::on(device).precision(precision))
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

/// The results of all items and the report as JSON, or the error of the first item that failed.
pub(crate) fn run<'i, S, I>(
    py: Python<'_>,
    bulk: Bulk<S>,
    workers: Option<usize>,
    items: &'i [I],
) -> PyResult<(Vec<S::Output>, String)>
where
    S: Staged + Stages<&'i <S as Staged>::Item>,
    <S as Staged>::Item: Sync + 'i,
    I: Borrow<<S as Staged>::Item> + Sync,
{
    check_process(py)?;
    let token = CancelToken::new();
    let mut bulk = bulk.cancel(token.clone());
    if let Some(workers) = workers {
        bulk = bulk.workers(workers);
    }
    let (results, report) = interruptible(py, &token, || bulk.run(items))?;
    let results = results.into_iter().collect::<Result<_, _>>().map_err(|error| item_failed(py, &error))?;
    Ok((results, json(py, &report)?))
}

/// A report as JSON.
pub(crate) fn json(py: Python<'_>, report: &Report) -> PyResult<String> {
    serde_json::to_string(report).map_err(|error| wrong(py, ErrorKind::Internal, error.to_string()))
}

/// Numbers as the bytes of f32.
pub(crate) fn bytes<'py>(
    py: Python<'py>,
    count: usize,
    numbers: impl IntoIterator<Item = f32>,
) -> PyResult<Bound<'py, PyByteArray>> {
    PyByteArray::new_with(py, count * size_of::<f32>(), |to| {
        for (to, number) in to.chunks_exact_mut(size_of::<f32>()).zip(numbers) {
            to.copy_from_slice(&number.to_ne_bytes());
        }
        Ok(())
    })
}
