//! The element types that attention accepts, and the products that each can be computed with.

use half::bf16;

use crate::{
    error::{Error, Result},
    kernels::{
        KernelSet,
        attention::head::Head,
        gemm::{Factors, Stored},
    },
};

/// An element type of Q, K and V: `f32` or `bf16`.
#[expect(private_bounds, reason = "sealed: how kernels read an element is internal")]
pub trait Given: Operand {}

impl Given for f32 {}
impl Given for bf16 {}

/// How heads compute with an element type.
pub(super) trait Operand: bytemuck::Pod {
    /// [`Head::compute`] with products of `factors`.
    ///
    /// # Safety
    /// As [`Head::compute`].
    unsafe fn compute<O: Stored>(
        head: &Head<'_, Self>,
        set: KernelSet,
        factors: Factors,
        out: &mut [O],
        out_stride: usize,
        scratch: &mut [f32],
    ) -> Result<()>;
}

impl Operand for f32 {
    unsafe fn compute<O: Stored>(
        head: &Head<'_, f32>,
        set: KernelSet,
        factors: Factors,
        out: &mut [O],
        out_stride: usize,
        scratch: &mut [f32],
    ) -> Result<()> {
        match factors {
            // SAFETY: the contract is the same.
            Factors::F32 => unsafe { head.compute::<f32, O>(set, out, out_stride, scratch) },
            // SAFETY: the contract is the same.
            Factors::Bf16 => unsafe { head.compute::<bf16, O>(set, out, out_stride, scratch) },
            Factors::Bytes | Factors::Words => Err(Error::internal("attention by products of integers")),
        }
    }
}

impl Operand for bf16 {
    unsafe fn compute<O: Stored>(
        head: &Head<'_, bf16>,
        set: KernelSet,
        factors: Factors,
        out: &mut [O],
        out_stride: usize,
        scratch: &mut [f32],
    ) -> Result<()> {
        match factors {
            Factors::F32 | Factors::Bytes | Factors::Words => {
                Err(Error::internal(format!("attention of bf16 with products of {factors:?}")))
            }
            // SAFETY: the contract is the same.
            Factors::Bf16 => unsafe { head.compute::<bf16, O>(set, out, out_stride, scratch) },
        }
    }
}

impl<X: Operand> Head<'_, X> {
    /// Writes the head's result to rows of `out`, `out_stride` apart.
    ///
    /// # Errors
    /// `Internal` if an operand leaves its data, `scratch` is short, or operands of bf16 meet
    /// products of f32.
    pub(super) fn run<O: Stored>(
        &self,
        set: KernelSet,
        factors: Factors,
        out: &mut [O],
        out_stride: usize,
        scratch: &mut [f32],
    ) -> Result<()> {
        self.check(set, factors, out.len(), out_stride, scratch.len())?;
        if self.keys == 0 || self.value_dim == 0 {
            for row in 0..self.rows {
                out[row * out_stride..][..self.value_dim].fill(O::zeroed());
            }
            return Ok(());
        }
        // SAFETY: checked above.
        unsafe { X::compute(self, set, factors, out, out_stride, scratch) }
    }
}
