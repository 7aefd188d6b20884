//! The microkernel: a tile of C, at most `TILE_ROWS` rows by two vectors, held in registers.

use super::rows::Segment;
use crate::cpu::KernelSet;
use crate::cpu::simd::{Kernel, Simd};

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
/// makes one vouches that `k` numbers can be read of each row of A from the `skip`th of the first segment on, `k` rows
/// of those vectors at `b`, and that they can be read and written in C.
pub(crate) struct Tile<'a> {
    pub(crate) a: *const f32,
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

struct Sized<'a, const M: usize>(Tile<'a>);

impl<const M: usize> Kernel for Sized<'_, M> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        if M > S::TILE_ROWS {
            return;
        }
        // SAFETY: the maker of the tile vouches for all that is read and written.
        unsafe {
            if self.0.columns > S::LANES {
                multiply::<S, M, VECTORS>(s, self.0);
            } else {
                multiply::<S, M, 1>(s, self.0);
            }
        }
    }
}

/// `M` rows by `V` vectors.
///
/// # Safety
/// As [`Tile`] says.
#[inline(always)]
unsafe fn multiply<S: Simd, const M: usize, const V: usize>(s: S, tile: Tile<'_>) {
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
            let len = (segment.len - skip).min(k);
            let mut a = a.add(segment.offset + skip);
            for _ in 0..len {
                let mut panel = [s.splat(0.0); V];
                for (v, panel) in panel.iter_mut().enumerate() {
                    *panel = s.load(b.add(v * S::LANES));
                }
                for (row, sums) in sums.iter_mut().enumerate() {
                    let x = s.splat(*a.add(row * a_stride));
                    for (sum, &panel) in sums.iter_mut().zip(&panel) {
                        *sum = s.fma(x, panel, *sum);
                    }
                }
                a = a.add(1);
                b = b.add(b_stride);
            }
            skip = 0;
            k -= len;
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

/// The most rows of a tile.
pub(crate) fn rows(set: KernelSet) -> usize {
    struct TileRows;
    impl Kernel for TileRows {
        type Output = usize;
        #[inline(always)]
        fn run<S: Simd>(self, _: S) -> usize {
            S::TILE_ROWS
        }
    }
    set.run(TileRows)
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
pub(crate) fn run(set: KernelSet, rows: usize, tile: Tile<'_>) {
    match rows {
        1 => set.run(Sized::<1>(tile)),
        2 => set.run(Sized::<2>(tile)),
        3 => set.run(Sized::<3>(tile)),
        4 => set.run(Sized::<4>(tile)),
        5 => set.run(Sized::<5>(tile)),
        6 => set.run(Sized::<6>(tile)),
        7 => set.run(Sized::<7>(tile)),
        8 => set.run(Sized::<8>(tile)),
        9 => set.run(Sized::<9>(tile)),
        10 => set.run(Sized::<10>(tile)),
        11 => set.run(Sized::<11>(tile)),
        12 => set.run(Sized::<12>(tile)),
        13 => set.run(Sized::<13>(tile)),
        14 => set.run(Sized::<14>(tile)),
        _ => unreachable!("a tile of {rows} rows"),
    }
}
