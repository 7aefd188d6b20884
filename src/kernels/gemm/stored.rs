//! The numbers that products are stored as.

use half::bf16;

use crate::kernels::{
    KernelSet,
    gemm::{copy, pairs::store_rounded},
};

/// A number that results are stored as: `f32` and `bf16` are.
///
/// Sums are of f32 throughout; those of a C of bf16 are rounded, ties to even, after the epilogue.
#[expect(private_bounds, reason = "sealed: how kernels store a number is their own")]
pub trait Stored: Store {}

impl Stored for f32 {}
impl Stored for bf16 {}

/// How results are stored.
pub(crate) trait Store: bytemuck::Pod + Send + Sync {
    /// Whether sums can be kept where the results go.
    const HOLDS_SUMS: bool;
    /// `c` as the place of sums, if it can hold them.
    fn sums(c: *mut Self) -> Option<*mut f32>;
    /// Stores `rows` x `columns` results.
    ///
    /// # Safety
    /// They can be read at `from` and written at `to`, in rows that far apart.
    unsafe fn store(
        set: KernelSet,
        from: *const f32,
        from_stride: usize,
        to: *mut Self,
        to_stride: usize,
        rows: usize,
        columns: usize,
    );
}

impl Store for f32 {
    const HOLDS_SUMS: bool = true;
    #[inline(always)]
    fn sums(c: *mut f32) -> Option<*mut f32> {
        Some(c)
    }
    unsafe fn store(
        _: KernelSet,
        from: *const f32,
        from_stride: usize,
        to: *mut f32,
        to_stride: usize,
        rows: usize,
        columns: usize,
    ) {
        copy(from, from_stride, to, to_stride, rows, columns);
    }
}

impl Store for bf16 {
    const HOLDS_SUMS: bool = false;
    #[inline(always)]
    fn sums(_: *mut bf16) -> Option<*mut f32> {
        None
    }
    unsafe fn store(
        set: KernelSet,
        from: *const f32,
        from_stride: usize,
        to: *mut bf16,
        to_stride: usize,
        rows: usize,
        columns: usize,
    ) {
        // SAFETY: as the caller vouches.
        unsafe { store_rounded(set, from, from_stride, to, to_stride, rows, columns) }
    }
}
