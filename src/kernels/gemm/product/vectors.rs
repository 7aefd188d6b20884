//! Blocks of a product by register tiles.

use std::ops::Range;

use crate::kernels::gemm::{
    blocks::PANELS_BYTES,
    epilogue::{Region, Target, finish},
    factor::Factor,
    product::Product,
    spans::Spans,
    stored::{Stored, copy_rows},
    tile::{self, Start, Tile, TileA, TileB, TileBuffer, TileC},
};

impl<T: Factor, C: Stored> Product<'_, T, C> {
    /// Computes a block of C without its layer norm: blocks of K, then tiles of rows, then panels.
    ///
    /// # Safety
    /// The block is within C, and no other thread uses it meanwhile.
    pub(super) unsafe fn block_by_vectors(&self, rows: Range<usize>, panels: Range<usize>) {
        let &Self { set, a, ref b, epilogue, ref blocks, c, c_stride, .. } = self;
        let (width, n, tile_rows) = (b.width(), b.n(), tile::rows::<T>(set));
        let mut edge = TileBuffer::new();
        let (mut k, mut segments, mut skip) = (0, a.segments, 0);
        loop {
            let block_k = blocks.k.min(b.depth() - k);
            let last = k + block_k == b.depth();
            let start = if k == 0 { Start::Zero } else { Start::Stored };
            for rows in Spans::even(rows.clone(), tile_rows) {
                for panel in panels.clone() {
                    let column = panel * width;
                    let columns = width.min(n - column);
                    let c = c.wrapping_add(rows.start * c_stride + column);
                    let sums = C::sums(c);
                    let (to, to_stride) = match sums {
                        Some(sums) if columns == width => (sums, c_stride),
                        _ => (edge.as_mut_ptr(), width),
                    };
                    let in_place = sums == Some(to);
                    if let Some(sums) = sums
                        && !in_place
                        && k > 0
                    {
                        // SAFETY: from the part of C that the tile computes to the tile buffer.
                        unsafe { copy_rows(sums, c_stride, to, width, rows.len(), columns) };
                    }
                    let a = TileA { data: a.row(rows.start), stride: a.stride, segments, skip };
                    let panel = TileB { data: b.panel(panel).wrapping_add(k * width), stride: width, columns };
                    let to_tile = TileC { data: to, stride: to_stride, start };
                    // SAFETY: A is checked, the panel has `depth` rows, and a whole tile fits C or
                    // the buffer.
                    unsafe { Tile::new(rows.len(), block_k, a, panel, to_tile) }.run(set);
                    if last {
                        let region = Region { row: rows.start, rows: rows.len(), column, columns, n };
                        let target = Target::Store { c, stride: c_stride };
                        // SAFETY: the epilogue is checked, and the tile was computed at `to`.
                        unsafe { finish::<T, C>(set, b, epilogue, region, to, to_stride, target) };
                    } else if !in_place {
                        // SAFETY: from the tile buffer to the part of C that the tile computes.
                        unsafe { C::store(set, to, width, c, c_stride, rows.len(), columns) };
                    }
                }
            }
            if last {
                break;
            }
            k += block_k;
            skip += block_k;
            while let [first, rest @ ..] = segments
                && skip >= first.len.div_ceil(T::STEP)
            {
                skip -= first.len.div_ceil(T::STEP);
                segments = rest;
            }
        }
    }
}

impl<T: Factor> Product<'_, T, f32> {
    /// Folds the results of `panels` over all rows into C, which is one row.
    ///
    /// # Safety
    /// C has `n` numbers, and no other thread uses those of `panels` meanwhile.
    pub(super) unsafe fn max_by_vectors(&self, panels: Range<usize>) {
        let &Self { set, a, ref b, epilogue, c: out, .. } = self;
        let (width, n, tile_rows) = (b.width(), b.n(), tile::rows::<T>(set));
        let mut buffer = TileBuffer::new();
        let c = buffer.as_mut_ptr();
        for panels in Spans::new(panels, (PANELS_BYTES / 4 / (b.depth().max(1) * width)).max(1)) {
            for rows in Spans::even(0..a.rows, tile_rows) {
                for panel in panels.clone() {
                    let column = panel * width;
                    let columns = width.min(n - column);
                    let region = Region { row: rows.start, rows: rows.len(), column, columns, n };
                    let max = Target::<f32>::Max(out.wrapping_add(column));
                    let a = TileA { data: a.row(rows.start), stride: a.stride, segments: a.segments, skip: 0 };
                    let panel = TileB { data: b.panel(panel), stride: width, columns };
                    let to = TileC { data: c, stride: width, start: Start::Zero };
                    // SAFETY: A is checked, the panel has `depth` rows, and a whole tile fits the
                    // buffer.
                    unsafe { Tile::new(rows.len(), b.depth(), a, panel, to) }.run(set);
                    // SAFETY: the epilogue is checked, the tile was computed at `c`, and `out` has
                    // `n` numbers.
                    unsafe { finish::<T, f32>(set, b, epilogue, region, c, width, max) };
                }
            }
        }
    }
}
