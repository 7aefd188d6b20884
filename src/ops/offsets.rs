//! Offsets of sequences that are packed without padding.

use crate::{
    error::{Error, Result},
    graph::Fact,
    shape::Dim,
    tensor::DType,
};

/// The number of sequences, from their i32 offsets `[sequences + 1]`.
///
/// # Errors
/// When the offsets are of another type or shape.
pub(crate) fn sequences(offsets: &Fact) -> Result<Dim> {
    match offsets.shape.dims() {
        [length] if offsets.dtype == DType::I32 && length.as_fixed() != Some(0) => Ok(length - &Dim::from(1)),
        _ => Err(Error::invalid_model(format!("offsets {offsets}: expected i32[sequences + 1]"))),
    }
}
