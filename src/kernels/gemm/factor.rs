//! The numbers that products multiply.

use half::bf16;

use crate::kernels::{
    KernelSet,
    gemm::pairs::round_to_bf16,
    simd::{Kernel, Simd},
};

/// What the factors of a product are; sums are always f32.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Factors {
    /// As they are.
    #[default]
    F32,
    /// Rounded to bf16, ties to even.
    Bf16,
}

impl Factors {
    /// How many rows of B lie in one row of a panel: those that one 32-bit lane holds.
    pub(super) fn step(self) -> usize {
        match self {
            Factors::F32 => f32::STEP,
            Factors::Bf16 => bf16::STEP,
        }
    }
}

/// A number that products multiply: `f32` and `bf16` are.
///
/// A segment of bf16 of odd length is taken as if a zero followed; nothing past it is read.
#[expect(private_bounds, reason = "sealed: how kernels take a number is their own")]
pub trait Factor: Steps {}

impl Factor for f32 {}
impl Factor for bf16 {}

/// How products take a number: K goes by steps, each of as many numbers as fill 32 bits.
pub(crate) trait Steps: bytemuck::Pod + Send + Sync {
    const FACTORS: Factors;
    /// Numbers of a step.
    const STEP: usize;
    /// A step of one row of A.
    type Left: Copy;
    /// The most rows of a register tile.
    fn tile_rows<S: Simd>() -> usize;
    /// Runs a kernel with the instructions that these products need.
    fn run<K: Kernel>(set: KernelSet, kernel: K) -> K::Output;
    /// The step at `from`, which needs no alignment.
    ///
    /// # Safety
    /// `STEP` numbers can be read there.
    unsafe fn read(from: *const Self) -> Self::Left;
    /// A step of which there is only the first number.
    ///
    /// # Safety
    /// One number can be read there.
    unsafe fn read_one(from: *const Self) -> Self::Left;
    /// Rows of `columns` numbers, `stride` apart, as the left operand of a product: where they are, and how far apart.
    /// What has to be rounded for it goes to `scratch`.
    ///
    /// # Safety
    /// The rows can be read.
    ///
    /// # Panics
    /// If `scratch` is short of rows of whole steps: the caller has cut it.
    unsafe fn left(
        set: KernelSet,
        from: *const f32,
        stride: usize,
        rows: usize,
        columns: usize,
        scratch: &mut [f32],
    ) -> (*const Self, usize);
    /// `sum` plus the products of the step's numbers with those of each lane of `b`.
    fn multiply<S: Simd>(s: S, a: Self::Left, b: S::F, sum: S::F) -> S::F;
}

impl Steps for f32 {
    const FACTORS: Factors = Factors::F32;
    const STEP: usize = 1;
    type Left = f32;
    fn tile_rows<S: Simd>() -> usize {
        S::TILE_ROWS
    }
    fn run<K: Kernel>(set: KernelSet, kernel: K) -> K::Output {
        set.run(kernel)
    }
    #[inline(always)]
    unsafe fn read(from: *const f32) -> f32 {
        // SAFETY: the caller vouches for a number.
        unsafe { *from }
    }
    #[inline(always)]
    unsafe fn read_one(from: *const f32) -> f32 {
        // SAFETY: as above.
        unsafe { *from }
    }
    unsafe fn left(
        _: KernelSet,
        from: *const f32,
        stride: usize,
        _: usize,
        _: usize,
        _: &mut [f32],
    ) -> (*const f32, usize) {
        (from, stride)
    }
    #[inline(always)]
    fn multiply<S: Simd>(s: S, a: f32, b: S::F, sum: S::F) -> S::F {
        s.fma(s.splat(a), b, sum)
    }
}

impl Steps for bf16 {
    const FACTORS: Factors = Factors::Bf16;
    const STEP: usize = 2;
    type Left = u32;
    fn tile_rows<S: Simd>() -> usize {
        S::BF16_TILE_ROWS
    }
    fn run<K: Kernel>(set: KernelSet, kernel: K) -> K::Output {
        set.run_bf16(kernel)
    }
    #[inline(always)]
    unsafe fn read(from: *const bf16) -> u32 {
        // SAFETY: the caller vouches for two numbers.
        let pair = unsafe { from.cast::<[u16; 2]>().read_unaligned() };
        u32::from(pair[0]) | u32::from(pair[1]) << 16
    }
    #[inline(always)]
    unsafe fn read_one(from: *const bf16) -> u32 {
        // SAFETY: the caller vouches for a number.
        u32::from(unsafe { *from }.to_bits())
    }
    unsafe fn left(
        set: KernelSet,
        from: *const f32,
        stride: usize,
        rows: usize,
        columns: usize,
        scratch: &mut [f32],
    ) -> (*const bf16, usize) {
        let (to, to_stride) = (bytemuck::cast_slice_mut::<f32, bf16>(scratch), columns.next_multiple_of(2));
        for row in 0..rows {
            // SAFETY: the caller vouches for the rows.
            let from = unsafe { std::slice::from_raw_parts(from.add(row * stride), columns) };
            round_to_bf16(set, from, &mut to[row * to_stride..][..columns]);
        }
        (to.as_ptr(), to_stride)
    }
    #[inline(always)]
    fn multiply<S: Simd>(s: S, a: u32, b: S::F, sum: S::F) -> S::F {
        s.dot(a, b, sum)
    }
}
