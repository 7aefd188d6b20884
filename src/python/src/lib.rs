//! The compiled half of the Python package `gristmill`: models and jobs over the library's public items.
//!
//! The Python half (`src/python/gristmill`) has the documented interface, and turns NumPy's arrays into bytes and back.

mod arrays;
mod classifier;
mod commands;
mod embedder;
mod errors;
mod file_job;
mod job;
mod model;
mod reranker;
mod sparse_embedder;
mod tagger;
mod texts;
mod token_embedder;

use pyo3::pymodule;

#[pymodule]
mod _native {
    #[pymodule_export]
    use super::{
        classifier::Classifier,
        commands::command,
        embedder::Embedder,
        errors::{Error, ItemError},
        file_job::{run_job, verify_job},
        model::Model,
        reranker::Reranker,
        sparse_embedder::SparseEmbedder,
        tagger::Tagger,
        token_embedder::TokenEmbedder,
    };
}
