//! Bias, activation and residual, applied to a product while its tile is in cache.

use crate::{
    error::{Error, Result},
    kernels::{
        Activation, KernelSet,
        norm::LayerNorm,
        simd::{
            Kernel, Pointwise, Simd,
            reduce::{load_or, store_some},
            with_pointwise,
        },
    },
};

/// Operations on a product of M x N, in this order: bias, activation, residual, layer norm.
#[derive(Clone, Copy, Debug, Default)]
pub struct Epilogue<'a> {
    /// Added to each row: N numbers.
    pub bias: Option<&'a [f32]>,
    /// Applied to each element.
    pub activation: Activation,
    /// Added to the product: M x N numbers, row-major.
    pub residual: Option<&'a [f32]>,
    /// Normalizes each row.
    pub layer_norm: Option<LayerNorm<'a>>,
}

impl Epilogue<'_> {
    /// Fails unless all operands fit a product of `rows x n`.
    pub(super) fn check(&self, rows: usize, n: usize) -> Result<()> {
        if let Some(bias) = self.bias
            && bias.len() != n
        {
            return Err(Error::internal(format!("a bias of {} for {n} columns", bias.len())));
        }
        if let Some(residual) = self.residual
            && rows.checked_mul(n).is_none_or(|len| residual.len() < len)
        {
            return Err(Error::internal(format!("a residual of {} for {rows} x {n}", residual.len())));
        }
        self.layer_norm.map_or(Ok(()), |norm| norm.check(n))
    }
}

/// The part of C that a tile computes.
#[derive(Clone, Copy)]
pub(super) struct Region {
    /// First row.
    pub(super) row: usize,
    /// Number of rows.
    pub(super) rows: usize,
    /// First column.
    pub(super) column: usize,
    /// Number of columns.
    pub(super) columns: usize,
    /// Columns of C.
    pub(super) n: usize,
}

/// Applies all of `epilogue` but the layer norm to the tile at `c`.
///
/// With `max`, the tile is left as it is and the largest result of each column is folded into
/// `max`.
///
/// # Safety
/// `epilogue` has passed [`Epilogue::check`] for a product that `region` is a part of. The rows and
/// columns of `region` are readable and writable at `c`, `c_stride` apart, and `max` has a number
/// for each column.
pub(super) unsafe fn finish(
    set: KernelSet,
    epilogue: &Epilogue<'_>,
    region: Region,
    c: *mut f32,
    c_stride: usize,
    max: Option<*mut f32>,
) {
    let Region { row, rows, column, columns, n } = region;
    let Epilogue { bias, activation, residual, .. } = *epilogue;
    if bias.is_none() && activation == Activation::None && residual.is_none() && max.is_none() {
        return;
    }
    let bias = bias.map(|bias| bias[column..].as_ptr());
    let residual = residual.map(|residual| residual[row * n + column..].as_ptr());
    with_pointwise!(activation, f => {
        // SAFETY: the caller promises the tile and `max`; the check, the operands.
        set.run(unsafe { Apply::new(f, (bias, residual, n), max, (c, c_stride), rows, columns) });
    });
}

/// The kernel of [`finish`].
struct Apply<F> {
    f: F,
    bias: Option<*const f32>,
    residual: Option<*const f32>,
    residual_stride: usize,
    max: Option<*mut f32>,
    c: *mut f32,
    c_stride: usize,
    rows: usize,
    columns: usize,
}

impl<F> Apply<F> {
    /// # Safety
    /// `rows` rows of `columns` numbers are readable and writable at `c` and readable at the
    /// residual, each with its stride; `columns` numbers are readable at the bias, and readable and
    /// writable at `max`.
    #[inline(always)]
    unsafe fn new(
        f: F,
        (bias, residual, residual_stride): (Option<*const f32>, Option<*const f32>, usize),
        max: Option<*mut f32>,
        (c, c_stride): (*mut f32, usize),
        rows: usize,
        columns: usize,
    ) -> Self {
        Self { f, bias, residual, residual_stride, max, c, c_stride, rows, columns }
    }
}

impl<F: Pointwise> Kernel for Apply<F> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { f, bias, residual, residual_stride, max, c, c_stride, rows, columns } = self;
        let zero = s.splat(0.0);
        let mut at = 0;
        while at < columns {
            let count = (columns - at).min(S::LANES);
            // SAFETY: `new` requires `rows` x `columns` numbers of each; `at + count <= columns`.
            unsafe {
                let bias = match bias {
                    Some(bias) => load_or(s, bias, at, count, zero),
                    None => zero,
                };
                let mut largest = s.splat(f32::NEG_INFINITY);
                for row in 0..rows {
                    let c = c.add(row * c_stride);
                    let mut x = f.apply(s, s.add(load_or(s, c, at, count, zero), bias));
                    if let Some(residual) = residual {
                        x = s.add(x, load_or(s, residual.add(row * residual_stride), at, count, zero));
                    }
                    if max.is_some() {
                        largest = s.max_or_nan(largest, x);
                    } else {
                        store_some(s, c, at, count, x);
                    }
                }
                if let Some(max) = max {
                    let so_far = load_or(s, max, at, count, zero);
                    store_some(s, max, at, count, s.max_or_nan(so_far, largest));
                }
            }
            at += count;
        }
    }
}
