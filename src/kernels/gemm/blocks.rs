//! Block sizes that keep the operands of a product in cache.

#[cfg(target_arch = "x86_64")]
use crate::kernels::gemm::{factor::Factors, tiles};
use crate::kernels::{
    KernelSet,
    gemm::{factor::Factor, packed::PackedRef, rows::Rows, stored::Stored, tile},
};

/// Bytes of B in one block of panels, kept in the second-level cache.
pub(super) const PANELS_BYTES: usize = 384 << 10;
/// Bytes of A and C in one block of rows, kept in the second-level cache.
const ROWS_BYTES: usize = 768 << 10;
/// Rows of a block of rows, in products by AMX tiles.
const TILES_ROWS: usize = 1024;
/// Bytes of a tile's rows of A, kept in the first-level cache.
const TILE_BYTES: usize = 24 << 10;

/// Block sizes of the loops. They set the order of the work, never a result.
pub(super) struct Blocks {
    /// Rows of A taken at once.
    pub(super) tile_rows: usize,
    /// Rows of a block of rows.
    pub(super) rows: usize,
    /// Panels of a block of panels.
    pub(super) panels: usize,
    /// Steps of K of a block of K.
    pub(super) k: usize,
}

impl Blocks {
    /// The blocks of `a` times `b`, stored as `C`.
    pub(super) fn of<T: Factor, C: Stored>(set: KernelSet, a: &Rows<'_, T>, b: &PackedRef<'_>) -> Self {
        let (k, tile_rows) = (b.depth().max(1), rows_at_once::<T>(set));
        // Overlapping rows share what they read.
        let stride = (a.stride.saturating_mul(size_of::<T>()) / 4).min(k);
        let tile = (tile_rows - 1) * stride + k;
        // Sums that cannot be kept in C are completed in one block.
        let block_k = if tile * 4 <= TILE_BYTES || !C::HOLDS_SUMS {
            k
        } else {
            (TILE_BYTES / 4 / tile_rows).next_multiple_of(8).min(k)
        };
        // Tiles multiply so fast that B, which is read once for each block of rows, would hold them up.
        let rows = if tile_rows > tile::MAX_ROWS {
            TILES_ROWS
        } else {
            (ROWS_BYTES / 4 / (stride + b.n()).max(1)).max(4 * tile_rows)
        };
        let panels = (PANELS_BYTES / 4 / (block_k * b.width())).max(1);
        Self { tile_rows, rows: rows.next_multiple_of(tile_rows), panels, k: block_k }
    }
}

/// The most rows of A that are taken at once.
fn rows_at_once<T: Factor>(set: KernelSet) -> usize {
    #[cfg(target_arch = "x86_64")]
    if matches!(T::FACTORS, Factors::Bf16 | Factors::Bytes) && set.has_amx() {
        return tiles::ROWS;
    }
    tile::rows::<T>(set)
}
