//! The microkernel: a tile of C, at most `TILE_ROWS` rows by two vectors, held in registers.

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
pub(crate) struct TileBuffer(pub(crate) [f32; MAX_ROWS * VECTORS * 16]);

impl TileBuffer {
    pub(crate) fn new() -> Self {
        Self([0.0; MAX_ROWS * VECTORS * 16])
    }
}

/// What a tile's accumulators start from.
#[derive(Clone, Copy)]
pub(crate) enum Start {
    /// Zero.
    Zero,
    /// What C holds: the chain goes on.
    Stored,
}

/// One tile: rows of A times one panel of B into C.
///
/// Where `columns` are no more than a vector has, only the first of the panel's vectors is computed and stored. Whoever
/// makes one vouches that `k` steps can be read of each row of A from the `skip`th of the first segment on, `k` rows
/// of those vectors at `b`, and that they can be read and written in C.
pub(crate) struct Tile<'a, T = f32> {
    pub(crate) a: *const T,
    pub(crate) a_stride: usize,
    pub(crate) segments: &'a [Segment],
    pub(crate) skip: usize,
    pub(crate) k: usize,
    pub(crate) b: *const f32,
    pub(crate) b_stride: usize,
    pub(crate) columns: usize,
    pub(crate) c: *mut f32,
    pub(crate) c_stride: usize,
    pub(crate) start: Start,
}

struct Sized<'a, T, const M: usize>(Tile<'a, T>);

impl<T: Steps, const M: usize> Kernel for Sized<'_, T, M> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        if M > T::tile_rows::<S>() {
            return;
        }
        // SAFETY: the maker of the tile vouches for all that is read and written.
        unsafe {
            if self.0.columns > S::LANES {
                multiply::<S, T, M, VECTORS>(s, self.0);
            } else {
                multiply::<S, T, M, 1>(s, self.0);
            }
        }
    }
}

/// `M` rows by `V` vectors.
///
/// # Safety
/// As [`Tile`] says.
#[inline(always)]
unsafe fn multiply<S: Simd, T: Steps, const M: usize, const V: usize>(s: S, tile: Tile<'_, T>) {
    let Tile { a, a_stride, segments, mut skip, mut k, mut b, b_stride, c, c_stride, start, .. } = tile;
    let mut sums = [[s.splat(0.0); V]; M];
    // SAFETY: the caller vouches for all that is read and written here.
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
            for _ in 0..whole {
                step::<S, T, M, V>(s, |row| T::read(a.add(row * a_stride)), b, &mut sums);
                a = a.add(T::STEP);
                b = b.wrapping_add(b_stride);
            }
            if whole < steps {
                step::<S, T, M, V>(s, |row| T::read_one(a.add(row * a_stride)), b, &mut sums);
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

/// One row of a panel at `b` times one step of each row of A.
///
/// # Safety
/// `V` vectors can be read at `b`.
#[inline(always)]
unsafe fn step<S: Simd, T: Steps, const M: usize, const V: usize>(
    s: S,
    a: impl Fn(usize) -> T::Left,
    b: *const f32,
    sums: &mut [[S::F; V]; M],
) {
    let mut panel = [s.splat(0.0); V];
    for (v, panel) in panel.iter_mut().enumerate() {
        // SAFETY: the caller vouches for `V` vectors.
        *panel = unsafe { s.load(b.add(v * S::LANES)) };
    }
    for (row, sums) in sums.iter_mut().enumerate() {
        let x = a(row);
        for (sum, &panel) in sums.iter_mut().zip(&panel) {
            *sum = T::multiply(s, x, panel, *sum);
        }
    }
}

/// The most rows of a tile.
pub(crate) fn rows<T: Steps>(set: KernelSet) -> usize {
    struct TileRows<T>(std::marker::PhantomData<T>);
    impl<T: Steps> Kernel for TileRows<T> {
        type Output = usize;
        #[inline(always)]
        fn run<S: Simd>(self, _: S) -> usize {
            T::tile_rows::<S>()
        }
    }
    T::run(set, TileRows::<T>(std::marker::PhantomData))
}

/// The columns of a tile, which are a panel's.
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

/// Computes a tile of `rows` rows, `1..=rows(set)`.
pub(crate) fn run<T: Steps>(set: KernelSet, rows: usize, tile: Tile<'_, T>) {
    match rows {
        1 => T::run(set, Sized::<T, 1>(tile)),
        2 => T::run(set, Sized::<T, 2>(tile)),
        3 => T::run(set, Sized::<T, 3>(tile)),
        4 => T::run(set, Sized::<T, 4>(tile)),
        5 => T::run(set, Sized::<T, 5>(tile)),
        6 => T::run(set, Sized::<T, 6>(tile)),
        7 => T::run(set, Sized::<T, 7>(tile)),
        8 => T::run(set, Sized::<T, 8>(tile)),
        9 => T::run(set, Sized::<T, 9>(tile)),
        10 => T::run(set, Sized::<T, 10>(tile)),
        11 => T::run(set, Sized::<T, 11>(tile)),
        12 => T::run(set, Sized::<T, 12>(tile)),
        13 => T::run(set, Sized::<T, 13>(tile)),
        14 => T::run(set, Sized::<T, 14>(tile)),
        _ => unreachable!("a tile of {rows} rows"),
    }
}
