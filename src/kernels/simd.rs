//! Vectors of `f32` lanes: the operations that every kernel is written in, once, for all kernel sets.
//!
//! A kernel is a struct that implements `Kernel`; `KernelSet::run` compiles its `run` for
//! each set inside one function that has the set's instructions enabled. For that to reach the inner loops, `run` and
//! everything it calls is `#[inline(always)]`.

#[cfg(target_arch = "x86_64")]
pub(crate) mod avx2;
#[cfg(target_arch = "x86_64")]
pub(crate) mod avx512;
pub(crate) mod math;
mod pairs;
mod pointwise;
pub(crate) mod portable;
pub(crate) mod reduce;

pub use pairs::{PairFunction, Side, combine, combine_in_place};
pub(crate) use pointwise::{Pointwise, function, with_pointwise};
pub use pointwise::{map, map_in_place};

use half::bf16;

/// The permission to use one kernel set's instructions, and the instructions.
///
/// An implementor is an empty token that only its own `run` makes, so arithmetic is safe to call; only what takes a
/// pointer is not. Where lanes are compared, `a < b` is false if either is NaN.
pub(crate) trait Simd: Copy {
    /// A vector of [`LANES`](Self::LANES) numbers.
    type F: Copy;
    /// Lanes of a vector.
    const LANES: usize;
    /// The most rows of a register tile that is two vectors wide.
    const TILE_ROWS: usize;
    /// The same where the products are of bf16 numbers.
    const BF16_TILE_ROWS: usize;

    /// `x` in every lane.
    fn splat(self, x: f32) -> Self::F;
    /// The vector at `from`, which needs no alignment.
    ///
    /// # Safety
    /// `LANES` numbers can be read at `from`.
    unsafe fn load(self, from: *const f32) -> Self::F;
    /// The first `count <= LANES` numbers at `from`, and zeros; nothing past them is read.
    ///
    /// # Safety
    /// `count` numbers can be read at `from`.
    unsafe fn load_head(self, from: *const f32, count: usize) -> Self::F;
    /// Writes the vector to `to`.
    ///
    /// # Safety
    /// `LANES` numbers can be written at `to`.
    unsafe fn store(self, to: *mut f32, x: Self::F);
    /// Writes the first `count <= LANES` lanes to `to`, and nothing past them.
    ///
    /// # Safety
    /// `count` numbers can be written at `to`.
    unsafe fn store_head(self, to: *mut f32, count: usize, x: Self::F);

    /// `a + b`
    fn add(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a - b`
    fn sub(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a * b`
    fn mul(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a / b`
    fn div(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a * b + c`, rounded once where the set has such an instruction.
    fn fma(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F;
    /// `a < b ? a : b`, so `b` where either is NaN.
    fn min(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a > b ? a : b`, so `b` where either is NaN.
    fn max(self, a: Self::F, b: Self::F) -> Self::F;
    /// `|a|`
    fn abs(self, a: Self::F) -> Self::F;
    /// `-a`
    fn neg(self, a: Self::F) -> Self::F;
    /// The magnitude of `a`, which is not negative, with the sign of `sign`.
    fn with_sign(self, a: Self::F, sign: Self::F) -> Self::F;
    /// The square root.
    fn sqrt(self, a: Self::F) -> Self::F;
    /// The nearest integer, ties to even, for `|a| < 2^22`.
    fn round(self, a: Self::F) -> Self::F;
    /// `a * 2^n` for integral `n` in -160..=160, correct where the result is denormal or overflows.
    fn scale(self, a: Self::F, n: Self::F) -> Self::F;
    /// `a < b ? yes : no`
    fn select_less(self, a: Self::F, b: Self::F, yes: Self::F, no: Self::F) -> Self::F;
    /// `a` is NaN `? yes : no`
    fn select_nan(self, a: Self::F, yes: Self::F, no: Self::F) -> Self::F;
    /// The first `count <= LANES` lanes of `a`, `fill` in the others.
    fn head(self, a: Self::F, count: usize, fill: Self::F) -> Self::F;
    /// The sum of the lanes, by halves.
    fn sum(self, a: Self::F) -> f32;
    /// The largest of the lanes, none of which is NaN.
    fn largest(self, a: Self::F) -> f32;

    /// Transposes a square of `LANES` each way: reads `rows <= LANES` rows of `LANES` numbers, `from_stride` apart, and
    /// writes `LANES` rows whose first `rows` numbers they are, zeros behind, `to_stride` apart.
    ///
    /// # Safety
    /// The rows can be read at `from` and written at `to`.
    unsafe fn transpose(self, from: *const f32, from_stride: usize, rows: usize, to: *mut f32, to_stride: usize);

    /// The nearest bf16 of each lane, ties to even: an f32 whose low half is zero. NaN stays NaN, denormals are kept.
    fn round_bf16(self, a: Self::F) -> Self::F;
    /// The high half of each lane, and zeros below: the odd bf16 of a pair.
    fn high(self, pairs: Self::F) -> Self::F;
    /// The low half of each lane, brought up: the even bf16 of a pair.
    fn low(self, pairs: Self::F) -> Self::F;
    /// The lanes rounded and paired, `even` in the low half.
    fn pair(self, even: Self::F, odd: Self::F) -> Self::F;
    /// Rounds the first `count <= LANES` lanes and writes them to `to`, and nothing past them.
    ///
    /// # Safety
    /// `count` numbers can be written at `to`.
    unsafe fn store_bf16(self, to: *mut bf16, count: usize, x: Self::F);
    /// The `count <= LANES` numbers at `from`; further lanes hold anything finite.
    ///
    /// # Safety
    /// `count` numbers can be read at `from`.
    #[inline(always)]
    unsafe fn load_bf16(self, from: *const bf16, count: usize) -> Self::F {
        let mut lanes = [0.0_f32; 16];
        for (i, lane) in lanes.iter_mut().enumerate().take(count) {
            // SAFETY: the caller vouches for `count` numbers.
            *lane = f32::from_bits(u32::from(unsafe { *from.add(i) }.to_bits()) << 16);
        }
        // SAFETY: no set has more lanes.
        unsafe { self.load(lanes.as_ptr()) }
    }
    /// `sum` plus the product of the odd numbers of the pairs, then plus that of the even ones, each sum rounded. A set
    /// with an instruction for it takes denormals for zeros and gives zeros for them.
    #[inline(always)]
    fn dot(self, a: u32, b: Self::F, sum: Self::F) -> Self::F {
        let odd = self.fma(self.splat(f32::from_bits(a & 0xffff_0000)), self.high(b), sum);
        self.fma(self.splat(f32::from_bits(a << 16)), self.low(b), odd)
    }

    /// The larger, or NaN where either is.
    #[inline(always)]
    fn max_or_nan(self, a: Self::F, b: Self::F) -> Self::F {
        self.select_nan(a, a, self.max(a, b))
    }
}

/// Code that is compiled once for each kernel set. Implementors mark `run` `#[inline(always)]`.
pub(crate) trait Kernel {
    /// What it gives back.
    type Output;
    /// The work, with one set's instructions.
    fn run<S: Simd>(self, simd: S) -> Self::Output;
}

/// Runs `rounds` rounds of independent multiply-adds in registers, of f32 or of bf16 with the instructions that the set
/// has for them, and gives the floating-point operations done: the peak that a benchmark compares with.
#[doc(hidden)]
pub fn peak(set: crate::kernels::KernelSet, bf16: bool, rounds: usize) -> f64 {
    if bf16 { set.run_bf16(Peak::<true>(rounds)) } else { set.run(Peak::<false>(rounds)) }
}

struct Peak<const BF16: bool>(usize);

impl<const BF16: bool> Kernel for Peak<BF16> {
    type Output = f64;
    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> f64 {
        // Enough chains to hide the latency of an operation, few enough for sixteen registers.
        const CHAINS: usize = 10;
        // Lanes and chains that differ, or the compiler computes one for all.
        let mut numbers: [f32; CHAINS + 16] = std::array::from_fn(|i| std::hint::black_box(i as f32));
        let mut sums = [s.splat(0.0); CHAINS];
        for (i, sum) in sums.iter_mut().enumerate() {
            // SAFETY: no vector has more than 16 lanes.
            *sum = unsafe { s.load(numbers[i..].as_ptr()) };
        }
        // As bf16 a pair of 0.5.
        let pair = std::hint::black_box(0x3f00_3f00);
        let (x, y) = (s.splat(f32::from_bits(pair)), s.splat(std::hint::black_box(0.001)));
        for _ in 0..self.0 {
            for sum in &mut sums {
                *sum = if BF16 { s.dot(pair, x, *sum) } else { s.fma(*sum, x, y) };
            }
        }
        for (i, &sum) in sums.iter().enumerate() {
            // SAFETY: as above.
            unsafe { s.store(numbers[i..].as_mut_ptr(), sum) };
        }
        std::hint::black_box(numbers);
        let of_a_lane = if BF16 { 4 } else { 2 };
        (of_a_lane * CHAINS * S::LANES * self.0) as f64
    }
}
