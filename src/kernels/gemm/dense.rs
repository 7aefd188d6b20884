//! Products with dense rows, and with a right operand that is packed during the run.

use half::bf16;

use crate::{
    error::{Error, Result},
    kernels::{
        KernelSet,
        gemm::{
            epilogue::Epilogue,
            factor::Factors,
            integers::{Integer, Quantized, quantized, quantized_len},
            matrix::Matrix,
            multiply::gemm,
            packed::PackedRef,
            round::round_to_bf16,
            rows::{Rows, Segment},
            scratch::pack_into,
            stored::Stored,
        },
    },
};

/// [`gemm`] that packs B into `scratch` first, of at least
/// [`pack_len`](crate::kernels::gemm::pack_len) numbers.
///
/// # Errors
///
/// As [`gemm`] and [`pack_into`].
pub fn gemm_dynamic(
    set: KernelSet,
    a: &Rows<'_>,
    b: &Matrix<'_>,
    epilogue: &Epilogue<'_>,
    c: &mut [f32],
    c_stride: usize,
    scratch: &mut [f32],
) -> Result<()> {
    gemm(set, a, pack_into(set, b, scratch)?, epilogue, c, c_stride)
}

/// [`gemm`] with `rows` dense rows of A and of C.
///
/// Where `b` is packed as bf16 or as integers, A is rounded into `scratch` first, of at least
/// [`rounded_len`] of A's numbers.
///
/// # Errors
///
/// As [`gemm`], and `Internal` if `scratch` is short.
pub(crate) fn gemm_dense<C: Stored>(
    set: KernelSet,
    a: &[f32],
    rows: usize,
    b: PackedRef<'_>,
    epilogue: &Epilogue<'_>,
    c: &mut [C],
    scratch: &mut [f32],
) -> Result<()> {
    let segments = [Segment { offset: 0, len: b.k() }];
    let (stride, n) = (b.k(), b.n());
    match b.factors() {
        Factors::F32 => gemm(set, &Rows { data: a, rows, stride, segments: &segments }, b, epilogue, c, n),
        Factors::Bf16 => {
            let (data, _) = rounded(set, a, scratch)?;
            gemm(set, &Rows { data, rows, stride, segments: &segments }, b, epilogue, c, n)
        }
        Factors::Bytes => gemm_integers::<u8, C>(set, a, rows, b, epilogue, c, scratch),
        Factors::Words => gemm_integers::<i16, C>(set, a, rows, b, epilogue, c, scratch),
    }
}

/// [`gemm_dense`] by integers of type `T`.
fn gemm_integers<T: Integer, C: Stored>(
    set: KernelSet,
    a: &[f32],
    rows: usize,
    b: PackedRef<'_>,
    epilogue: &Epilogue<'_>,
    c: &mut [C],
    scratch: &mut [f32],
) -> Result<()> {
    let Quantized { data, scales } = quantized::<T>(set, a, rows, b.k(), scratch)?;
    let segments = [Segment { offset: 0, len: b.k() }];
    let epilogue = Epilogue { row_scales: scales, ..*epilogue };
    gemm(set, &Rows { data, rows, stride: b.k(), segments: &segments }, b, &epilogue, c, b.n())
}

/// Scratch numbers that rounding `rows` rows of `k` numbers to `factors` needs.
pub(crate) fn rounded_len(factors: Factors, rows: usize, k: usize) -> usize {
    match factors {
        Factors::F32 => 0,
        Factors::Bf16 => rows.saturating_mul(k).div_ceil(2).saturating_add(15) / 16 * 16,
        Factors::Bytes | Factors::Words => quantized_len(factors, rows, k),
    }
}

/// Rounds `from` to bf16 at the start of `scratch`; returns it and the rest of `scratch`.
///
/// # Errors
///
/// `Internal` if `scratch` is shorter than [`rounded_len`].
pub(crate) fn rounded<'s>(set: KernelSet, from: &[f32], scratch: &'s mut [f32]) -> Result<(&'s [bf16], &'s mut [f32])> {
    let (need, have) = (rounded_len(Factors::Bf16, 1, from.len()), scratch.len());
    let Some((own, rest)) = scratch.split_at_mut_checked(need) else {
        return Err(Error::internal(format!("{have} numbers of scratch where {need} are needed")));
    };
    let to = &mut bytemuck::cast_slice_mut(own)[..from.len()];
    round_to_bf16(set, from, to);
    Ok((to, rest))
}
