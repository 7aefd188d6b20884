//! What follows a product while its tile is in cache.

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

/// What is done to a product of M x N, in this order: bias, activation, residual, layer norm.
#[derive(Clone, Copy, Debug, Default)]
pub struct Epilogue<'a> {
    /// Added to each row: N numbers.
    pub bias: Option<&'a [f32]>,
    /// Applied to each element.
    pub activation: Activation,
    /// Added to the whole: M x N numbers, rows one after another.
    pub residual: Option<&'a [f32]>,
    /// Normalises each row.
    pub layer_norm: Option<LayerNorm<'a>>,
}

impl Epilogue<'_> {
    /// Fails unless everything fits a product of `rows x n`.
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

/// The epilogue of one tile, all but the layer norm.
pub(super) struct Finish<'a> {
    pub(super) epilogue: &'a Epilogue<'a>,
    /// The tile's first row and its rows.
    pub(super) row: usize,
    pub(super) rows: usize,
    /// The tile's first column and its columns, which are within N.
    pub(super) column: usize,
    pub(super) columns: usize,
    pub(super) n: usize,
    /// Where the largest of each column so far is kept: `columns` numbers.
    pub(super) max: Option<*mut f32>,
}

impl Finish<'_> {
    /// Applies it to the tile at `c`, for a checked epilogue.
    pub(super) fn run(self, set: KernelSet, c: *mut f32, c_stride: usize) {
        let Self { epilogue, row, rows, column, columns, n, max } = self;
        let Epilogue { bias, activation, residual, .. } = *epilogue;
        if bias.is_none() && activation == Activation::None && residual.is_none() && max.is_none() {
            return;
        }
        let bias = bias.map(|bias| bias[column..].as_ptr());
        let residual = residual.map(|residual| residual[row * n + column..].as_ptr());
        with_pointwise!(activation, f =>
            set.run(Apply { f, bias, residual, n, max, c, c_stride, rows, columns }));
    }
}

struct Apply<F> {
    f: F,
    bias: Option<*const f32>,
    residual: Option<*const f32>,
    n: usize,
    max: Option<*mut f32>,
    c: *mut f32,
    c_stride: usize,
    rows: usize,
    columns: usize,
}

impl<F: Pointwise> Kernel for Apply<F> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { f, bias, residual, n, max, c, c_stride, rows, columns } = self;
        let zero = s.splat(0.0);
        let mut at = 0;
        while at < columns {
            let count = (columns - at).min(S::LANES);
            // SAFETY: `Finish` stands for a tile of `rows` x `columns` within C, the bias and the residual.
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
                        x = s.add(x, load_or(s, residual.add(row * n), at, count, zero));
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
