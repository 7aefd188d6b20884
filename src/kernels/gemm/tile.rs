//! The microkernel: a tile of C, at most `MAX_ROWS` rows by two vectors, accumulated in registers.

use std::marker::PhantomData;

#[cfg(target_arch = "x86_64")]
use crate::kernels::gemm::tile512;
use crate::kernels::{
    KernelSet,
    gemm::{factor::Steps, rows::Segment},
    simd::{Kernel, Simd},
};

/// Vectors across a panel, in every kernel set.
pub(super) const VECTORS: usize = 2;
/// The most rows of a tile in any kernel set.
pub(crate) const MAX_ROWS: usize = 14;

/// Room for the largest tile of any kernel set.
#[repr(align(64))]
pub(crate) struct TileBuffer([f32; MAX_ROWS * VECTORS * 16]);

impl TileBuffer {
    /// A buffer of zeros.
    pub(crate) fn new() -> Self {
        Self([0.0; MAX_ROWS * VECTORS * 16])
    }

    /// The address of the first element.
    pub(crate) fn as_mut_ptr(&mut self) -> *mut f32 {
        self.0.as_mut_ptr()
    }
}

/// Initial value of a tile's accumulators.
#[derive(Clone, Copy)]
pub(crate) enum Start {
    /// Zero.
    Zero,
    /// The content of C: the chain of sums continues.
    Stored,
}

/// Rows of A, from step `skip` of the first segment on.
pub(crate) struct TileA<'a, T> {
    pub(crate) data: *const T,
    pub(crate) stride: usize,
    pub(crate) segments: &'a [Segment],
    pub(crate) skip: usize,
}

/// Rows of B: those of a panel, or of a matrix read in place.
pub(crate) struct TileB {
    pub(crate) data: *const f32,
    pub(crate) stride: usize,
    /// Columns that are wanted. If they fit one vector, the panel's second vector is not read.
    pub(crate) columns: usize,
}

/// Rows of C, as many vectors wide as are read of B.
pub(crate) struct TileC {
    pub(crate) data: *mut f32,
    pub(crate) stride: usize,
    pub(crate) start: Start,
}

/// One tile of a product: rows of A times one panel of B into C.
pub(crate) struct Tile<'a, T = f32> {
    rows: usize,
    k: usize,
    a: TileA<'a, T>,
    b: TileB,
    c: TileC,
}

impl<'a, T: Steps> Tile<'a, T> {
    /// A tile of `rows` rows, `1..=rows::<T>(set)` for the set that runs it, and `k` steps.
    ///
    /// # Safety
    /// While the tile lives, `k` steps are readable in each of the rows of A from step `skip` on,
    /// `k` rows of the vectors of `columns` at B, and `rows` rows of those vectors are readable and
    /// writable at C by this tile alone.
    #[inline(always)]
    pub(crate) unsafe fn new(rows: usize, k: usize, a: TileA<'a, T>, b: TileB, c: TileC) -> Self {
        Self { rows, k, a, b, c }
    }

    /// Computes the tile.
    pub(crate) fn run(self, set: KernelSet) {
        #[cfg(target_arch = "x86_64")]
        if tile512::fits(set, self.rows, &self.a, &self.b) {
            // SAFETY: `Tile::new` requires all that is read and written.
            return unsafe { tile512::multiply(self.rows, self.k, &self.a, &self.b, &self.c) };
        }
        match self.rows {
            1 => T::run(set, TileOf::<T, 1>(self)),
            2 => T::run(set, TileOf::<T, 2>(self)),
            3 => T::run(set, TileOf::<T, 3>(self)),
            4 => T::run(set, TileOf::<T, 4>(self)),
            5 => T::run(set, TileOf::<T, 5>(self)),
            6 => T::run(set, TileOf::<T, 6>(self)),
            7 => T::run(set, TileOf::<T, 7>(self)),
            8 => T::run(set, TileOf::<T, 8>(self)),
            9 => T::run(set, TileOf::<T, 9>(self)),
            10 => T::run(set, TileOf::<T, 10>(self)),
            11 => T::run(set, TileOf::<T, 11>(self)),
            12 => T::run(set, TileOf::<T, 12>(self)),
            13 => T::run(set, TileOf::<T, 13>(self)),
            14 => T::run(set, TileOf::<T, 14>(self)),
            rows => unreachable!("a tile of {rows} rows"),
        }
    }
}

/// A tile of `M` rows.
struct TileOf<'a, T, const M: usize>(Tile<'a, T>);

impl<T: Steps, const M: usize> Kernel for TileOf<'_, T, M> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        // A constant, so that tiles which no set has are not compiled.
        if const { M > T::FACTORS.tile_rows::<S>() } {
            return;
        }
        // SAFETY: `Tile::new` requires all that is read and written.
        unsafe {
            if self.0.b.columns > S::LANES {
                multiply::<S, T, M, VECTORS>(s, self.0);
            } else {
                multiply::<S, T, M, 1>(s, self.0);
            }
        }
    }
}

/// Computes `M` rows by `V` vectors.
///
/// # Safety
/// As [`Tile::new`], for these rows and vectors.
#[inline(always)]
unsafe fn multiply<S: Simd, T: Steps, const M: usize, const V: usize>(s: S, tile: Tile<'_, T>) {
    let Tile { mut k, a, b, c, .. } = tile;
    let (TileA { data: a, stride: a_stride, segments, mut skip }, TileC { data: c, stride: c_stride, start }) = (a, c);
    let TileB { data: mut b, stride: b_stride, .. } = b;
    let mut sums = [[s.splat(0.0); V]; M];
    // SAFETY: the caller promises all that is read and written here.
    unsafe {
        if let Start::Stored = start {
            for (row, sums) in sums.iter_mut().enumerate() {
                for (v, sum) in sums.iter_mut().enumerate() {
                    *sum = s.load(c.add(row * c_stride + v * S::LANES));
                }
            }
        }
        for segment in segments {
            let steps = (segment.len.div_ceil(T::STEP) - skip).min(k);
            let whole = (segment.len / T::STEP - skip).min(steps);
            let mut a = a.add(segment.offset + skip * T::STEP);
            let mut left = whole;
            while S::FOUR_STEPS && left >= 4 {
                for _ in 0..4 {
                    s.barrier();
                    step::<S, T, M, V>(s, |row| T::read(a.add(row * a_stride)), b, &mut sums);
                    a = a.add(T::STEP);
                    b = b.wrapping_add(b_stride);
                }
                left -= 4;
            }
            for _ in 0..left {
                step::<S, T, M, V>(s, |row| T::read(a.add(row * a_stride)), b, &mut sums);
                a = a.add(T::STEP);
                b = b.wrapping_add(b_stride);
            }
            if whole < steps {
                let some = segment.len % T::STEP;
                step::<S, T, M, V>(s, |row| T::read_some(a.add(row * a_stride), some), b, &mut sums);
                b = b.wrapping_add(b_stride);
            }
            skip = 0;
            k -= steps;
            if k == 0 {
                break;
            }
        }
        for (row, sums) in sums.iter().enumerate() {
            for (v, &sum) in sums.iter().enumerate() {
                s.store(c.add(row * c_stride + v * S::LANES), sum);
            }
        }
    }
}

/// Multiplies one row of B at `b` by one step of each row of A.
///
/// # Safety
/// `V` vectors are readable at `b`.
#[inline(always)]
unsafe fn step<S: Simd, T: Steps, const M: usize, const V: usize>(
    s: S,
    a: impl Fn(usize) -> T::Left,
    b: *const f32,
    sums: &mut [[S::F; V]; M],
) {
    let mut panel = [s.splat(0.0); V];
    for (v, panel) in panel.iter_mut().enumerate() {
        // SAFETY: the caller promises `V` vectors.
        *panel = unsafe { s.load(b.add(v * S::LANES)) };
    }
    for (row, sums) in sums.iter_mut().enumerate() {
        let x = a(row);
        for (sum, &panel) in sums.iter_mut().zip(&panel) {
            *sum = T::multiply(s, x, panel, *sum);
        }
    }
}

/// The most rows of a tile in `set`.
pub(crate) fn rows<T: Steps>(set: KernelSet) -> usize {
    struct TileRows<T>(PhantomData<T>);
    impl<T: Steps> Kernel for TileRows<T> {
        type Output = usize;
        #[inline(always)]
        fn run<S: Simd>(self, _: S) -> usize {
            T::FACTORS.tile_rows::<S>()
        }
    }
    T::run(set, TileRows::<T>(PhantomData))
}

/// The columns of a tile and of a panel in `set`.
pub(crate) fn width(set: KernelSet) -> usize {
    struct Width;
    impl Kernel for Width {
        type Output = usize;
        #[inline(always)]
        fn run<S: Simd>(self, _: S) -> usize {
            VECTORS * S::LANES
        }
    }
    set.run(Width)
}
