//! Operators of ONNX's domain `ai.onnx.ml`: trees, linear models, and what prepares tables.

pub mod array_feature_extractor;
pub mod binarizer;
pub mod c_dist;
pub(super) mod category_mapper;
mod elements;
pub mod feature_vectorizer;
pub mod imputer;
pub mod label_encoder;
mod labels;
pub mod linear_classifier;
pub mod linear_regressor;
pub mod map_row;
pub mod normalizer;
pub mod one_hot_encoder;
mod post_transform;
mod rows;
pub mod scaler;
pub mod svm_classifier;
mod svm_kernel;
pub mod svm_regressor;
pub mod tree_ensemble;
pub mod tree_ensemble_classifier;
pub mod tree_ensemble_regressor;
pub mod trees;
pub mod zip_map;

use crate::op::OpDef;

pub use labels::Labels;
pub use post_transform::PostTransform;
pub use svm_kernel::SvmKernel;
pub use trees::{Aggregate, Trees};

/// The operators of this family.
pub(super) fn operators() -> impl Iterator<Item = &'static OpDef> {
    [
        &array_feature_extractor::DEF,
        &binarizer::DEF,
        &c_dist::DEF,
        &feature_vectorizer::DEF,
        &imputer::DEF,
        &label_encoder::DEF,
        &linear_classifier::DEF,
        &linear_regressor::DEF,
        &map_row::DEF,
        &normalizer::DEF,
        &one_hot_encoder::DEF,
        &scaler::DEF,
        &svm_classifier::DEF,
        &svm_regressor::DEF,
        &tree_ensemble::DEF,
        &tree_ensemble_classifier::DEF,
        &tree_ensemble_regressor::DEF,
        &zip_map::DEF,
    ]
    .into_iter()
}

/// Why these operators stay on the processor.
const ON_THE_HOST: &str = "tables of numbers and labels are small next to their transfer";
