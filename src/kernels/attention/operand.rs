//! Rows of queries, keys and values, and their conversion to operands of products.

use half::bf16;

use crate::{
    error::Result,
    kernels::{
        KernelSet,
        gemm::{Factors, FromF32, Matrix, PackedRef, pack_into_as, pack_rounded_into},
    },
};

/// Rows of a slice, each contiguous.
#[derive(Clone, Copy)]
pub(super) struct Strided<'a, X> {
    pub(super) data: &'a [X],
    pub(super) row_stride: usize,
}

impl<X> Strided<'_, X> {
    /// The address of row `row`.
    pub(super) fn row(&self, row: usize) -> *const X {
        self.data.as_ptr().wrapping_add(row * self.row_stride)
    }
}

/// An element type that can be an operand of products of `T`.
pub(super) trait OperandOf<T: FromF32>: bytemuck::Pod {
    /// Converts rows to a left operand, as [`FromF32::left`].
    ///
    /// # Safety
    /// As [`FromF32::left`].
    unsafe fn left(
        set: KernelSet,
        from: *const Self,
        stride: usize,
        rows: usize,
        columns: usize,
        scratch: &mut [f32],
    ) -> (*const T, usize);
    /// Packs the right operand of a product into `scratch`.
    fn pack<'s>(set: KernelSet, b: &Matrix<'_, Self>, scratch: &'s mut [f32]) -> Result<PackedRef<'s>>;
    /// Rows of whole panels as a right operand that is read in place, if possible.
    fn in_place(rows: Strided<'_, Self>) -> Option<Strided<'_, f32>>;
}

impl<T: FromF32> OperandOf<T> for f32 {
    unsafe fn left(
        set: KernelSet,
        from: *const f32,
        stride: usize,
        rows: usize,
        columns: usize,
        scratch: &mut [f32],
    ) -> (*const T, usize) {
        // SAFETY: the contract is the same.
        unsafe { T::left(set, from, stride, rows, columns, scratch) }
    }
    fn pack<'s>(set: KernelSet, b: &Matrix<'_, f32>, scratch: &'s mut [f32]) -> Result<PackedRef<'s>> {
        pack_into_as(set, T::FACTORS, b, scratch)
    }
    fn in_place(rows: Strided<'_, f32>) -> Option<Strided<'_, f32>> {
        (T::FACTORS == Factors::F32).then_some(rows)
    }
}

impl OperandOf<bf16> for bf16 {
    unsafe fn left(
        _: KernelSet,
        from: *const bf16,
        stride: usize,
        _: usize,
        _: usize,
        _: &mut [f32],
    ) -> (*const bf16, usize) {
        (from, stride)
    }
    fn pack<'s>(set: KernelSet, b: &Matrix<'_, bf16>, scratch: &'s mut [f32]) -> Result<PackedRef<'s>> {
        pack_rounded_into(set, b, scratch)
    }
    fn in_place(_: Strided<'_, bf16>) -> Option<Strided<'_, f32>> {
        None
    }
}
