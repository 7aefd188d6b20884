//! Rows of A and columns of B as 8-bit integers, each row and column with a scale of its own.
//!
//! A number is `scale` times an integer within -127 and 127, where `scale` is the largest magnitude
//! of its row or column over 127. Sums of products are exact, so that a result depends on its row
//! and its column alone. Bytes of A are stored plus 128, because the instructions take one side
//! without a sign; what that adds to a sum is the same in all rows.

use crate::{
    error::{Error, Result},
    kernels::{
        KernelSet,
        gemm::{
            factor::{Factor, Factors},
            matrix::Matrix,
            tile,
        },
        quantize::saturated,
        simd::{Kernel, Simd, reduce::load_or},
    },
};

/// The largest integer.
const LARGEST: f32 = 127.0;
/// The most products of a sum, of bytes up to 255 and 127, that 32 bits hold.
pub(crate) const MOST_PRODUCTS: usize = 1 << 16;

/// What turns the sums of each column of B into numbers.
#[derive(Clone, Default)]
pub(super) struct Columns {
    /// Multiplied with the sums.
    pub(super) scales: Vec<f32>,
    /// Subtracted from the sums before.
    pub(super) offsets: Vec<i32>,
}

impl Columns {
    /// Memory used in bytes.
    pub(super) fn bytes(&self) -> usize {
        size_of_val(self.scales.as_slice()) + size_of_val(self.offsets.as_slice())
    }
}

/// Fills `to` with the panels of `b`, which has passed [`Matrix::check`], each of `depth` rows of steps.
///
/// A column with an infinity or a NaN has NaN as its scale.
pub(super) fn pack_scaled(set: KernelSet, factors: Factors, b: &Matrix<'_>, depth: usize, to: &mut [f32]) -> Columns {
    let largest = largest_of_columns(b);
    let multipliers: Vec<f32> = largest.iter().map(|&largest| factor_of(largest)).collect();
    let sums = pack_lanes(set, factors, [b.k, b.n], depth, to, |k, column| {
        saturated::<i8>(b.data[k * b.row_stride + column * b.column_stride] * multipliers[column], 0).into()
    });
    let excess = if factors == Factors::Bytes { 128 } else { 0 };
    let offsets = sums.into_iter().map(|sum| excess * sum).collect();
    Columns { scales: largest.into_iter().map(scale_of).collect(), offsets }
}

/// Fills `to` with the panels of the matrix whose elements `at` tells by row and column.
///
/// Returns the sum of each column.
pub(super) fn pack_lanes(
    set: KernelSet,
    factors: Factors,
    [k, n]: [usize; 2],
    depth: usize,
    to: &mut [f32],
    at: impl Fn(usize, usize) -> i32,
) -> Vec<i32> {
    let mut sums = vec![0_i32; n];
    if depth == 0 {
        return sums;
    }
    let (width, step) = (tile::width(set), factors.step());
    let (bits, mask) = (32 / step, u32::MAX >> (32 - 32 / step));
    for (panel, to) in to.chunks_exact_mut(width * depth).enumerate() {
        let first = panel * width;
        for (column, sum) in sums.iter_mut().enumerate().skip(first).take(width) {
            for (row, own) in (0..k).step_by(step).enumerate() {
                let mut lane = 0_u32;
                for (place, k) in (own..k.min(own + step)).enumerate() {
                    let integer = at(k, column);
                    *sum = sum.wrapping_add(integer);
                    lane |= (integer.cast_unsigned() & mask) << (place * bits);
                }
                to[row * width + column - first] = f32::from_bits(lane);
            }
        }
    }
    sums
}

/// The largest magnitude of each column, NaN where there is one.
fn largest_of_columns(b: &Matrix<'_>) -> Vec<f32> {
    let larger = |a: f32, b: f32| if a.is_nan() || a > b { a } else { b };
    let mut largest = vec![0.0_f32; b.n];
    if b.k == 0 || b.n == 0 {
        return largest;
    }
    if b.column_stride == 1 {
        for row in 0..b.k {
            let row = &b.data[row * b.row_stride..][..b.n];
            largest.iter_mut().zip(row).for_each(|(largest, x)| *largest = larger(*largest, x.abs()));
        }
    } else {
        for (column, largest) in largest.iter_mut().enumerate() {
            let column = b.data[column * b.column_stride..].iter().step_by(b.row_stride.max(1)).take(b.k);
            *largest = column.fold(0.0, |so_far, x| larger(so_far, x.abs()));
        }
    }
    largest
}

/// The scale of numbers up to `largest`.
#[inline(always)]
fn scale_of(largest: f32) -> f32 {
    if largest.is_finite() { largest / LARGEST } else { f32::NAN }
}

/// What numbers up to `largest` are multiplied with to be integers.
#[inline(always)]
fn factor_of(largest: f32) -> f32 {
    let factor = LARGEST / largest;
    // Numbers too small for a factor count as zeros, and those of a row with a NaN do not matter.
    if factor.is_finite() { factor } else { 0.0 }
}

/// An element type of rows of 8-bit integers.
pub(crate) trait Integer: Factor {
    /// Stores the first `count` lanes, rounded.
    ///
    /// # Safety
    /// `count` elements are writable at `to`.
    unsafe fn store<S: Simd>(s: S, to: *mut Self, count: usize, x: S::F);
}

impl Integer for u8 {
    #[inline(always)]
    unsafe fn store<S: Simd>(s: S, to: *mut u8, count: usize, x: S::F) {
        // SAFETY: the contract is the same.
        unsafe { s.store_bytes(to, count, x) }
    }
}

impl Integer for i16 {
    #[inline(always)]
    unsafe fn store<S: Simd>(s: S, to: *mut i16, count: usize, x: S::F) {
        // SAFETY: the contract is the same.
        unsafe { s.store_words(to, count, x) }
    }
}

/// Scratch numbers that [`quantized`] needs.
pub(super) fn quantized_len(factors: Factors, rows: usize, k: usize) -> usize {
    let bytes = rows.saturating_mul(k).saturating_mul(4 / factors.step());
    rows.saturating_add(15).saturating_add(bytes.div_ceil(4)).saturating_add(15) / 16 * 16
}

/// Rows of integers, and the scale of each row.
pub(crate) struct Quantized<'s, T> {
    pub(crate) data: &'s [T],
    pub(crate) scales: &'s [f32],
}

/// Turns `rows` rows of `k` numbers into integers, at the start of `scratch`.
///
/// A row with an infinity or a NaN has NaN as its scale.
///
/// # Errors
/// `Internal` if `scratch` is shorter than [`quantized_len`].
pub(crate) fn quantized<'s, T: Integer>(
    set: KernelSet,
    from: &[f32],
    rows: usize,
    k: usize,
    scratch: &'s mut [f32],
) -> Result<Quantized<'s, T>> {
    let (need, have) = (quantized_len(T::FACTORS, rows, k), scratch.len());
    if have < need || rows.checked_mul(k).is_none_or(|len| len > from.len()) {
        let given = from.len();
        return Err(Error::internal(format!("{rows} rows of {k} of {given} numbers, in {have} of {need} scratch")));
    }
    let (scales, data) = scratch.split_at_mut(rows.next_multiple_of(16).min(need));
    let (scales, data) = (&mut scales[..rows], &mut bytemuck::cast_slice_mut(data)[..rows * k]);
    set.run_integers(Quantize { from: &from[..rows * k], k, data: &mut *data, scales: &mut *scales });
    Ok(Quantized { data, scales })
}

/// The kernel of [`quantized`].
struct Quantize<'a, T> {
    from: &'a [f32],
    k: usize,
    data: &'a mut [T],
    scales: &'a mut [f32],
}

impl<T: Integer> Kernel for Quantize<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { from, k, data, scales } = self;
        if k == 0 {
            return scales.fill(0.0);
        }
        let zero = s.splat(0.0);
        for ((from, to), scale) in from.chunks_exact(k).zip(data.chunks_exact_mut(k)).zip(scales) {
            let (from, to) = (from.as_ptr(), to.as_mut_ptr());
            let mut largest = zero;
            for at in (0..k).step_by(S::LANES) {
                // SAFETY: `at` and as many lanes as are left are within the row.
                let x = unsafe { load_or(s, from, at, (k - at).min(S::LANES), zero) };
                largest = s.max_or_nan(largest, s.abs(x));
            }
            // The sum is NaN if and only if a lane is: none is negative.
            let largest = if s.sum(largest).is_nan() { f32::NAN } else { s.largest(largest) };
            *scale = scale_of(largest);
            let factor = s.splat(factor_of(largest));
            for at in (0..k).step_by(S::LANES) {
                let count = (k - at).min(S::LANES);
                // SAFETY: as above, in both rows.
                unsafe { T::store(s, to.add(at), count, s.mul(load_or(s, from, at, count, zero), factor)) };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use half::bf16;

    use crate::kernels::{
        Activation, KernelSet,
        gemm::{
            Epilogue, Factors, Layout, Matrix, Packed, PackedRef, Rows, Segment, gemm_dense, gemm_max,
            integers::{Quantized, quantized, quantized_len},
            rounded_len,
        },
    };

    fn numbers(len: usize, seed: usize) -> Vec<f32> {
        (0..len).map(|i| ((i * 7919 + seed * 104_729) % 2003) as f32 / 100.0 - 10.0).collect()
    }

    fn sets() -> Vec<KernelSet> {
        let mut sets = KernelSet::available_int8();
        #[cfg(target_arch = "x86_64")]
        sets.extend(KernelSet::amx_for_tests());
        sets
    }

    /// The scale and the integers of numbers, as the module's documentation says.
    fn rounded(numbers: impl Iterator<Item = f32> + Clone) -> (f32, Vec<i64>) {
        let largest = numbers.clone().fold(0.0_f32, |largest, x| largest.max(x.abs()));
        let factor = if largest == 0.0 { 0.0 } else { 127.0 / largest };
        (largest / 127.0, numbers.map(|x| (x * factor).round_ties_even() as i64).collect())
    }

    #[test]
    #[cfg_attr(miri, ignore = "long loops, and instructions that an interpreter lacks")]
    fn products_of_integers_are_exact() {
        for (m, n, k) in [(1, 1, 1), (3, 5, 7), (32, 32, 64), (33, 65, 66), (70, 31, 257), (14, 40, 4301), (5, 3, 0)] {
            let (a, bias, residual) = (numbers(m * k, 1), numbers(n, 3), numbers(m * n, 4));
            for (layout, columns) in [(Layout::RowMajor, (n, 1)), (Layout::Transposed, (1, k))] {
                let b = numbers(k * n, 2);
                let columns: Vec<_> =
                    (0..n).map(|j| rounded((0..k).map(|i| b[i * columns.0 + j * columns.1]))).collect();
                let mut want = Vec::new();
                for row in 0..m {
                    let (scale, integers) = rounded(a[row * k..][..k].iter().copied());
                    for (j, (own_scale, own)) in columns.iter().enumerate() {
                        let sum: i64 = integers.iter().zip(own).map(|(a, b)| a * b).sum();
                        want.push((sum as f32 * scale * own_scale + bias[j]).max(0.0) + residual[row * n + j]);
                    }
                }
                for set in sets() {
                    let what = format!("{m}x{n}x{k} {layout:?} {set}");
                    let factors = Factors::integers(set);
                    let packed =
                        Packed::with_factors(set, factors, &Matrix::new(&b, k, n, layout), k).expect("a matrix");
                    let mut scratch = vec![f32::NAN; rounded_len(factors, m, k)];
                    let epilogue = Epilogue {
                        bias: Some(&bias),
                        activation: Activation::Relu,
                        residual: Some(&residual),
                        ..Epilogue::default()
                    };
                    let mut c = vec![0.0_f32; m * n];
                    gemm_dense(set, &a, m, (&packed).into(), &epilogue, &mut c, &mut scratch).unwrap();
                    assert_eq!(c, want, "{what}");
                    let mut stored = vec![bf16::ZERO; m * n];
                    gemm_dense(set, &a, m, (&packed).into(), &epilogue, &mut stored, &mut scratch).unwrap();
                    assert!(stored.iter().zip(&want).all(|(x, y)| *x == bf16::from_f32(*y)), "{what} as bf16");
                    let mut alone = vec![0.0_f32; n];
                    let last = Epilogue { residual: Some(&residual[(m - 1) * n..]), ..epilogue };
                    let row = &a[(m - 1) * k..];
                    gemm_dense(set, row, 1, (&packed).into(), &last, &mut alone, &mut scratch).unwrap();
                    assert_eq!(alone, want[(m - 1) * n..], "{what} alone");
                    // Without a residual, the largest of each column.
                    match factors {
                        Factors::Bytes => largest::<u8>(set, &a, m, &packed, &bias, &want, &residual, &mut scratch),
                        _ => largest::<i16>(set, &a, m, &packed, &bias, &want, &residual, &mut scratch),
                    }
                }
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "all of a product")]
    fn largest<T: super::Integer>(
        set: KernelSet,
        a: &[f32],
        m: usize,
        packed: &Packed,
        bias: &[f32],
        want: &[f32],
        residual: &[f32],
        scratch: &mut [f32],
    ) {
        let (k, n) = (packed.k(), packed.n());
        let Quantized { data, scales } = quantized::<T>(set, a, m, k, scratch).unwrap();
        let segments = [Segment { offset: 0, len: k }];
        let epilogue =
            Epilogue { bias: Some(bias), activation: Activation::Relu, row_scales: scales, ..Epilogue::default() };
        let mut most = vec![0.0_f32; n];
        let rows = Rows { data, rows: m, stride: k, segments: &segments };
        gemm_max(set, &rows, packed, &epilogue, &mut most).unwrap();
        for (j, most) in most.into_iter().enumerate() {
            let column = (0..m).map(|row| want[row * n + j] - residual[row * n + j]);
            let want = column.fold(f32::NEG_INFINITY, f32::max);
            assert!((most - want).abs() <= 1e-5 * want.abs().max(1.0), "{set}: {most} instead of {want}");
        }
        // A product without the scales of its rows is refused.
        let none = Epilogue::default();
        assert!(gemm_max(set, &rows, packed, &none, &mut vec![0.0; n]).is_err() || m == 0);
    }

    #[test]
    fn hostile_rows_and_columns_stay_by_themselves() {
        let (m, n, k) = (6, 3, 40);
        let (mut a, mut b) = (numbers(m * k, 1), numbers(k * n, 2));
        a[k + 3] = f32::NAN;
        a[2 * k + 39] = f32::INFINITY;
        a[3 * k..4 * k].fill(0.0);
        a[4 * k..5 * k].iter_mut().for_each(|x| *x *= 1e-42);
        a[5 * k..].iter_mut().for_each(|x| *x *= 3e37);
        b[n + 2] = f32::NAN;
        for set in sets() {
            let factors = Factors::integers(set);
            let packed = Packed::with_factors(set, factors, &Matrix::new(&b, k, n, Layout::RowMajor), k).unwrap();
            let (mut c, mut scratch) = (vec![0.0_f32; m * n], vec![0.0; quantized_len(factors, m, k)]);
            gemm_dense(set, &a, m, PackedRef::from(&packed), &Epilogue::default(), &mut c, &mut scratch).unwrap();
            for (row, c) in c.chunks(n).enumerate() {
                assert!(c[2].is_nan(), "{set} {row}");
                let want_nan = row == 1 || row == 2;
                assert!(c[..2].iter().all(|x| x.is_nan() == want_nan), "{set} {row}: {c:?}");
                if row == 3 || row == 4 {
                    assert_eq!(c[..2], [0.0; 2], "{set} {row}");
                }
            }
            let short = scratch.len() - 1;
            let c = &mut vec![0.0_f32; m * n];
            let none = Epilogue::default();
            assert!(gemm_dense(set, &a, m, (&packed).into(), &none, c, &mut scratch[..short]).is_err());
        }
    }
}
