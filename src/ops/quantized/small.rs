//! Quantization to and from element types of at most eight bits.

use crate::{
    error::{Error, Result},
    kernels::small_number,
    ops::quantized::requantize::numbers,
    tensor::{DType, SmallType, View},
};

/// Whether elements of a type may be quantized numbers of a small type.
pub(super) fn is_quantized(dtype: DType) -> bool {
    matches!(dtype, DType::Small(small) if small != SmallType::F8E8M0)
}

/// The zero points as numbers, if there are any.
///
/// # Errors
/// When one of an 8-bit floating-point type is not zero.
pub(super) fn zero_points(small: SmallType, view: Option<View<'_>>) -> Result<Option<Vec<f32>>> {
    let Some(view) = view else { return Ok(None) };
    let zeros = numbers(view)?.into_owned();
    match zeros.iter().find(|&&zero| zero != 0.0) {
        Some(zero) if small.bits() == 8 => {
            Err(Error::invalid_input(format!("a zero point of {small} is {zero}, expected 0")))
        }
        // Adding zero would lose a sign.
        _ if small.bits() == 8 => Ok(None),
        _ => Ok(Some(zeros)),
    }
}

/// A quotient with its zero point; rounded and limited to the type if that is an integer type.
pub(super) fn shifted(small: SmallType, quotient: f32, zero_point: Option<f32>) -> f32 {
    let zero = zero_point.unwrap_or(0.0);
    if !small.is_integer() {
        return zero_point.map_or(quotient, |zero| quotient + zero);
    }
    let top = u8::MAX >> (8 - small.bits() + usize::from(small.is_signed_integer()));
    let least = if small.is_signed_integer() { small_number(small, small.byte(top + 1)) } else { 0.0 };
    (quotient.round_ties_even() + zero).clamp(least, f32::from(top))
}
