//! Element types that products multiply.

use half::bf16;

use crate::kernels::{
    KernelSet,
    gemm::round::round_to_bf16,
    simd::{Kernel, Simd},
};

/// Precision of a product's factors; sums are always f32.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Factors {
    /// f32, unrounded.
    #[default]
    F32,
    /// Rounded to bf16, ties to even.
    Bf16,
    /// 8-bit integers, for sets with an instruction that multiplies four of them.
    Bytes,
    /// The same integers in 16 bits, for the other sets.
    Words,
}

impl Factors {
    /// Rows of B in one row of a panel: as many as one 32-bit lane holds.
    pub(super) fn step(self) -> usize {
        match self {
            Factors::F32 => f32::STEP,
            Factors::Bf16 => bf16::STEP,
            Factors::Bytes => u8::STEP,
            Factors::Words => i16::STEP,
        }
    }

    /// What the parts of a row of A are multiples of, if there are several of different lengths.
    pub(crate) fn whole(self) -> usize {
        self.step()
    }

    /// The most rows of a register tile in products of these.
    pub(super) const fn tile_rows<S: Simd>(self) -> usize {
        match self {
            Factors::Bf16 => S::BF16_TILE_ROWS,
            Factors::F32 | Factors::Bytes | Factors::Words => S::TILE_ROWS,
        }
    }

    /// 8-bit integers as `set` multiplies them fastest.
    pub fn integers(set: KernelSet) -> Self {
        if set.has_vnni() { Self::Bytes } else { Self::Words }
    }

    /// Whether factors are integers.
    pub(crate) const fn are_integers(self) -> bool {
        matches!(self, Self::Bytes | Self::Words)
    }

    /// The factors of operators that have no products of integers, beside those that have.
    pub(crate) fn without_integers(self, set: KernelSet) -> Self {
        match self {
            Self::Bytes | Self::Words if set.has_bf16() => Self::Bf16,
            Self::Bytes | Self::Words => Self::F32,
            own => own,
        }
    }
}

/// An element type of factors: `f32`, `bf16`, and the integers `u8` and `i16`.
///
/// A segment that is no whole number of steps is padded with zeros; nothing past it is read.
#[expect(private_bounds, reason = "sealed: how kernels read an element is internal")]
pub trait Factor: Steps {}

impl Factor for f32 {}
impl Factor for bf16 {}
impl Factor for u8 {}
impl Factor for i16 {}

/// How products read an element type: in steps of K that fill 32 bits.
///
/// A step is one f32, two bf16, four bytes or two words.
pub(crate) trait Steps: bytemuck::Pod + Send + Sync {
    /// The precision of this element type.
    const FACTORS: Factors;
    /// Elements of a step.
    const STEP: usize;
    /// A step of one row of A.
    type Left: Copy;
    /// Runs a kernel with the instructions that these products need.
    fn run<K: Kernel>(set: KernelSet, kernel: K) -> K::Output;
    /// Reads the step at `from`, which needs no alignment.
    ///
    /// # Safety
    /// `STEP` elements are readable at `from`.
    unsafe fn read(from: *const Self) -> Self::Left;
    /// Reads the `count` elements of a part of a step, padded with zeros.
    ///
    /// # Safety
    /// `1..STEP` elements are readable at `from`, as many as `count` tells.
    unsafe fn read_some(from: *const Self, count: usize) -> Self::Left;
    /// Adds the products of the step's elements and each lane of `b` to `sum`.
    fn multiply<S: Simd>(s: S, a: Self::Left, b: S::F, sum: S::F) -> S::F;
}

/// A floating-point element type, to which numbers are converted without a scale.
pub(crate) trait FromF32: Steps {
    /// Converts rows of `columns` f32 numbers, `stride` apart, to a left operand: its address and
    /// stride.
    ///
    /// Rows that need rounding are written to `scratch`, which the result then borrows.
    ///
    /// # Safety
    /// `rows` rows of `columns` numbers are readable at `from`, `stride` apart.
    ///
    /// # Panics
    /// If `scratch` is shorter than `rows` rows of whole steps.
    unsafe fn left(
        set: KernelSet,
        from: *const f32,
        stride: usize,
        rows: usize,
        columns: usize,
        scratch: &mut [f32],
    ) -> (*const Self, usize);
}

impl Steps for f32 {
    const FACTORS: Factors = Factors::F32;
    const STEP: usize = 1;
    type Left = f32;
    fn run<K: Kernel>(set: KernelSet, kernel: K) -> K::Output {
        set.run(kernel)
    }
    #[inline(always)]
    unsafe fn read(from: *const f32) -> f32 {
        // SAFETY: the caller promises one element.
        unsafe { *from }
    }
    #[inline(always)]
    unsafe fn read_some(from: *const f32, _: usize) -> f32 {
        // SAFETY: the caller promises one element.
        unsafe { *from }
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
    fn run<K: Kernel>(set: KernelSet, kernel: K) -> K::Output {
        set.run_bf16(kernel)
    }
    #[inline(always)]
    unsafe fn read(from: *const bf16) -> u32 {
        // SAFETY: the caller promises two elements.
        let pair = unsafe { from.cast::<[u16; 2]>().read_unaligned() };
        u32::from(pair[0]) | u32::from(pair[1]) << 16
    }
    #[inline(always)]
    unsafe fn read_some(from: *const bf16, _: usize) -> u32 {
        // SAFETY: the caller promises one element.
        u32::from(unsafe { *from }.to_bits())
    }
    #[inline(always)]
    fn multiply<S: Simd>(s: S, a: u32, b: S::F, sum: S::F) -> S::F {
        s.dot(a, b, sum)
    }
}

impl FromF32 for f32 {
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
}

impl FromF32 for bf16 {
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
            // SAFETY: the caller promises the rows.
            let from = unsafe { std::slice::from_raw_parts(from.add(row * stride), columns) };
            round_to_bf16(set, from, &mut to[row * to_stride..][..columns]);
        }
        (to.as_ptr(), to_stride)
    }
}

impl Steps for u8 {
    const FACTORS: Factors = Factors::Bytes;
    const STEP: usize = 4;
    type Left = u32;
    fn run<K: Kernel>(set: KernelSet, kernel: K) -> K::Output {
        set.run_integers(kernel)
    }
    #[inline(always)]
    unsafe fn read(from: *const u8) -> u32 {
        // SAFETY: the caller promises four elements.
        u32::from_le_bytes(unsafe { from.cast::<[u8; 4]>().read() })
    }
    #[inline(always)]
    unsafe fn read_some(from: *const u8, count: usize) -> u32 {
        // SAFETY: the caller promises `count` elements.
        (0..count).fold(0, |step, at| step | u32::from(unsafe { *from.add(at) }) << (8 * at))
    }
    #[inline(always)]
    fn multiply<S: Simd>(s: S, a: u32, b: S::F, sum: S::F) -> S::F {
        s.dot_bytes(a, b, sum)
    }
}

impl Steps for i16 {
    const FACTORS: Factors = Factors::Words;
    const STEP: usize = 2;
    type Left = u32;
    fn run<K: Kernel>(set: KernelSet, kernel: K) -> K::Output {
        set.run_integers(kernel)
    }
    #[inline(always)]
    unsafe fn read(from: *const i16) -> u32 {
        // SAFETY: the caller promises two elements.
        u32::from_le_bytes(unsafe { from.cast::<[u8; 4]>().read() })
    }
    #[inline(always)]
    unsafe fn read_some(from: *const i16, _: usize) -> u32 {
        // SAFETY: the caller promises one element.
        u32::from(unsafe { from.read_unaligned() }.cast_unsigned())
    }
    #[inline(always)]
    fn multiply<S: Simd>(s: S, a: u32, b: S::F, sum: S::F) -> S::F {
        s.dot_words(a, b, sum)
    }
}
