//! Softmax over rows (the last axis) and over a middle axis.

use crate::{
    error::{Error, Result},
    kernels::{
        KernelSet,
        simd::{
            Kernel, Simd, math,
            reduce::{fold, load_or, store_some},
        },
    },
};

/// Writes the softmax of each row of `input`, `e^(x - max) / sum`, to `output`.
///
/// A row has `columns` numbers. One with a NaN, with plus infinity, or of minus infinities alone
/// becomes all NaN.
///
/// # Errors
///
/// `Internal` if the lengths differ or are no multiple of `columns`.
pub fn softmax_rows(set: KernelSet, input: &[f32], output: &mut [f32], columns: usize) -> Result<()> {
    if input.len() != output.len() || !input.len().is_multiple_of(columns.max(1)) {
        let (from, to) = (input.len(), output.len());
        return Err(Error::internal(format!("softmax of {from} numbers to {to}, in rows of {columns}")));
    }
    if let Some(rows) = input.len().checked_div(columns) {
        // SAFETY: the rows make up both slices.
        set.run(unsafe { SoftmaxRows::new(input.as_ptr(), output.as_mut_ptr(), rows, columns) });
    }
    Ok(())
}

/// [`softmax_rows`] in place.
///
/// # Errors
///
/// `Internal` if the length is no multiple of `columns`.
pub fn softmax_rows_in_place(set: KernelSet, data: &mut [f32], columns: usize) -> Result<()> {
    if !data.len().is_multiple_of(columns.max(1)) {
        return Err(Error::internal(format!("softmax of {} numbers in rows of {columns}", data.len())));
    }
    if let Some(rows) = data.len().checked_div(columns) {
        let to = data.as_mut_ptr();
        // SAFETY: the rows make up `data`.
        set.run(unsafe { SoftmaxRows::new(to, to, rows, columns) });
    }
    Ok(())
}

/// Computes the softmax of dense rows.
struct SoftmaxRows {
    from: *const f32,
    to: *mut f32,
    rows: usize,
    columns: usize,
}

impl SoftmaxRows {
    /// # Safety
    /// `rows * columns` numbers are readable at `from` and writable at `to`, which may be the same.
    #[inline(always)]
    unsafe fn new(from: *const f32, to: *mut f32, rows: usize, columns: usize) -> Self {
        Self { from, to, rows, columns }
    }
}

impl Kernel for SoftmaxRows {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for row in 0..self.rows {
            // SAFETY: `new` requires `rows * columns` numbers on both sides.
            unsafe {
                let (from, to) = (self.from.add(row * self.columns), self.to.add(row * self.columns));
                let sum = exponentials(s, from, to, self.columns, largest(s, from, self.columns));
                scale(s, to, to, self.columns, 1.0 / sum);
            }
        }
    }
}

/// The largest of `len` numbers; if one of them is NaN, any of them.
///
/// # Safety
/// `len` numbers are readable at `from`.
#[inline(always)]
unsafe fn largest<S: Simd>(s: S, from: *const f32, len: usize) -> f32 {
    let lowest = s.splat(f32::NEG_INFINITY);
    // SAFETY: `fold` stays within `len`, which the caller promises.
    unsafe { s.largest(fold!(s: S, len, lowest, max, |at, count| load_or(s, from, at, count, lowest))) }
}

/// Writes `e^(x - largest)` of `len` numbers to `to`, which may be `from`, and returns their sum.
///
/// # Safety
/// `len` numbers are readable at `from` and writable at `to`.
#[inline(always)]
pub(crate) unsafe fn exponentials<S: Simd>(s: S, from: *const f32, to: *mut f32, len: usize, largest: f32) -> f32 {
    let (largest, zero) = (s.splat(largest), s.splat(0.0));
    // SAFETY: `fold` stays within `len`, which the caller promises.
    unsafe {
        let sum = fold!(s: S, len, zero, add, |at, count| {
            let e = math::exp(s, s.sub(load_or(s, from, at, count, largest), largest));
            store_some(s, to, at, count, e);
            s.head(e, count, zero)
        });
        s.sum(sum)
    }
}

/// Writes `len` numbers times `factor` to `to`, which may be `from`.
///
/// # Safety
/// `len` numbers are readable at `from` and writable at `to`.
#[inline(always)]
pub(crate) unsafe fn scale<S: Simd>(s: S, from: *const f32, to: *mut f32, len: usize, factor: f32) {
    let factor = s.splat(factor);
    let mut at = 0;
    // SAFETY: `at + count <= len`, which the caller promises.
    unsafe {
        while at < len {
            let count = (len - at).min(S::LANES);
            store_some(s, to, at, count, s.mul(load_or(s, from, at, count, factor), factor));
            at += count;
        }
    }
}

/// [`softmax_rows`] over the middle axis of `[outer, axis, inner]`.
///
/// # Errors
///
/// `Internal` if the lengths differ or are no multiple of `axis * inner`.
pub fn softmax_columns(set: KernelSet, input: &[f32], output: &mut [f32], axis: usize, inner: usize) -> Result<()> {
    let block = axis.checked_mul(inner).filter(|&block| block > 0 && input.len().is_multiple_of(block));
    match block {
        Some(block) if input.len() == output.len() => {
            for (from, to) in input.chunks_exact(block).zip(output.chunks_exact_mut(block)) {
                // SAFETY: both blocks are `axis * inner` numbers.
                set.run(unsafe { SoftmaxColumns::new(from.as_ptr(), to.as_mut_ptr(), axis, inner) });
            }
            Ok(())
        }
        None if input.is_empty() && output.is_empty() => Ok(()),
        _ => {
            let (from, to) = (input.len(), output.len());
            Err(Error::internal(format!("softmax of {from} numbers to {to}, in blocks of {axis} x {inner}")))
        }
    }
}

/// Computes the softmax of each column of `[axis, inner]`.
struct SoftmaxColumns {
    from: *const f32,
    to: *mut f32,
    axis: usize,
    inner: usize,
}

impl SoftmaxColumns {
    /// # Safety
    /// `axis * inner` numbers are readable at `from` and writable at `to`.
    #[inline(always)]
    unsafe fn new(from: *const f32, to: *mut f32, axis: usize, inner: usize) -> Self {
        Self { from, to, axis, inner }
    }
}

impl Kernel for SoftmaxColumns {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { from, to, axis, inner } = self;
        let zero = s.splat(0.0);
        let mut at = 0;
        while at < inner {
            let count = (inner - at).min(S::LANES);
            // SAFETY: `new` requires `axis * inner` numbers on both sides; `at + count <= inner`.
            unsafe {
                let mut largest = s.splat(f32::NEG_INFINITY);
                for row in 0..axis {
                    largest = s.max(largest, load_or(s, from, row * inner + at, count, zero));
                }
                let mut sum = zero;
                for row in 0..axis {
                    let e = math::exp(s, s.sub(load_or(s, from, row * inner + at, count, zero), largest));
                    store_some(s, to, row * inner + at, count, e);
                    sum = s.add(sum, e);
                }
                let factor = s.div(s.splat(1.0), sum);
                for row in 0..axis {
                    let e = load_or(s, to, row * inner + at, count, zero);
                    store_some(s, to, row * inner + at, count, s.mul(e, factor));
                }
            }
            at += count;
        }
    }
}
