//! Operators on strings.

#[cfg(feature = "onnx")]
pub mod regex_full_match;
pub mod string_concat;
pub mod string_normalizer;
pub mod string_split;
pub mod tf_idf_vectorizer;
#[cfg(feature = "onnx")]
pub mod tokenizer;

use crate::{
    error::{Error, Result},
    graph::Fact,
    op::{Inputs, OpDef},
    tensor::DType,
};

/// The operators of this family.
pub(super) fn operators() -> impl Iterator<Item = &'static OpDef> {
    let always = [&string_concat::DEF, &string_normalizer::DEF, &string_split::DEF, &tf_idf_vectorizer::DEF];
    #[cfg(feature = "onnx")]
    let more = [&regex_full_match::DEF, &tokenizer::DEF];
    #[cfg(not(feature = "onnx"))]
    let more: [&OpDef; 0] = [];
    always.into_iter().chain(more)
}

/// The one operand, of strings.
fn only_strings<'a>(inputs: &Inputs<'a>) -> Result<&'a Fact> {
    inputs.expect(1, 1)?;
    let input = inputs.required(0)?;
    if input.dtype != DType::String {
        return Err(Error::invalid_model(format!("{input} is no string")));
    }
    Ok(input)
}

/// Why these operators stay on the processor.
const ON_THE_HOST: &str = "a GPU holds no strings";
