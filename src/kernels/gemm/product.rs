//! A checked product: operands that fit each other, and the exclusive borrow of C.

mod compute;
#[cfg(target_arch = "x86_64")]
mod copied;
#[cfg(target_arch = "x86_64")]
mod tiles;
mod vectors;

use std::marker::PhantomData;

use crate::{
    error::{Error, Result},
    kernels::{
        KernelSet,
        gemm::{blocks::Blocks, epilogue::Epilogue, factor::Factor, packed::PackedRef, rows::Rows, stored::Stored},
    },
};

/// A product whose operands are checked.
///
/// Its fields are private to this module and its children: having a value is the proof that every
/// row of A, panel of B, operand of the epilogue and element of C is in bounds.
pub(super) struct Product<'a, T, C> {
    set: KernelSet,
    a: &'a Rows<'a, T>,
    b: PackedRef<'a>,
    epilogue: &'a Epilogue<'a>,
    blocks: Blocks,
    c: *mut C,
    c_stride: usize,
    borrowed: PhantomData<&'a mut [C]>,
}

// SAFETY: A, B and the epilogue are shared borrows of plain numbers. C is written by unsafe
// functions alone, whose callers give each part of it to one thread.
unsafe impl<T: Factor, C: Stored> Sync for Product<'_, T, C> {}

impl<'a, T: Factor, C: Stored> Product<'a, T, C> {
    /// The product of `a` and `b` into rows of C, `c_stride` apart.
    ///
    /// # Errors
    /// `Internal` if a length, a stride or the kernel set does not fit, or if a C of bf16 is to be
    /// normalized.
    pub(super) fn new(
        set: KernelSet,
        a: &'a Rows<'a, T>,
        b: PackedRef<'a>,
        epilogue: &'a Epilogue<'a>,
        c: &'a mut [C],
        c_stride: usize,
    ) -> Result<Self> {
        b.check(set, a)?;
        let (rows, n) = (a.rows, b.n());
        epilogue.check(T::FACTORS, rows, n)?;
        if epilogue.layer_norm.is_some() && !C::HOLDS_SUMS {
            return Err(Error::internal("a product that is stored as bf16 cannot be normalised"));
        }
        Self::into_rows(set, a, b, epilogue, c, c_stride)
    }

    /// The product of integers without scales.
    ///
    /// The sums are stored as they are, in the bits of C, unless the epilogue turns them into numbers.
    ///
    /// # Errors
    /// `Internal` if a length or a type does not fit.
    pub(super) fn exact(
        set: KernelSet,
        a: &'a Rows<'a, T>,
        b: PackedRef<'a>,
        epilogue: &'a Epilogue<'a>,
        c: &'a mut [C],
        c_stride: usize,
    ) -> Result<Self> {
        b.check_exact(set, a)?;
        if epilogue.sums.is_some() {
            epilogue.check(T::FACTORS, a.rows, b.n())?;
        }
        Self::into_rows(set, a, b, epilogue, c, c_stride)
    }

    /// The product into rows of C that are checked, of other operands that are.
    fn into_rows(
        set: KernelSet,
        a: &'a Rows<'a, T>,
        b: PackedRef<'a>,
        epilogue: &'a Epilogue<'a>,
        c: &'a mut [C],
        c_stride: usize,
    ) -> Result<Self> {
        let (rows, n) = (a.rows, b.n());
        let end = rows.saturating_sub(1).checked_mul(c_stride).and_then(|start| start.checked_add(n));
        if rows > 0 && n > 0 && (end.is_none_or(|end| end > c.len()) || (c_stride < n && rows > 1)) {
            let len = c.len();
            return Err(Error::internal(format!("product of {rows} x {n}, stride {c_stride}, into {len} numbers")));
        }
        Ok(Self::checked(set, a, b, epilogue, c, c_stride))
    }

    /// The product of operands that have passed the checks of the caller.
    fn checked(
        set: KernelSet,
        a: &'a Rows<'a, T>,
        b: PackedRef<'a>,
        epilogue: &'a Epilogue<'a>,
        c: &'a mut [C],
        c_stride: usize,
    ) -> Self {
        let (blocks, c) = (Blocks::of::<T, C>(set, a, &b), c.as_mut_ptr());
        Self { set, a, b, epilogue, blocks, c, c_stride, borrowed: PhantomData }
    }
}

/// A checked product of which only the largest result of each column is kept; its C is one row.
pub(super) struct Maximum<'a, T>(Product<'a, T, f32>);

impl<'a, T: Factor> Maximum<'a, T> {
    /// The product of `a` and `b`, whose largest results go to `out`.
    ///
    /// Fills `out` with minus infinity.
    ///
    /// # Errors
    /// `Internal` if a length or the kernel set does not fit, or `epilogue` has a residual or a
    /// layer norm.
    pub(super) fn new(
        set: KernelSet,
        a: &'a Rows<'a, T>,
        b: PackedRef<'a>,
        epilogue: &'a Epilogue<'a>,
        out: &'a mut [f32],
    ) -> Result<Self> {
        b.check(set, a)?;
        let n = b.n();
        epilogue.check(T::FACTORS, a.rows, n)?;
        if epilogue.residual.is_some() || epilogue.layer_norm.is_some() || out.len() != n {
            let (rows, len) = (a.rows, out.len());
            return Err(Error::internal(format!(
                "maximum over {rows} rows of {n} columns into {len}, or with a residual"
            )));
        }
        out.fill(f32::NEG_INFINITY);
        Ok(Self(Product::checked(set, a, b, epilogue, out, n)))
    }
}
