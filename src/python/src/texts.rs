//! Runs over texts of Python or of a column of Arrow's.

use gristmill::{
    Error, ItemError, Stage,
    bulk::{Bulk, Staged, Stages},
};
use pyo3::{Py, PyAny, PyResult, Python};

use crate::{
    arrow::Texts,
    job::{Each, JobReport, run},
};

/// What became of each text, in the caller's order, and the report.
///
/// `progress` is called with the number of texts done since its last call.
pub(crate) fn run_texts<S>(
    py: Python<'_>,
    bulk: Bulk<S>,
    workers: Option<usize>,
    progress: Option<Py<PyAny>>,
    texts: &Texts,
) -> PyResult<(Each<S::Output>, JobReport)>
where
    S: Staged<Item = str> + for<'t> Stages<&'t str>,
{
    let (present, absent) = texts.present();
    let (results, mut report) = run(py, bulk, workers, progress, &present)?;
    report.items += absent.len();
    report.errors += absent.len();
    Ok((in_places(results, &absent), JobReport(report)))
}

/// Results at the places of the caller's list, of which `absent` have no text.
pub(crate) fn in_places<T>(results: Each<T>, absent: &[usize]) -> Each<T> {
    let places = 0..results.len() + absent.len();
    let mut absent = absent.iter().copied().peekable();
    let mut results = results.into_iter();
    let at = |index| match absent.next_if_eq(&index) {
        Some(_) => Some(Err(ItemError { index, stage: Stage::Read, source: null() })),
        None => results.next().map(|result| result.map_err(|error| ItemError { index, ..error })),
    };
    places.filter_map(at).collect()
}

fn null() -> Error {
    Error::invalid_input("the text is null; leave such rows out, or pass on_error=\"null\" where it is taken")
}
