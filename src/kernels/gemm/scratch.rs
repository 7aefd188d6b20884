//! Packing into scratch memory, for a right operand that is known only during a run.

use half::bf16;

use crate::{
    error::{Error, Result},
    kernels::{
        KernelSet,
        gemm::{factor::Factors, matrix::Matrix, packed::PackedRef, rounded_pairs::pack_rounded_pairs, spec::PackSpec},
    },
};

/// Numbers in a cache line; panels start on one.
const ALIGNMENT: usize = 16;

/// Scratch numbers that [`pack_into`] needs for a `k x n` matrix.
///
/// # Errors
///
/// `Limit` if the count overflows.
pub fn pack_len(set: KernelSet, k: usize, n: usize) -> Result<usize> {
    pack_len_as(set, Factors::F32, k, n)
}

/// Scratch numbers that [`pack_into_as`] needs for a `k x n` matrix.
///
/// # Errors
///
/// `Limit` if the count overflows.
pub(crate) fn pack_len_as(set: KernelSet, factors: Factors, k: usize, n: usize) -> Result<usize> {
    let spec = PackSpec::new(set, factors, k, n, k)?;
    spec.len().and_then(|len| len.checked_add(ALIGNMENT - 1)).ok_or_else(|| spec.too_long())
}

/// Packs `b` as f32 at the start of `scratch`.
///
/// # Errors
///
/// `Internal` if `b` leaves its data or `scratch` is shorter than [`pack_len`].
pub fn pack_into<'s>(set: KernelSet, b: &Matrix<'_>, scratch: &'s mut [f32]) -> Result<PackedRef<'s>> {
    pack_into_as(set, Factors::F32, b, scratch)
}

/// Packs `b` in the precision of `factors` at the start of `scratch`.
///
/// Rows of A have one segment, or segments of even lengths.
///
/// # Errors
///
/// `Internal` if `b` leaves its data or `scratch` is shorter than [`pack_len_as`].
pub(crate) fn pack_into_as<'s>(
    set: KernelSet,
    factors: Factors,
    b: &Matrix<'_>,
    scratch: &'s mut [f32],
) -> Result<PackedRef<'s>> {
    b.check()?;
    if factors.are_integers() {
        return Err(Error::internal("a matrix of integers is packed once, with its scales"));
    }
    let (spec, data) = room(set, factors, b.k, b.n, scratch)?;
    spec.pack(b, data);
    Ok(PackedRef::new(spec, data))
}

/// As [`pack_into_as`] in bf16, for numbers that are already rounded.
///
/// # Errors
///
/// `Internal` if `b` leaves its data or `scratch` is shorter than [`pack_len_as`].
pub(crate) fn pack_rounded_into<'s>(
    set: KernelSet,
    b: &Matrix<'_, bf16>,
    scratch: &'s mut [f32],
) -> Result<PackedRef<'s>> {
    b.check()?;
    let (spec, data) = room(set, Factors::Bf16, b.k, b.n, scratch)?;
    pack_rounded_pairs(set, b, spec.depth(), data);
    Ok(PackedRef::new(spec, data))
}

/// The aligned part of `scratch` for a packed `k x n` matrix.
fn room(set: KernelSet, factors: Factors, k: usize, n: usize, scratch: &mut [f32]) -> Result<(PackSpec, &mut [f32])> {
    let (need, have) = (pack_len_as(set, factors, k, n)?, scratch.len());
    if have < need {
        return Err(Error::internal(format!("{have} numbers of scratch where {need} are needed")));
    }
    let skip = scratch.as_ptr().align_offset(64).min(ALIGNMENT - 1);
    Ok((PackSpec::new(set, factors, k, n, k)?, &mut scratch[skip..][..need - (ALIGNMENT - 1)]))
}
