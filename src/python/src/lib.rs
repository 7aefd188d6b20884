//! The compiled half of the Python package `gristmill`: models and jobs over the library's public items.
//!
//! The Python half (`src/python/gristmill`) has the documented interface, and turns NumPy's arrays into bytes and back.

mod arrays;
mod embedder;
mod errors;
mod job;
mod model;

use pyo3::pymodule;

#[pymodule]
mod _native {
    #[pymodule_export]
    use super::{
        embedder::Embedder,
        errors::{Error, ItemError},
        model::Model,
    };
}
