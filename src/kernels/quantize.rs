//! Bytes that stand for numbers: `scale * (byte - zero point)`.

use crate::kernels::{
    KernelSet,
    simd::{Kernel, Simd, reduce::load_or},
};

/// A byte, with or without a sign.
pub(crate) trait Byte: bytemuck::Pod {
    /// The smallest and the largest.
    const ENDS: [i32; 2];
    /// The byte with the low bits of `x`.
    fn low(x: i32) -> Self;
    /// The byte's value.
    fn wide(self) -> i32;
}

macro_rules! bytes {
    ($($byte:ty),*) => {$(
        impl Byte for $byte {
            const ENDS: [i32; 2] = [<$byte>::MIN as i32, <$byte>::MAX as i32];
            #[inline(always)]
            fn low(x: i32) -> Self { x as $byte }
            #[inline(always)]
            fn wide(self) -> i32 { self.into() }
        }
    )*};
}
bytes!(i8, u8);

/// Past all bytes, whatever the zero point.
const FAR: f32 = 65_536.0;
/// Numbers that are quantized before another pass over them.
const BLOCK: usize = 1 << 12;

/// `x` rounded to an integer, ties to even, plus `zero`, saturated; 0 for a NaN.
#[inline(always)]
pub(crate) fn saturated<Q: Byte>(x: f32, zero: i32) -> Q {
    // The low bits of a sum of this size hold the integer.
    const ROUNDER: f32 = 12_582_912.0;
    let [least, most] = Q::ENDS;
    let integer = (x.clamp(-FAR, FAR) + ROUNDER).to_bits().wrapping_sub(ROUNDER.to_bits()).cast_signed();
    let byte = integer.wrapping_add(zero).clamp(least, most);
    Q::low(if x.is_nan() { 0 } else { byte })
}

/// Writes `x / scale` rounded to the nearest integer, ties to even, plus the zero point; NaN as 0.
pub(crate) fn quantize<Q: Byte>(set: KernelSet, x: &[f32], scale: f32, zero: Q, to: &mut [Q]) {
    set.run(Quantize { x, scale, zero: zero.wide(), to });
}

struct Quantize<'a, Q> {
    x: &'a [f32],
    scale: f32,
    zero: i32,
    to: &'a mut [Q],
}

impl<Q: Byte> Kernel for Quantize<'_, Q> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { x, scale, zero, to } = self;
        // Bytes are stored less the smallest; the sign bit of those with a sign is turned last.
        let signed = Q::ENDS[0] < 0;
        let (zero, none) = if signed { (zero, 0.0) } else { (zero - 128, -128.0) };
        let (zero, none) = (s.splat(zero as f32), s.splat(none));
        let moderate = (2e-18..1e18).contains(&scale.abs());
        let (most, least) = (s.splat(FAR * scale.abs()), s.splat(-FAR * scale.abs()));
        let (far, near) = (s.splat(FAR), s.splat(-FAR));
        let (scale, inverse) = (s.splat(scale), s.splat(1.0 / scale));
        for (x, to) in x.chunks(BLOCK).zip(to.chunks_mut(BLOCK)) {
            let bytes: &mut [u8] = bytemuck::cast_slice_mut(to);
            let len = x.len().min(bytes.len());
            for at in (0..len).step_by(S::LANES) {
                let count = (len - at).min(S::LANES);
                // SAFETY: `at` and as many lanes as are left are within both.
                unsafe {
                    let x = load_or(s, x.as_ptr(), at, count, none);
                    let quotient = if moderate {
                        s.div_by(s.max(least, s.min(most, x)), scale, inverse)
                    } else {
                        s.max(near, s.min(far, s.div(x, scale)))
                    };
                    let integer = s.select_nan(quotient, none, s.add(s.round(quotient), zero));
                    s.store_bytes(bytes.as_mut_ptr().add(at), count, integer);
                }
            }
            if signed {
                bytes.iter_mut().for_each(|byte| *byte ^= 0x80);
            }
        }
    }
}

/// Writes the numbers that bytes stand for.
pub(crate) fn dequantize<Q: Byte>(set: KernelSet, x: &[Q], scale: f32, zero: Q, to: &mut [f32]) {
    set.run(Dequantize { x, scale, zero: zero.wide(), to });
}

struct Dequantize<'a, Q> {
    x: &'a [Q],
    scale: f32,
    zero: i32,
    to: &'a mut [f32],
}

impl<Q: Byte> Kernel for Dequantize<'_, Q> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        for (to, &x) in self.to.iter_mut().zip(self.x) {
            *to = (x.wide() - self.zero) as f32 * self.scale;
        }
    }
}

/// Writes `scale * sum` of each sum as a byte, as [`quantize`] rounds; `scales` has one for each sum.
pub(crate) fn requantize<Q: Byte>(set: KernelSet, sums: &[i32], scales: &[f32], zero: Q, to: &mut [Q]) {
    set.run(Requantize { sums, scales, zero: zero.wide(), to });
}

struct Requantize<'a, Q> {
    sums: &'a [i32],
    scales: &'a [f32],
    zero: i32,
    to: &'a mut [Q],
}

impl<Q: Byte> Kernel for Requantize<'_, Q> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        for ((to, &sum), &scale) in self.to.iter_mut().zip(self.sums).zip(self.scales) {
            *to = saturated(sum as f32 * scale, self.zero);
        }
    }
}

/// The smallest number and the largest, no more than 0 and no less; NaN is left out.
pub(crate) fn range(set: KernelSet, x: &[f32]) -> (f32, f32) {
    set.run(Range(x))
}

struct Range<'a>(&'a [f32]);

impl Kernel for Range<'_> {
    type Output = (f32, f32);
    #[inline(always)]
    fn run<S: Simd>(self, _: S) -> (f32, f32) {
        const LANES: usize = 32;
        let (mut least, mut most) = ([0.0_f32; LANES], [0.0_f32; LANES]);
        let mut update = |part: &[f32]| {
            for ((least, most), &x) in least.iter_mut().zip(&mut most).zip(part) {
                // A comparison with a NaN is false.
                *least = if x < *least { x } else { *least };
                *most = if x > *most { x } else { *most };
            }
        };
        let mut parts = self.0.chunks_exact(LANES);
        parts.by_ref().for_each(&mut update);
        update(parts.remainder());
        (least.into_iter().fold(0.0, f32::min), most.into_iter().fold(0.0, f32::max))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<Q: Byte + PartialEq + std::fmt::Debug>(set: KernelSet, x: &[f32], scale: f32, zero: Q) {
        let mut to = vec![zero; x.len()];
        quantize(set, x, scale, zero, &mut to);
        for (x, to) in x.iter().zip(to) {
            assert_eq!(to, saturated::<Q>(x / scale, zero.wide()), "{x:e} by {scale:e} and {zero:?}, {set}");
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "long loops, and instructions that an interpreter lacks")]
    fn quotients_are_rounded_once() {
        let bits = |seed: u32| seed.wrapping_mul(2_654_435_761).rotate_left(13).wrapping_mul(0x9e37_79b9);
        let mut scales =
            vec![1.0, 0.1, 1.0 / 255.0, f32::from_bits(0x3f7f_ffff), 1e-30, 1e-40, 3e38, 1e20, -0.3, 1e-17];
        scales.extend((0..200).map(|at| f32::from_bits(0x3000_0000 + bits(at) % 0x1800_0000)));
        scales.extend([0.0, f32::INFINITY, f32::NAN]);
        for (case, scale) in scales.into_iter().enumerate() {
            let mut x =
                vec![0.0, -0.0, f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MIN, 1e-45];
            for half in -600..600 {
                // Halves and their neighbours.
                let tie = half as f32 * 0.5 * scale;
                x.extend([
                    tie,
                    f32::from_bits(tie.to_bits().wrapping_add(1)),
                    f32::from_bits(tie.to_bits().wrapping_sub(1)),
                ]);
            }
            x.extend((0..2_000).map(|at| (bits(at + case as u32 * 7919) as f32 / 4.3e9 - 0.5) * 300.0 * scale));
            x.extend((0..200).map(|at| f32::from_bits(bits(at + 77))));
            for set in KernelSet::available_int8() {
                for zero in [0_u8, 1, 128, 255] {
                    check(set, &x, scale, zero);
                }
                for zero in [0_i8, -128, 127] {
                    check(set, &x[..x.len() - 3], scale, zero);
                }
            }
        }
    }
}
