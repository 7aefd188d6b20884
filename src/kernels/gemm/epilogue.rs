//! Bias, activation and residual, applied to a product while its tile is in cache.

use crate::{
    error::{Error, Result},
    kernels::{
        Activation, KernelSet,
        gemm::{
            factor::{Factors, Steps},
            packed::PackedRef,
            stored::{Stored, copy_rows},
            sums::{Scales, Sums},
        },
        norm::LayerNorm,
        simd::{
            GeluNear, GeluTanhNear, Kernel, Pointwise, Simd,
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
    /// The scale of each row of A, if its numbers are integers.
    pub row_scales: &'a [f32],
    /// What turns the sums of a matrix of integers without scales into numbers.
    pub sums: Option<Sums<'a>>,
}

impl Epilogue<'_> {
    /// Whether results, before any layer norm, are the sums of such factors with `b` as they are.
    pub(super) fn keeps_sums<T: Steps>(&self, b: &PackedRef<'_>) -> bool {
        let scaled = T::FACTORS.are_integers() && (self.sums.is_some() || !b.is_exact());
        !scaled && self.bias.is_none() && self.activation == Activation::None && self.residual.is_none()
    }

    /// Fails unless all operands fit a product of `rows x n` of such factors.
    pub(super) fn check(&self, factors: Factors, rows: usize, n: usize) -> Result<()> {
        if let Some(sums) = self.sums {
            sums.check(factors, rows, n, self.row_scales)?;
        } else if factors.are_integers() && self.row_scales.len() != rows {
            return Err(Error::internal(format!("{} scales of {rows} rows of integers", self.row_scales.len())));
        }
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

/// Where the results of a tile go.
#[derive(Clone, Copy)]
pub(super) enum Target<C> {
    /// To the tile's part of C, whose rows are `stride` apart; it may be where the sums are.
    Store { c: *mut C, stride: usize },
    /// The largest result of each column is folded into a row of numbers.
    Max(*mut f32),
}

/// Applies all of `epilogue` but the layer norm to the sums of a tile.
///
/// In products whose factors are rounded the two forms of gelu are within `6e-5 max(1, |x|)`.
///
/// # Safety
/// `b` and `epilogue` have passed their checks for a product that `region` is a part of. The rows
/// and columns of `region` are readable at `sums`, `sums_stride` apart, and writable at the target.
pub(super) unsafe fn finish<T: Steps, C: Stored>(
    set: KernelSet,
    b: &PackedRef<'_>,
    epilogue: &Epilogue<'_>,
    region: Region,
    sums: *const f32,
    sums_stride: usize,
    target: Target<C>,
) {
    let Region { row, column, n, .. } = region;
    let Epilogue { bias, activation, residual, .. } = *epilogue;
    let exact = T::FACTORS.are_integers() && b.is_exact();
    if exact
        && epilogue.sums.is_none()
        && let Target::Store { c, stride } = target
        && let Some(to) = C::sums(c)
    {
        if to.cast_const() != sums {
            // SAFETY: the caller promises both; the tile's own memory does not overlap the target.
            unsafe { copy_rows(sums, sums_stride, to, stride, region.rows, region.columns) };
        }
        return;
    }
    let scales =
        T::FACTORS.are_integers().then(|| Scales::new(epilogue.sums, epilogue.row_scales, b.columns(), row, column));
    if epilogue.keeps_sums::<T>(b)
        && let Target::Store { c, .. } = target
        && C::sums(c).is_some_and(|c| c.cast_const() == sums)
    {
        return;
    }
    let bias = bias.map(|bias| bias[column..].as_ptr());
    let residual = residual.map(|residual| residual[row * n + column..].as_ptr());
    let operands = Operands { bias, residual, residual_stride: n, scales, sums, sums_stride, region };
    // SAFETY: the caller promises the tile and the target; the check, the operands.
    unsafe {
        match activation {
            Activation::Gelu if T::FACTORS != Factors::F32 && !exact => {
                run::<T, _>(set, Apply::new(GeluNear, operands, target))
            }
            Activation::GeluTanh if T::FACTORS != Factors::F32 && !exact => {
                run::<T, _>(set, Apply::new(GeluTanhNear, operands, target));
            }
            activation => with_pointwise!(activation, f => run::<T, _>(set, Apply::new(f, operands, target))),
        }
    }
}

/// Runs the kernel with the instructions that it has a use for: none of those for products of integers.
fn run<T: Steps, K: Kernel>(set: KernelSet, kernel: K) -> K::Output {
    if const { T::FACTORS.are_integers() } { set.run(kernel) } else { T::run(set, kernel) }
}

/// What [`finish`] reads.
#[derive(Clone, Copy)]
struct Operands {
    scales: Option<Scales>,
    bias: Option<*const f32>,
    residual: Option<*const f32>,
    residual_stride: usize,
    sums: *const f32,
    sums_stride: usize,
    region: Region,
}

/// The kernel of [`finish`].
struct Apply<F, C> {
    f: F,
    operands: Operands,
    target: Target<C>,
}

impl<F, C> Apply<F, C> {
    /// # Safety
    /// The rows and columns of the region are readable at the sums and the residual, each with its
    /// stride, the columns at the bias, and both at the scales; all of it is writable at the target.
    #[inline(always)]
    unsafe fn new(f: F, operands: Operands, target: Target<C>) -> Self {
        Self { f, operands, target }
    }
}

impl<F: Pointwise, C: Stored> Kernel for Apply<F, C> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { f, operands, target } = self;
        let Operands { scales, bias, residual, residual_stride, sums, sums_stride, region } = operands;
        let Region { rows, columns, .. } = region;
        let zero = s.splat(0.0);
        // The result of one vector; a macro, because a closure would not be compiled with the
        // kernel set's instructions.
        macro_rules! result {
            ($row:expr, $at:expr, $count:expr, $of:expr) => {{
                let (bias, column, offset) = $of;
                let sum = load_or(s, sums.add($row * sums_stride), $at, $count, zero);
                let sum = match scales {
                    Some(scales) => {
                        let offset = s.add_integers(offset, s.splat(scales.row_offsets.get($row)));
                        s.mul(s.mul(s.difference(sum, offset), s.splat(scales.rows.get($row))), column)
                    }
                    None => sum,
                };
                let x = f.apply(s, s.add(sum, bias));
                match residual {
                    Some(residual) => s.add(x, load_or(s, residual.add($row * residual_stride), $at, $count, zero)),
                    None => x,
                }
            }};
        }
        let mut at = 0;
        // SAFETY: `new` requires the region's rows and columns of each; no vector leaves them.
        unsafe {
            macro_rules! of_columns {
                ($at:expr, $count:expr) => {{
                    let bias = match bias {
                        Some(bias) => load_or(s, bias, $at, $count, zero),
                        // Added to any number it changes nothing.
                        None => s.splat(-0.0),
                    };
                    match scales {
                        Some(Scales { columns, offsets, .. }) => {
                            (bias, load_or(s, columns, $at, $count, zero), load_or(s, offsets, $at, $count, zero))
                        }
                        None => (bias, zero, zero),
                    }
                }};
            }
            match target {
                Target::Store { c, stride } => {
                    while at + 2 * S::LANES <= columns {
                        let next = at + S::LANES;
                        let (first, second) = (of_columns!(at, S::LANES), of_columns!(next, S::LANES));
                        for row in 0..rows {
                            let first = result!(row, at, S::LANES, first);
                            let second = result!(row, next, S::LANES, second);
                            C::store_two(s, c.add(row * stride + at), first, second);
                        }
                        at = next + S::LANES;
                    }
                    while at < columns {
                        let count = (columns - at).min(S::LANES);
                        let column = of_columns!(at, count);
                        for row in 0..rows {
                            C::store_lanes(s, c.add(row * stride + at), count, result!(row, at, count, column));
                        }
                        at += count;
                    }
                }
                Target::Max(max) => {
                    while at < columns {
                        let count = (columns - at).min(S::LANES);
                        let column = of_columns!(at, count);
                        let mut largest = s.splat(f32::NEG_INFINITY);
                        for row in 0..rows {
                            largest = s.max_or_nan(largest, result!(row, at, count, column));
                        }
                        let so_far = load_or(s, max, at, count, zero);
                        store_some(s, max, at, count, s.max_or_nan(so_far, largest));
                        at += count;
                    }
                }
            }
        }
    }
}
