//! Failures of the library as Python's exceptions.

use gristmill::ErrorKind;
use pyo3::{
    Bound, PyErr, PyResult, Python, create_exception,
    exceptions::{PyException, PyFileNotFoundError},
    types::{PyAnyMethods, PyType},
};

create_exception!(gristmill, Error, PyException, "Any failure of this package; `kind` says of which kind.");
create_exception!(gristmill, ItemError, Error, "The failure of one item: `index`, `stage` and `kind`.");

/// An exception for a failure of a model or a job.
pub(crate) fn failed(py: Python<'_>, error: &gristmill::Error) -> PyErr {
    let missing = error.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
    if missing == Some(std::io::ErrorKind::NotFound) {
        return PyFileNotFoundError::new_err(error.to_string());
    }
    made(&py.get_type::<Error>(), error.to_string(), &[("kind", format!("{:?}", error.kind()))], None)
}

/// An exception for something else: its kind, and what to say.
pub(crate) fn wrong(py: Python<'_>, kind: ErrorKind, message: String) -> PyErr {
    made(&py.get_type::<Error>(), message, &[("kind", format!("{kind:?}"))], None)
}

/// An exception for the failure of an item.
pub(crate) fn item_failed(py: Python<'_>, error: &gristmill::ItemError) -> PyErr {
    let texts = [("kind", format!("{:?}", error.source.kind())), ("stage", error.stage.to_string())];
    let failed = made(&py.get_type::<ItemError>(), error.to_string(), &texts, Some(error.index));
    if let Some(cause) = error.source.downcast_ref::<PyErr>() {
        failed.set_cause(py, Some(cause.clone_ref(py)));
    }
    failed
}

fn made(kind: &Bound<'_, PyType>, message: String, texts: &[(&str, String)], index: Option<usize>) -> PyErr {
    let with_attributes = || -> PyResult<PyErr> {
        let exception = kind.call1((message,))?;
        for (name, text) in texts {
            exception.setattr(*name, text)?;
        }
        if let Some(index) = index {
            exception.setattr("index", index)?;
        }
        Ok(PyErr::from_value(exception))
    };
    with_attributes().unwrap_or_else(|error| error)
}
