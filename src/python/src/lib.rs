//! The compiled half of the Python package `gristmill`: models and jobs over the library's public items.
//!
//! The Python half (`src/python/gristmill`) has the documented interface.

mod arrays;
mod arrow;
mod classifier;
mod commands;
mod embedder;
mod errors;
mod events;
#[cfg(feature = "files")]
mod file_job;
mod function;
mod hybrid_embedder;
#[cfg(feature = "vision")]
mod image_classifier;
#[cfg(feature = "vision")]
mod image_embedder;
#[cfg(feature = "vision")]
mod images;
mod job;
mod model;
mod options;
mod pair_classifier;
mod quantize;
mod reranker;
mod results;
mod sparse_embedder;
mod tagger;
mod texts;
mod token_embedder;

use pyo3::pymodule;

// Whether the module is sound without the interpreter's lock was not tested.
#[pymodule(gil_used = true)]
mod _native {
    #[cfg(feature = "files")]
    #[pymodule_export]
    use super::file_job::{run_job, verify_job};
    #[pymodule_export]
    use super::{
        arrow::{ArrowArray, ArrowResults},
        classifier::Classifier,
        commands::command,
        embedder::Embedder,
        errors::{Error, ItemError},
        function::map_function,
        hybrid_embedder::HybridEmbedder,
        job::JobReport,
        model::Model,
        pair_classifier::PairClassifier,
        quantize::quantize,
        reranker::Reranker,
        results::Results,
        sparse_embedder::SparseEmbedder,
        tagger::Tagger,
        token_embedder::TokenEmbedder,
    };
    #[cfg(feature = "vision")]
    #[pymodule_export]
    use super::{image_classifier::ImageClassifier, image_embedder::ImageEmbedder};
}
