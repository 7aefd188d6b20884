//! Scores to weights: exponentials, their sums, and the division by them.

use crate::kernels::{
    simd::{
        Kernel, Simd, math,
        reduce::{fold, load_or},
    },
    softmax::scale,
};

/// Rows of the mask that belong to a tile's queries.
#[derive(Clone, Copy)]
pub(super) struct MaskRows {
    pub(super) data: *const f32,
    pub(super) row_stride: isize,
    /// 0 or 1.
    pub(super) column_stride: usize,
}

/// The largest score that is subtracted in one step with its product.
const FUSED_MOST: f32 = 1e6;

/// Turns rows of scores into exponentials, in place, and sums each row.
pub(super) struct Exponentials<'a> {
    scores: *mut f32,
    stride: usize,
    keys: usize,
    scale: f32,
    mask: Option<MaskRows>,
    sums: &'a mut [f32],
}

impl<'a> Exponentials<'a> {
    /// A row of `keys` scores for each of `sums`.
    ///
    /// # Safety
    /// As many rows of `keys` numbers, up to whole vectors, are readable and writable at `scores`,
    /// `stride` apart. As many rows of the mask are readable, each of `keys` numbers, or of one if
    /// its column stride is 0.
    #[inline(always)]
    pub(super) unsafe fn new(
        scores: *mut f32,
        stride: usize,
        keys: usize,
        scale: f32,
        mask: Option<MaskRows>,
        sums: &'a mut [f32],
    ) -> Self {
        Self { scores, stride, keys, scale, mask, sums }
    }
}

impl Kernel for Exponentials<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { scores, stride, keys, scale, mask, sums } = self;
        let (factor, zero, lowest) = (s.splat(scale), s.splat(0.0), s.splat(f32::NEG_INFINITY));
        for (row, sum) in sums.iter_mut().enumerate() {
            // SAFETY: `new` requires these rows of scores, with room for whole vectors, and of the
            // mask.
            unsafe {
                let scores = scores.add(row * stride);
                let largest = match mask {
                    None => fold!(s: S, keys, lowest, max, |at, count| {
                        s.head(s.mul(s.load(scores.add(at)), factor), count, lowest)
                    }),
                    Some(MaskRows { data, row_stride, column_stride }) => {
                        let mask = data.offset(row as isize * row_stride);
                        fold!(s: S, keys, lowest, max, |at, count| {
                            let summand = if column_stride == 0 { s.splat(*mask) } else { load_or(s, mask, at, count, zero) };
                            let x = s.head(s.fma(s.load(scores.add(at)), factor, summand), count, lowest);
                            s.store(scores.add(at), x);
                            x
                        })
                    }
                };
                let largest = s.largest(largest);
                // A fused difference of an exact and a rounded product is off by the rounding.
                let apart = mask.is_none() && largest.abs() > FUSED_MOST;
                if apart {
                    let mut at = 0;
                    while at < keys {
                        s.store(scores.add(at), s.mul(s.load(scores.add(at)), factor));
                        at += S::LANES;
                    }
                }
                // The stored scores already include the factor.
                let factor = if mask.is_some() || apart { s.splat(1.0) } else { factor };
                let offset = s.splat(-largest);
                let total = fold!(s: S, keys, zero, add, |at, count| {
                    let e = s.head(math::exp(s, s.fma(s.load(scores.add(at)), factor, offset)), count, zero);
                    s.store(scores.add(at), e);
                    e
                });
                *sum = s.sum(total);
            }
        }
    }
}

/// Divides rows by their sums.
pub(super) struct DivideRows<'a> {
    from: *const f32,
    from_stride: usize,
    to: *mut f32,
    stride: usize,
    columns: usize,
    sums: &'a [f32],
}

impl<'a> DivideRows<'a> {
    /// A row of `columns` numbers for each of `sums`.
    ///
    /// # Safety
    /// As many rows of `columns` numbers are readable at `from` and writable at `to`, which may be
    /// the same.
    #[inline(always)]
    pub(super) unsafe fn new(
        (from, from_stride): (*const f32, usize),
        (to, stride): (*mut f32, usize),
        columns: usize,
        sums: &'a [f32],
    ) -> Self {
        Self { from, from_stride, to, stride, columns, sums }
    }
}

impl Kernel for DivideRows<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { from, from_stride, to, stride, columns, sums } = self;
        for (row, sum) in sums.iter().enumerate() {
            // SAFETY: `new` requires a row of `columns` numbers for each sum.
            unsafe {
                scale(s, from.add(row * from_stride), to.add(row * stride), columns, 1.0 / sum);
            }
        }
    }
}
