//! `CategoryMapper`: strings as integers and back.

use std::sync::Arc;

use crate::{
    error::{Error, Result},
    op::{OnnxNode, Operator},
    ops::tabular::label_encoder::LabelEncoder,
    tensor::{DType, Tensor},
};

/// Reads the operator as a [`LabelEncoder`].
pub(crate) fn decode(node: &mut OnnxNode<'_>) -> Result<Arc<dyn Operator>> {
    let integers = node.ints("cats_int64s")?.unwrap_or_default();
    let strings = node.strings("cats_strings")?.unwrap_or_default();
    let default_int = node.int("default_int64")?.unwrap_or(-1);
    let default_string = node.string("default_string")?.unwrap_or_else(|| "_Unused".into());
    if integers.len() != strings.len() {
        return Err(Error::invalid_model(format!("{} integers and {} strings", integers.len(), strings.len())));
    }
    let (integers, strings) =
        (Tensor::new([integers.len()], &integers)?, Tensor::from_strings([strings.len()], &strings)?);
    Ok(Arc::new(match node.inputs().required(0)?.dtype {
        DType::String => LabelEncoder { keys: strings, values: integers, default: Tensor::new([1], &[default_int])? },
        _ => LabelEncoder { keys: integers, values: strings, default: Tensor::from_strings([1], &[default_string])? },
    }))
}
