//! Peak throughput of a kernel set, the reference of benchmarks.

use std::{array, hint::black_box, marker::PhantomData};

use half::bf16;

use crate::kernels::{
    KernelSet,
    gemm::{Factors, Steps},
    simd::{Kernel, Simd},
};

/// Runs `rounds` rounds of independent multiply-adds in registers and returns the operations done.
///
/// They are those of products of such factors.
pub fn peak(set: KernelSet, factors: Factors, rounds: usize) -> f64 {
    match factors {
        Factors::F32 => f32::run(set, Peak::<f32>(rounds, PhantomData)),
        Factors::Bf16 => bf16::run(set, Peak::<bf16>(rounds, PhantomData)),
        Factors::Bytes => u8::run(set, Peak::<u8>(rounds, PhantomData)),
        Factors::Words => i16::run(set, Peak::<i16>(rounds, PhantomData)),
    }
}

/// The kernel of [`peak`], with its number of rounds.
struct Peak<T>(usize, PhantomData<T>);

impl<T: Steps> Kernel for Peak<T> {
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
        let lane = black_box(0x3f00_3f00_u32);
        // SAFETY: a step is 32 bits.
        let a = unsafe { T::read((&raw const lane).cast()) };
        for _ in 0..self.0 {
            for sum in &mut sums {
                // A product that depends on the sum cannot be taken out of the loop.
                *sum = T::multiply(s, a, *sum, *sum);
            }
        }
        for (i, &sum) in sums.iter().enumerate() {
            // SAFETY: as above.
            unsafe { s.store(numbers[i..].as_mut_ptr(), sum) };
        }
        black_box(numbers);
        (2 * T::STEP * CHAINS * S::LANES * self.0) as f64
    }
}
