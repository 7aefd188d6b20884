//! Operators on strings.

#[cfg(feature = "onnx")]
pub mod regex_full_match;
pub mod string_concat;
pub mod string_normalizer;
pub mod tf_idf_vectorizer;
#[cfg(feature = "onnx")]
pub mod tokenizer;

use crate::op::OpDef;

/// The operators of this family.
pub(super) fn operators() -> impl Iterator<Item = &'static OpDef> {
    let always = [&string_concat::DEF, &string_normalizer::DEF, &tf_idf_vectorizer::DEF];
    #[cfg(feature = "onnx")]
    let more = [&regex_full_match::DEF, &tokenizer::DEF];
    #[cfg(not(feature = "onnx"))]
    let more: [&OpDef; 0] = [];
    always.into_iter().chain(more)
}

/// Why these operators stay on the processor.
const ON_THE_HOST: &str = "a GPU holds no strings";
