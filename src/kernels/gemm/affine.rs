//! Numbers that share one scale and one zero point, as 8-bit integers: the rows of A where these overlap.

use crate::{
    error::{Error, Result},
    kernels::{
        KernelSet,
        gemm::{factor::Factors, integers::Integer, packed::PackedRef},
        simd::{Kernel, Simd, reduce::load_or},
    },
};

/// Steps between the least number and the largest. One fewer than bytes have, so that both are held after the zero
/// point is rounded.
const STEPS: f64 = 254.0;
/// What the packed offsets of columns of bytes hold of each sum.
const EXCESS: i32 = 128;

/// How numbers are held in bytes: as `scale * (byte - zero_point)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Affine {
    scale: f32,
    factor: f32,
    zero_point: i32,
}

impl Affine {
    /// The finest that holds all numbers of `parts`, and 0 exactly; its scale is NaN if one is infinite or NaN.
    pub(crate) fn of<'x>(set: KernelSet, parts: impl IntoIterator<Item = &'x [f32]>) -> Self {
        let ends = parts.into_iter().map(|part| set.run(Ends(part)));
        // NaN stays, whatever it is compared with.
        let wider = |so_far: (f32, f32), own: (f32, f32)| {
            if so_far.0.is_nan() || own.0.is_nan() {
                (f32::NAN, f32::NAN)
            } else {
                (so_far.0.min(own.0), so_far.1.max(own.1))
            }
        };
        let (least, most) = ends.fold((0.0, 0.0), wider);
        let span = f64::from(most) - f64::from(least);
        if !span.is_finite() {
            return Self { scale: f32::NAN, factor: 0.0, zero_point: 0 };
        }
        let factor = (STEPS / span) as f32;
        // Numbers too small for a factor count as zeros.
        let factor = if factor.is_finite() { factor } else { 0.0 };
        Self { scale: (span / STEPS) as f32, factor, zero_point: -(least * factor).round_ties_even() as i32 }
    }

    /// Writes the integers of `x`: bytes, or 16 bits less the zero point.
    ///
    /// # Errors
    /// `Internal` if the lengths differ.
    pub(crate) fn quantize<T: Integer>(self, set: KernelSet, x: &[f32], to: &mut [T]) -> Result<()> {
        if x.len() != to.len() {
            return Err(Error::internal(format!("{} numbers into {} integers", x.len(), to.len())));
        }
        // Bytes are stored plus 128.
        let shift = if T::FACTORS == Factors::Bytes { (self.zero_point - EXCESS) as f32 } else { 0.0 };
        set.run_integers(Quantize { x, factor: self.factor, shift, to });
        Ok(())
    }

    /// Writes what turns the sums of each column of `b` into numbers: its scale, and its offset.
    ///
    /// # Errors
    /// `Internal` if a length differs from the number of columns, or if these have no scales.
    pub(crate) fn columns(self, b: PackedRef<'_>, scales: &mut [f32], offsets: &mut [i32]) -> Result<()> {
        let (own, packed) = b.columns();
        if own.len() != scales.len() || packed.len() != offsets.len() || scales.len() != b.n() {
            return Err(Error::internal(format!("{} scales of {} columns of integers", scales.len(), b.n())));
        }
        scales.iter_mut().zip(own).for_each(|(scale, own)| *scale = own * self.scale);
        offsets.iter_mut().zip(packed).for_each(|(offset, packed)| *offset = packed / EXCESS * self.zero_point);
        Ok(())
    }
}

/// The least number and the largest, no more than 0 and no less; NaN if one is.
struct Ends<'a>(&'a [f32]);

impl Kernel for Ends<'_> {
    type Output = (f32, f32);
    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> (f32, f32) {
        let (x, zero) = (self.0, s.splat(0.0));
        let (mut most, mut depth) = (zero, zero);
        for at in (0..x.len()).step_by(S::LANES) {
            // SAFETY: `at` and as many lanes as are left are within the slice.
            let x = unsafe { load_or(s, x.as_ptr(), at, (x.len() - at).min(S::LANES), zero) };
            most = s.max_or_nan(most, x);
            depth = s.max(depth, s.neg(x));
        }
        // The sum is NaN if and only if a lane is: none is negative.
        if s.sum(most).is_nan() { (f32::NAN, f32::NAN) } else { (-s.largest(depth), s.largest(most)) }
    }
}

/// The kernel of [`Affine::quantize`].
struct Quantize<'a, T> {
    x: &'a [f32],
    factor: f32,
    shift: f32,
    to: &'a mut [T],
}

impl<T: Integer> Kernel for Quantize<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { x, factor, shift, to } = self;
        let (zero, factor, shift) = (s.splat(0.0), s.splat(factor), s.splat(shift));
        let (len, to) = (x.len().min(to.len()), to.as_mut_ptr());
        for at in (0..len).step_by(S::LANES) {
            let count = (len - at).min(S::LANES);
            // SAFETY: `at` and as many lanes as are left are within both.
            unsafe {
                let integer = s.round(s.mul(load_or(s, x.as_ptr(), at, count, zero), factor));
                T::store(s, to.add(at), count, s.add(integer, shift));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::gemm::{Epilogue, Layout, Matrix, Packed, Rows, Segment, Sums, gemm, gemm_max};

    fn numbers(len: usize, seed: usize, least: f32) -> Vec<f32> {
        (0..len).map(|i| ((i * 7919 + seed * 104_729) % 2003) as f32 / 100.0 + least).collect()
    }

    fn check<T: Integer>(set: KernelSet, least: f32) {
        // Windows of two parts that overlap, of whole steps and not.
        for (m, n, len) in [(1, 1, 4), (37, 33, 8), (33, 31, 24), (40, 65, 60)] {
            let segments = [Segment { offset: 0, len }, Segment { offset: len + 4, len }];
            let k = 2 * len;
            let (x, b, bias) =
                (numbers((m - 1) * 4 + 2 * len + 4, 1, least), numbers(k * n, 2, -9.0), numbers(n, 3, 0.0));
            let affine = Affine::of(set, x.chunks(7));
            let mut data = vec![T::zeroed(); x.len()];
            affine.quantize(set, &x, &mut data).unwrap();
            let packed = Packed::with_factors(set, T::FACTORS, &Matrix::new(&b, k, n, Layout::RowMajor), k).unwrap();
            let (mut scales, mut offsets) = (vec![0.0; n], vec![0; n]);
            affine.columns((&packed).into(), &mut scales, &mut offsets).unwrap();
            let sums = Sums { scales: &scales, columns: &offsets, rows: &[] };
            let epilogue = Epilogue { bias: Some(&bias), sums: Some(sums), ..Epilogue::default() };
            let rows = Rows { data: &data, rows: m, stride: 4, segments: &segments };
            let (mut c, mut most) = (vec![0.0; m * n], vec![0.0; n]);
            gemm(set, &rows, &packed, &epilogue, &mut c, n).unwrap();
            gemm_max(set, &rows, &packed, &epilogue, &mut most).unwrap();
            let [low, high] = [f32::min, f32::max].map(|end| x.iter().copied().fold(0.0, end));
            let scale = (f64::from(high) - f64::from(low)) / 254.0;
            for j in 0..n {
                let column = (0..k).map(|k| b[k * n + j]);
                let own = f64::from(column.clone().fold(0.0, |most: f32, x| most.max(x.abs()))) / 127.0;
                for row in 0..m {
                    let places = segments.iter().flat_map(|s| row * 4 + s.offset..row * 4 + s.offset + s.len);
                    let terms = places.zip(column.clone()).map(|(at, b)| {
                        (f64::from(x[at]) / scale).round_ties_even() * (f64::from(b) / own).round_ties_even()
                    });
                    let want = terms.sum::<f64>() * scale * own + f64::from(bias[j]);
                    // An integer may fall to the other side of a half.
                    let slack = scale * own * 127.0 * k as f64 * 0.02 + 1e-4;
                    let found = f64::from(c[row * n + j]);
                    assert!((found - want).abs() <= slack, "{set} {m}x{n}x{k} {least}: {found} instead of {want}");
                    assert!(most[j] >= c[row * n + j]);
                }
            }
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "long loops, and instructions that an interpreter lacks")]
    fn overlapping_rows_agree_with_plain_loops() {
        let mut sets = KernelSet::available_int8();
        #[cfg(target_arch = "x86_64")]
        sets.extend(KernelSet::amx_for_tests());
        for set in sets {
            // Of both signs, positive alone and negative alone.
            for least in [-10.0, 0.0, -30.0, -3.0] {
                match Factors::integers(set) {
                    Factors::Bytes => check::<u8>(set, least),
                    _ => check::<i16>(set, least),
                }
            }
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "instructions that an interpreter lacks")]
    fn ends_and_zero_are_held_and_what_is_not_finite_gives_nan() {
        for set in KernelSet::available_int8() {
            for x in [[-1.0_f32, 3.0], [f32::MIN, f32::MAX], [0.0, 1e-3], [-5.0, -2.0], [1e-30, 3e38], [2.5, 2.5]] {
                let affine = Affine::of(set, [&x[..1], &x[1..]]);
                let all = [x[0], x[1], 0.0];
                let mut words = [0_i16; 3];
                affine.quantize(set, &all, &mut words).unwrap();
                for (x, word) in all.into_iter().zip(words) {
                    let byte = i32::from(word) + affine.zero_point;
                    assert!((0..=255).contains(&byte), "{set} {all:?}: {byte}");
                    let held = f64::from(word) * f64::from(affine.scale);
                    assert!((held - f64::from(x)).abs() <= f64::from(affine.scale) * 0.51, "{set} {all:?} {x}: {held}");
                }
                assert_eq!(words[2], 0);
                let mut bytes = [0_u8; 3];
                affine.quantize(set, &all, &mut bytes).unwrap();
                let wide = words.map(|word| i32::from(word) + affine.zero_point);
                assert_eq!(bytes.map(i32::from), wide, "{set} {all:?}");
            }
            for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                for at in [0, 17, 35] {
                    let mut x = [1.0_f32; 36];
                    x[at] = bad;
                    assert!(Affine::of(set, x.chunks(9)).scale.is_nan(), "{set} {bad}");
                }
            }
            assert_eq!(Affine::of(set, [&[0.0, 1e-42][..]]).factor, 0.0);
            assert!(Affine::of(set, []).quantize(set, &[1.0], &mut [0_u8; 2]).is_err());
        }
    }
}
