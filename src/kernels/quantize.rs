//! Bytes that stand for numbers: `scale * (byte - zero point)`.

use crate::kernels::{
    KernelSet,
    simd::{Kernel, Simd},
};

/// A byte, with or without a sign.
pub(crate) trait Byte: Copy {
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

/// `x` rounded to an integer, ties to even, plus `zero`, saturated; 0 for a NaN.
#[inline(always)]
pub(crate) fn saturated<Q: Byte>(x: f32, zero: i32) -> Q {
    // The low bits of a sum of this size hold the integer.
    const ROUNDER: f32 = 12_582_912.0;
    // Past all bytes, whatever the zero point.
    const FAR: f32 = 65_536.0;
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
    fn run<S: Simd>(self, _: S) {
        for (to, &x) in self.to.iter_mut().zip(self.x) {
            *to = saturated(x / self.scale, self.zero);
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
