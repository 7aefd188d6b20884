//! Products with a packed right operand.

use crate::{
    error::Result,
    kernels::{
        KernelSet,
        gemm::{
            epilogue::Epilogue,
            factor::Factor,
            packed::PackedRef,
            product::{Maximum, Product},
            rows::Rows,
            stored::Stored,
        },
    },
};

/// Computes `c[r, j] = epilogue(sum over k of a[r, k] b[k, j])`.
///
/// Row `r` of C is `c[r * c_stride..][..n]`.
///
/// # Errors
///
/// `Internal` if a length, a stride or the kernel set does not fit, or if a C of bf16 is to be
/// normalized; nothing is computed then.
pub fn gemm<'b, T: Factor, C: Stored>(
    set: KernelSet,
    a: &Rows<'_, T>,
    b: impl Into<PackedRef<'b>>,
    epilogue: &Epilogue<'_>,
    c: &mut [C],
    c_stride: usize,
) -> Result<()> {
    Product::new(set, a, b.into(), epilogue, c, c_stride)?.compute();
    Ok(())
}

/// Writes the largest of `epilogue(a[r] b)` over all rows `r` to `out`.
///
/// Each of the N columns has one result. A column with a NaN gives NaN; without rows the result is
/// minus infinity. C itself is never stored: each tile is reduced while it is in the first-level
/// cache. `epilogue` has no residual and no layer norm.
///
/// # Errors
///
/// `Internal` if a length or the kernel set does not fit; nothing is computed then.
pub fn gemm_max<'b, T: Factor>(
    set: KernelSet,
    a: &Rows<'_, T>,
    b: impl Into<PackedRef<'b>>,
    epilogue: &Epilogue<'_>,
    out: &mut [f32],
) -> Result<()> {
    Maximum::new(set, a, b.into(), epilogue, out)?.compute();
    Ok(())
}
