//! Peak throughput of a kernel set, the reference of benchmarks.

use std::{array, hint::black_box};

use crate::kernels::{
    KernelSet,
    simd::{Kernel, Simd},
};

/// Runs `rounds` rounds of independent multiply-adds in registers and returns the operations done.
///
/// They are of f32, or of bf16 with the set's instructions for it.
pub fn peak(set: KernelSet, bf16: bool, rounds: usize) -> f64 {
    if bf16 { set.run_bf16(Peak::<true>(rounds)) } else { set.run(Peak::<false>(rounds)) }
}

/// The kernel of [`peak`], with its number of rounds.
struct Peak<const BF16: bool>(usize);

impl<const BF16: bool> Kernel for Peak<BF16> {
    type Output = f64;
    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> f64 {
        // Enough chains to hide the latency of an operation, few enough for sixteen registers.
        const CHAINS: usize = 10;
        // Lanes and chains differ, or the compiler computes one for all.
        let mut numbers: [f32; CHAINS + 16] = array::from_fn(|i| black_box(i as f32));
        let mut sums = [s.splat(0.0); CHAINS];
        for (i, sum) in sums.iter_mut().enumerate() {
            // SAFETY: no vector has more than 16 lanes.
            *sum = unsafe { s.load(numbers[i..].as_ptr()) };
        }
        // As bf16 a pair of 0.5.
        let pair = black_box(0x3f00_3f00);
        let (x, y) = (s.splat(f32::from_bits(pair)), s.splat(black_box(0.001)));
        for _ in 0..self.0 {
            for sum in &mut sums {
                *sum = if BF16 { s.dot(pair, x, *sum) } else { s.fma(*sum, x, y) };
            }
        }
        for (i, &sum) in sums.iter().enumerate() {
            // SAFETY: as above.
            unsafe { s.store(numbers[i..].as_mut_ptr(), sum) };
        }
        black_box(numbers);
        let of_a_lane = if BF16 { 4 } else { 2 };
        (of_a_lane * CHAINS * S::LANES * self.0) as f64
    }
}
