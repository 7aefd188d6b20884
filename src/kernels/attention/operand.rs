//! What queries, keys and values are given as, and how products take it.

use half::bf16;

use crate::{
    error::{Error, Result},
    kernels::{
        KernelSet,
        attention::head::{Head, Strided},
        gemm::{Factors, Matrix, PackedRef, Steps, Stored, pack_into_as, pack_rounded_into},
    },
};

/// What Q, K and V are given as: `f32` or `bf16`.
#[expect(private_bounds, reason = "sealed: how kernels take a number is their own")]
pub trait Given: Operand {}

impl Given for f32 {}
impl Given for bf16 {}

/// How heads take a number.
pub(super) trait Operand: bytemuck::Pod {
    /// [`Head::compute`] with products of `factors`.
    fn compute<O: Stored>(
        head: &Head<'_, Self>,
        set: KernelSet,
        factors: Factors,
        out: &mut [O],
        out_stride: usize,
        scratch: &mut [f32],
    ) -> Result<()>;
}

impl Operand for f32 {
    fn compute<O: Stored>(
        head: &Head<'_, f32>,
        set: KernelSet,
        factors: Factors,
        out: &mut [O],
        out_stride: usize,
        scratch: &mut [f32],
    ) -> Result<()> {
        match factors {
            Factors::F32 => head.compute::<f32, O>(set, out, out_stride, scratch),
            Factors::Bf16 => head.compute::<bf16, O>(set, out, out_stride, scratch),
        }
    }
}

impl Operand for bf16 {
    fn compute<O: Stored>(
        head: &Head<'_, bf16>,
        set: KernelSet,
        factors: Factors,
        out: &mut [O],
        out_stride: usize,
        scratch: &mut [f32],
    ) -> Result<()> {
        match factors {
            Factors::F32 => Err(Error::internal("attention of bf16 with products of f32")),
            Factors::Bf16 => head.compute::<bf16, O>(set, out, out_stride, scratch),
        }
    }
}

/// A number as products of `T` take it.
pub(super) trait OperandOf<T: Steps>: bytemuck::Pod {
    /// As [`Steps::left`].
    ///
    /// # Safety
    /// The rows can be read.
    unsafe fn left(
        set: KernelSet,
        from: *const Self,
        stride: usize,
        rows: usize,
        columns: usize,
        scratch: &mut [f32],
    ) -> (*const T, usize);
    /// The right operand of a product, packed into `scratch`.
    fn pack<'s>(set: KernelSet, b: &Matrix<'_, Self>, scratch: &'s mut [f32]) -> Result<PackedRef<'s>>;
    /// Rows of whole panels as the right operand of a product, if they can be one where they lie.
    fn in_place(rows: Strided<'_, Self>) -> Option<Strided<'_, f32>>;
}

impl<T: Steps> OperandOf<T> for f32 {
    unsafe fn left(
        set: KernelSet,
        from: *const f32,
        stride: usize,
        rows: usize,
        columns: usize,
        scratch: &mut [f32],
    ) -> (*const T, usize) {
        // SAFETY: as the caller vouches.
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
