//! Layer norm over rows and over a middle axis, and rows scaled to length 1.

mod length;

pub use length::l2_normalize_rows;

use crate::{
    error::{Error, Result},
    kernels::{
        KernelSet,
        simd::{
            Kernel, Simd,
            reduce::{fold, load_or, store_some},
        },
    },
};

/// `(x - mean) / sqrt(variance + epsilon) * scale + bias` over one axis.
///
/// The variance is over n, not n - 1.
#[derive(Clone, Copy, Debug)]
pub struct LayerNorm<'a> {
    /// A factor for each element of the axis.
    pub scale: &'a [f32],
    /// A summand for each element of the axis.
    pub bias: Option<&'a [f32]>,
    /// Added to the variance.
    pub epsilon: f32,
}

impl LayerNorm<'_> {
    /// Fails unless `scale` and `bias` have `len` elements.
    pub(crate) fn check(&self, len: usize) -> Result<()> {
        let bias = self.bias.map_or(len, <[f32]>::len);
        if self.scale.len() != len || bias != len {
            let scale = self.scale.len();
            return Err(Error::internal(format!("layer norm over {len} with scale of {scale}, bias of {bias}")));
        }
        Ok(())
    }
}

/// Normalizes each row of `norm.scale.len()` numbers, in place.
///
/// # Errors
///
/// `Internal` if the length is no multiple of that, or `bias` has another length.
pub fn layer_norm_rows(set: KernelSet, data: &mut [f32], norm: &LayerNorm<'_>) -> Result<()> {
    let columns = norm.scale.len();
    norm.check(columns)?;
    if !data.len().is_multiple_of(columns.max(1)) || (columns == 0 && !data.is_empty()) {
        return Err(Error::internal(format!("layer norm of {} numbers in rows of {columns}", data.len())));
    }
    if let Some(rows) = data.len().checked_div(columns) {
        // SAFETY: the rows make up `data`, and `norm` is checked.
        set.run(unsafe { NormRows::new(data.as_mut_ptr(), rows, columns, *norm) });
    }
    Ok(())
}

/// Normalizes `rows` rows of `norm.scale.len()` numbers, `stride` apart, in place.
pub(crate) struct NormRows<'a> {
    data: *mut f32,
    rows: usize,
    stride: usize,
    norm: LayerNorm<'a>,
}

impl<'a> NormRows<'a> {
    /// # Safety
    /// `rows` rows of `norm.scale.len()` numbers are readable and writable at `data`, `stride`
    /// apart, and `norm` has passed [`LayerNorm::check`] for that length.
    #[inline(always)]
    pub(crate) unsafe fn new(data: *mut f32, rows: usize, stride: usize, norm: LayerNorm<'a>) -> Self {
        Self { data, rows, stride, norm }
    }
}

impl Kernel for NormRows<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { data, rows, stride, norm } = self;
        let columns = norm.scale.len();
        let inverse = 1.0 / columns as f32;
        let zero = s.splat(0.0);
        let (scale, bias) = (norm.scale.as_ptr(), norm.bias.map_or(std::ptr::null(), <[f32]>::as_ptr));
        for row in 0..rows {
            // SAFETY: `new` requires these rows, and a scale and a bias of `columns` elements.
            unsafe {
                let data = data.add(row * stride);
                let sum = fold!(s: S, columns, zero, add, |at, count| load_or(s, data, at, count, zero));
                let mean = s.splat(s.sum(sum) * inverse);
                let squares = fold!(s: S, columns, zero, add, |at, count| {
                    let difference = s.sub(load_or(s, data, at, count, mean), mean);
                    s.head(s.mul(difference, difference), count, zero)
                });
                let factor = s.splat(1.0 / (s.sum(squares) * inverse + norm.epsilon).sqrt());
                let mut at = 0;
                while at < columns {
                    let count = (columns - at).min(S::LANES);
                    let x = s.mul(s.sub(load_or(s, data, at, count, zero), mean), factor);
                    let scale = load_or(s, scale, at, count, zero);
                    let y = if bias.is_null() {
                        s.mul(x, scale)
                    } else {
                        s.fma(x, scale, load_or(s, bias, at, count, zero))
                    };
                    store_some(s, data, at, count, y);
                    at += count;
                }
            }
        }
    }
}

/// Normalizes over the middle axis of `[outer, axis, inner]`, in place; `axis` is
/// `norm.scale.len()`.
///
/// # Errors
///
/// `Internal` if the length is no multiple of `axis * inner`, or `bias` has another length.
pub fn layer_norm_columns(set: KernelSet, data: &mut [f32], inner: usize, norm: &LayerNorm<'_>) -> Result<()> {
    let axis = norm.scale.len();
    norm.check(axis)?;
    let block = axis.checked_mul(inner).filter(|&block| block > 0 && data.len().is_multiple_of(block));
    let Some(block) = block else {
        if data.is_empty() {
            return Ok(());
        }
        return Err(Error::internal(format!("layer norm of {} numbers in blocks of {axis} x {inner}", data.len())));
    };
    for data in data.chunks_exact_mut(block) {
        // SAFETY: a block is `axis * inner` numbers, and `norm` is checked.
        set.run(unsafe { NormColumns::new(data.as_mut_ptr(), inner, *norm) });
    }
    Ok(())
}

/// Normalizes each column of `[axis, inner]`, in place.
struct NormColumns<'a> {
    data: *mut f32,
    inner: usize,
    norm: LayerNorm<'a>,
}

impl<'a> NormColumns<'a> {
    /// # Safety
    /// `norm.scale.len() * inner` numbers are readable and writable at `data`, and `norm` has
    /// passed [`LayerNorm::check`] for its own length.
    #[inline(always)]
    unsafe fn new(data: *mut f32, inner: usize, norm: LayerNorm<'a>) -> Self {
        Self { data, inner, norm }
    }
}

impl Kernel for NormColumns<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { data, inner, norm } = self;
        let axis = norm.scale.len();
        let inverse = s.splat(1.0 / axis as f32);
        let zero = s.splat(0.0);
        let mut at = 0;
        while at < inner {
            let count = (inner - at).min(S::LANES);
            // SAFETY: `new` requires `axis * inner` numbers; `at + count <= inner`.
            unsafe {
                let mut sum = zero;
                for row in 0..axis {
                    sum = s.add(sum, load_or(s, data, row * inner + at, count, zero));
                }
                let mean = s.mul(sum, inverse);
                let mut squares = zero;
                for row in 0..axis {
                    let difference = s.sub(load_or(s, data, row * inner + at, count, zero), mean);
                    squares = s.fma(difference, difference, squares);
                }
                let variance = s.fma(squares, inverse, s.splat(norm.epsilon));
                let factor = s.div(s.splat(1.0), s.sqrt(variance));
                for row in 0..axis {
                    let x = s.mul(s.sub(load_or(s, data, row * inner + at, count, zero), mean), factor);
                    let bias = norm.bias.map_or(0.0, |bias| bias[row]);
                    let y = s.fma(x, s.splat(norm.scale[row]), s.splat(bias));
                    store_some(s, data, row * inner + at, count, y);
                }
            }
            at += count;
        }
    }
}
