//! 32-bit integers, which wrap.

use crate::kernels::{
    KernelSet,
    simd::{Kernel, Simd},
};

/// Subtracts `factor` times each number of `from` from those of `to`.
pub(crate) fn subtract_scaled(set: KernelSet, to: &mut [i32], factor: i32, from: &[i32]) {
    set.run(SubtractScaled { to, factor, from });
}

/// Adds `factor` times every `stride`-th number of `from` to those of `to`.
pub(crate) fn add_scaled(set: KernelSet, to: &mut [i32], factor: i16, from: &[i16], stride: usize) {
    set.run(AddScaled { to, factor: factor.into(), from, stride });
}

struct AddScaled<'a> {
    to: &'a mut [i32],
    factor: i32,
    from: &'a [i16],
    stride: usize,
}

impl Kernel for AddScaled<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let Self { to, factor, from, stride } = self;
        if stride == 1 {
            for (to, &from) in to.iter_mut().zip(from) {
                *to = to.wrapping_add(i32::from(from) * factor);
            }
        } else {
            for (to, &from) in to.iter_mut().zip(from.iter().step_by(stride)) {
                *to = to.wrapping_add(i32::from(from) * factor);
            }
        }
    }
}

struct SubtractScaled<'a> {
    to: &'a mut [i32],
    factor: i32,
    from: &'a [i32],
}

impl Kernel for SubtractScaled<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        for (to, &from) in self.to.iter_mut().zip(self.from) {
            *to = to.wrapping_sub(from.wrapping_mul(self.factor));
        }
    }
}
