//! Elements of any type as bits, for look-ups.

use crate::{
    error::Result,
    op::KernelRequest,
    tensor::{DType, Tensor},
};

/// The bits of an element's bytes, zeros above them.
pub(super) fn read(bytes: &[u8]) -> u64 {
    let mut wide = [0; size_of::<u64>()];
    if cfg!(target_endian = "big") {
        wide[size_of::<u64>() - bytes.len()..].copy_from_slice(bytes);
    } else {
        wide[..bytes.len()].copy_from_slice(bytes);
    }
    u64::from_ne_bytes(wide)
}

/// Writes the bits of an element.
pub(super) fn write(bits: u64, bytes: &mut [u8]) {
    let wide = bits.to_ne_bytes();
    let start = if cfg!(target_endian = "big") { size_of::<u64>() - bytes.len() } else { 0 };
    bytes.copy_from_slice(&wide[start..start + bytes.len()]);
}

/// Bits that are equal where two elements are; NaN is equal to NaN.
pub(super) fn key(bits: u64, dtype: DType) -> u64 {
    match dtype {
        DType::F32 => match f32::from_bits(bits as u32) {
            number if number.is_nan() => u64::from(f32::NAN.to_bits()),
            0.0 => 0,
            _ => bits,
        },
        DType::F64 => match f64::from_bits(bits) {
            number if number.is_nan() => f64::NAN.to_bits(),
            0.0 => 0,
            _ => bits,
        },
        _ => bits,
    }
}

/// The elements of a tensor as bits; strings by their numbers in every run.
pub(super) fn of(tensor: &Tensor, request: &KernelRequest<'_>) -> Result<Vec<u64>> {
    if tensor.dtype() == DType::String {
        return Ok(tensor.as_strings()?.into_iter().map(|text| request.string(text)).collect());
    }
    Ok(tensor.bytes().chunks_exact(tensor.dtype().size()).map(read).collect())
}
