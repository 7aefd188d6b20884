//! Vectors of `f32` lanes: the operations that kernels are written in, once for all kernel sets.
//!
//! A kernel is a struct that implements `Kernel`. `KernelSet::run` compiles its `run` for each set,
//! inside one function that has the set's instructions enabled. `run` and everything it calls is
//! `#[inline(always)]`, so that the inner loops are compiled with them too.

#[cfg(target_arch = "x86_64")]
pub(crate) mod avx2;
#[cfg(target_arch = "x86_64")]
pub(crate) mod avx512;
pub(crate) mod math;
mod pairs;
mod peak;
mod pointwise;
pub(crate) mod portable;
pub(crate) mod reduce;

pub use pairs::{PairFunction, Side, combine, combine_in_place};
#[doc(hidden)]
pub use peak::peak;
pub(crate) use pointwise::{GeluNear, GeluTanhNear, Pointwise, function, with_pointwise};
pub use pointwise::{map, map_in_place};

use half::bf16;

/// The instructions of one kernel set, and the permission to use them.
///
/// An implementor is an empty token that only its own `run` makes, so arithmetic is safe to call;
/// operations on addresses are unsafe. In comparisons of lanes, `a < b` is false if either is NaN.
pub(crate) trait Simd: Copy {
    /// A vector of [`LANES`](Self::LANES) numbers.
    type F: Copy;
    /// Lanes of a vector.
    const LANES: usize;
    /// The most rows of a register tile that is two vectors wide.
    const TILE_ROWS: usize;
    /// The most rows of a register tile in products of bf16.
    const BF16_TILE_ROWS: usize;
    /// Whether a register tile takes four steps of K at a time; a barrier holds them apart.
    const FOUR_STEPS: bool = false;

    /// `x` in every lane.
    fn splat(self, x: f32) -> Self::F;
    /// Loads the vector at `from`, which needs no alignment.
    ///
    /// # Safety
    /// `LANES` numbers are readable at `from`.
    unsafe fn load(self, from: *const f32) -> Self::F;
    /// Loads the first `count <= LANES` numbers at `from`, and zeros; nothing past them is read.
    ///
    /// # Safety
    /// `count` numbers are readable at `from`.
    unsafe fn load_head(self, from: *const f32, count: usize) -> Self::F;
    /// Stores the vector at `to`.
    ///
    /// # Safety
    /// `LANES` numbers are writable at `to`.
    unsafe fn store(self, to: *mut f32, x: Self::F);
    /// Stores the first `count <= LANES` lanes at `to`, and nothing past them.
    ///
    /// # Safety
    /// `count` numbers are writable at `to`.
    unsafe fn store_head(self, to: *mut f32, count: usize, x: Self::F);

    /// `a + b`
    fn add(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a - b`
    fn sub(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a * b`
    fn mul(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a / b`
    fn div(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a / b`, with `inverse` the nearest number to `1 / b`: as [`div`](Self::div) rounds, in less time where the set has a
    /// fused instruction.
    ///
    /// The magnitude of `b` is between `2^-60` and `2^60`, that of the quotient up to `2^20`; a quotient below `2^-20` may be
    /// any as small.
    #[inline(always)]
    fn div_by(self, a: Self::F, b: Self::F, inverse: Self::F) -> Self::F {
        let _ = inverse;
        self.div(a, b)
    }
    /// [`div_by`](Self::div_by) where [`fma`](Self::fma) rounds once (Markstein, Computation of elementary functions on the
    /// IBM RISC System/6000 processor).
    #[inline(always)]
    fn refined_quotient(self, a: Self::F, b: Self::F, inverse: Self::F) -> Self::F {
        let (first, less) = (self.mul(a, inverse), self.neg(b));
        // Within a unit in the last place, then the nearest.
        let near = self.fma(self.fma(first, less, a), inverse, first);
        self.fma(self.fma(near, less, a), inverse, near)
    }
    /// `a * b + c`, rounded once if the set has a fused instruction.
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
    /// [`scale`](Self::scale) of an `a` whose result is normal, as `a` is; NaN where `a` is.
    #[inline(always)]
    fn scale_normal(self, a: Self::F, n: Self::F) -> Self::F {
        self.scale(a, n)
    }
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

    /// Transposes a square of `LANES` each way.
    ///
    /// Reads `rows <= LANES` rows of `LANES` numbers, `from_stride` apart, and writes `LANES` rows
    /// of `rows` numbers, padded with zeros to `LANES`, `to_stride` apart.
    ///
    /// # Safety
    /// The rows are readable at `from` and writable at `to`.
    unsafe fn transpose(self, from: *const f32, from_stride: usize, rows: usize, to: *mut f32, to_stride: usize);

    /// The nearest bf16 of each lane, ties to even: an f32 whose low half is zero. NaN stays NaN,
    /// denormals are kept.
    fn round_bf16(self, a: Self::F) -> Self::F;
    /// The high half of each lane above zeros: the odd bf16 of a pair.
    fn high(self, pairs: Self::F) -> Self::F;
    /// The low half of each lane moved to the high half: the even bf16 of a pair.
    fn low(self, pairs: Self::F) -> Self::F;
    /// Rounds the lanes to bf16 and pairs them, `even` in the low half.
    fn pair(self, even: Self::F, odd: Self::F) -> Self::F;
    /// Stores the first `count <= LANES` lanes, rounded to bf16, at `to`, and nothing past them.
    ///
    /// A set with an instruction for it, in products of bf16, stores denormals as zeros, as those
    /// products read them.
    ///
    /// # Safety
    /// `count` numbers are writable at `to`.
    unsafe fn store_bf16(self, to: *mut bf16, count: usize, x: Self::F);
    /// Stores two vectors, rounded to bf16, one behind the other.
    ///
    /// # Safety
    /// Twice `LANES` numbers are writable at `to`.
    #[inline(always)]
    unsafe fn store_two_bf16(self, to: *mut bf16, first: Self::F, second: Self::F) {
        // SAFETY: the caller promises both halves.
        unsafe {
            self.store_bf16(to, Self::LANES, first);
            self.store_bf16(to.add(Self::LANES), Self::LANES, second);
        }
    }
    /// Behind it the compiler moves no read that is written later.
    #[inline(always)]
    fn barrier(self) {}
    /// Loads the `count <= LANES` numbers at `from`; further lanes hold anything finite.
    ///
    /// # Safety
    /// `count` numbers are readable at `from`.
    #[inline(always)]
    unsafe fn load_bf16(self, from: *const bf16, count: usize) -> Self::F {
        let mut lanes = [0.0_f32; 16];
        for (i, lane) in lanes.iter_mut().enumerate().take(count) {
            // SAFETY: the caller promises `count` numbers.
            *lane = f32::from_bits(u32::from(unsafe { *from.add(i) }.to_bits()) << 16);
        }
        // SAFETY: no set has more lanes.
        unsafe { self.load(lanes.as_ptr()) }
    }
    /// Adds the products of the pairs to `sum`: first the odd numbers, then the even ones.
    ///
    /// Each sum is rounded. A set with an instruction for it treats denormals as zeros, in operands
    /// and results.
    #[inline(always)]
    fn dot(self, a: u32, b: Self::F, sum: Self::F) -> Self::F {
        let odd = self.fma(self.splat(f32::from_bits(a & 0xffff_0000)), self.high(b), sum);
        self.fma(self.splat(f32::from_bits(a << 16)), self.low(b), odd)
    }

    /// Adds the products of the four bytes of `a`, without a sign, and those of each lane of `b`, with
    /// one, to `sum`; lanes of `sum` are 32-bit integers, which wrap.
    #[inline(always)]
    fn dot_bytes(self, a: u32, b: Self::F, sum: Self::F) -> Self::F {
        self.dot_bytes_by_lanes(a, b, sum)
    }
    /// [`dot_bytes`](Self::dot_bytes) without an instruction for it: sets that lack one multiply
    /// words instead.
    #[inline(always)]
    fn dot_bytes_by_lanes(self, a: u32, b: Self::F, sum: Self::F) -> Self::F {
        let a = a.to_le_bytes();
        self.integers(b, sum, |b, sum| {
            let products = b.to_le_bytes().into_iter().zip(a).map(|(b, a)| i32::from(a) * i32::from(b.cast_signed()));
            products.fold(sum, i32::wrapping_add)
        })
    }
    /// Adds the products of the two 16-bit integers of `a` and those of each lane of `b` to `sum`,
    /// whose lanes are 32-bit integers, which wrap.
    #[inline(always)]
    fn dot_words(self, a: u32, b: Self::F, sum: Self::F) -> Self::F {
        let halves = |x: u32| [x as u16, (x >> 16) as u16].map(|half| i32::from(half.cast_signed()));
        let [low, high] = halves(a);
        self.integers(b, sum, |b, sum| {
            let [b_low, b_high] = halves(b.cast_unsigned());
            sum.wrapping_add(low.wrapping_mul(b_low)).wrapping_add(high.wrapping_mul(b_high))
        })
    }
    /// `f(a, b)` of lanes that are 32-bit integers.
    #[inline(always)]
    fn integers(self, a: Self::F, b: Self::F, f: impl Fn(i32, i32) -> i32) -> Self::F {
        let (mut a_lanes, mut b_lanes) = ([0.0_f32; 16], [0.0_f32; 16]);
        // SAFETY: no set has more lanes.
        unsafe {
            self.store(a_lanes.as_mut_ptr(), a);
            self.store(b_lanes.as_mut_ptr(), b);
            for (a, b) in a_lanes.iter_mut().zip(b_lanes).take(Self::LANES) {
                *a = f32::from_bits(f(a.to_bits().cast_signed(), b.to_bits().cast_signed()).cast_unsigned());
            }
            self.load(a_lanes.as_ptr())
        }
    }
    /// `a + b` of lanes that are 32-bit integers, which wrap.
    fn add_integers(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a - b` of lanes that are 32-bit integers, as the nearest f32.
    fn difference(self, a: Self::F, b: Self::F) -> Self::F;
    /// Stores the first `count <= LANES` lanes, rounded to integers within -128 and 127, plus 128.
    ///
    /// # Safety
    /// `count` bytes are writable at `to`.
    unsafe fn store_bytes(self, to: *mut u8, count: usize, x: Self::F);
    /// Stores the first `count <= LANES` lanes, rounded to integers of 16 bits.
    ///
    /// # Safety
    /// `count` numbers are writable at `to`.
    unsafe fn store_words(self, to: *mut i16, count: usize, x: Self::F);

    /// The larger, or NaN where either is NaN.
    #[inline(always)]
    fn max_or_nan(self, a: Self::F, b: Self::F) -> Self::F {
        self.select_nan(a, a, self.max(a, b))
    }
}

/// Code that is compiled once for each kernel set. Implementors mark `run` `#[inline(always)]`.
pub(crate) trait Kernel {
    /// The result.
    type Output;
    /// The work, with one set's instructions.
    fn run<S: Simd>(self, simd: S) -> Self::Output;
}
