//! Blocks of a product by AMX tiles.

use std::ops::Range;

use crate::kernels::gemm::{
    blocks::PANELS_BYTES,
    epilogue::{Region, Target, finish},
    factor::{Factor, Factors},
    product::{
        Product,
        copied::{CopiedRows, MAX_STEPS},
    },
    spans::Spans,
    stored::{Stored, copy_rows},
    tiles::{COLUMNS, ROWS, STEPS, Tiles},
};

/// Room for a tile that does not fit C.
#[repr(align(64))]
struct EdgeTile([f32; ROWS * COLUMNS]);

impl<T: Factor, C: Stored> Product<'_, T, C> {
    /// The tiles, if this product is computed by AMX.
    pub(super) fn tiles(&self) -> Option<Tiles> {
        if !matches!(T::FACTORS, Factors::Bf16 | Factors::Bytes) || self.b.depth() == 0 {
            return None;
        }
        Tiles::new(self.set)
    }

    /// Computes a block of C without its layer norm: tiles of rows, then blocks of K, then panels.
    ///
    /// # Safety
    /// The block is within C, and no other thread uses it meanwhile.
    pub(super) unsafe fn block_by_tiles(&self, tiles: &Tiles, rows: Range<usize>, panels: Range<usize>) {
        let &Self { set, a, ref b, epilogue, c, c_stride, .. } = self;
        if !C::HOLDS_SUMS && b.depth() > MAX_STEPS && panels.len() > 1 {
            // One panel at a time, whose sums stay in the edge tile.
            return panels.for_each(|panel| {
                // SAFETY: a part of the caller's block.
                unsafe { self.block_by_tiles(tiles, rows.clone(), panel..panel + 1) }
            });
        }
        let n = b.n();
        // Sums that an epilogue reads at once are in the first-level cache, and stores to rows far apart are slow.
        let in_c = b.depth() > MAX_STEPS || epilogue.keeps_sums::<T>(b);
        let mut edge = EdgeTile([0.0; ROWS * COLUMNS]);
        let mut copied = CopiedRows::new();
        for rows in Spans::new(rows, ROWS) {
            for steps in Spans::new(0..b.depth(), MAX_STEPS) {
                // SAFETY: a product's A is checked.
                let (from, from_stride) = unsafe { copied.rows(a, rows.clone(), steps.start, steps.len()) };
                for panel in panels.clone() {
                    let column = panel * COLUMNS;
                    let columns = COLUMNS.min(n - column);
                    let c = c.wrapping_add(rows.start * c_stride + column);
                    let sums = C::sums(c);
                    let (to, to_stride) = match sums {
                        Some(sums) if in_c && columns == COLUMNS && rows.len() == ROWS => (sums, c_stride),
                        _ => (edge.0.as_mut_ptr(), COLUMNS),
                    };
                    let (in_place, stored) = (sums == Some(to), steps.start > 0);
                    if let Some(sums) = sums
                        && !in_place
                        && stored
                    {
                        // SAFETY: from the part of C that the tile computes to the edge tile.
                        unsafe { copy_rows(sums, c_stride, to, COLUMNS, rows.len(), columns) };
                    }
                    let panel = b.panel(panel).wrapping_add(steps.start * COLUMNS);
                    // SAFETY: panels of whole steps, rows of A as long, and a whole tile of C or
                    // the edge tile.
                    unsafe { tiles.multiply(from, from_stride, panel, to, to_stride, steps.len() / STEPS, stored) };
                    let last = steps.end == b.depth();
                    if last {
                        let region = Region { row: rows.start, rows: rows.len(), column, columns, n };
                        let target = Target::Store { c, stride: c_stride };
                        // SAFETY: the epilogue is checked, and the tile was computed at `to`.
                        unsafe { finish::<T, C>(set, b, epilogue, region, to, to_stride, target) };
                    } else if !in_place && C::HOLDS_SUMS {
                        // SAFETY: from the edge tile to the part of C that the tile computes.
                        unsafe { C::store(set, to, COLUMNS, c, c_stride, rows.len(), columns) };
                    }
                }
            }
        }
    }
}

impl<T: Factor> Product<'_, T, f32> {
    /// Folds the results of `panels` over all rows into C, which is one row; false if K is too long
    /// for it.
    ///
    /// # Safety
    /// C has `n` numbers, and no other thread uses those of `panels` meanwhile.
    pub(super) unsafe fn max_by_tiles(&self, tiles: &Tiles, panels: Range<usize>) -> bool {
        let &Self { set, a, ref b, epilogue, c: out, .. } = self;
        let (n, depth) = (b.n(), b.depth());
        if depth > MAX_STEPS {
            return false;
        }
        let mut edge = EdgeTile([0.0; ROWS * COLUMNS]);
        let mut copied = CopiedRows::new();
        for panels in Spans::new(panels, (PANELS_BYTES / 4 / (depth * COLUMNS)).max(1)) {
            for rows in Spans::new(0..a.rows, ROWS) {
                // SAFETY: a product's A is checked.
                let (from, from_stride) = unsafe { copied.rows(a, rows.clone(), 0, depth) };
                for panel in panels.clone() {
                    let (column, c) = (panel * COLUMNS, edge.0.as_mut_ptr());
                    let columns = COLUMNS.min(n - column);
                    // SAFETY: panels of whole steps, rows of A as long, and the edge tile.
                    unsafe { tiles.multiply(from, from_stride, b.panel(panel), c, COLUMNS, depth / STEPS, false) };
                    let region = Region { row: rows.start, rows: rows.len(), column, columns, n };
                    let max = Target::<f32>::Max(out.wrapping_add(column));
                    // SAFETY: the epilogue is checked, the tile was computed at `c`, and `out` has
                    // `n` numbers.
                    unsafe { finish::<T, f32>(set, b, epilogue, region, c, COLUMNS, max) };
                }
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use half::bf16;

    use crate::kernels::{
        Activation, KernelSet,
        gemm::{Epilogue, Factors, Layout, Matrix, Packed, Rows, Segment, gemm, gemm_max},
    };

    fn numbers(len: usize, seed: usize) -> Vec<f32> {
        (0..len).map(|i| ((i * 7919 + seed * 104_729) % 2003) as f32 / 1001.0 - 1.0).collect()
    }

    /// Everything around the instructions, and the instructions themselves where the processor has
    /// them.
    #[test]
    #[cfg_attr(miri, ignore = "long loops, and instructions that an interpreter lacks")]
    fn products_by_tiles_agree_with_plain_loops() {
        let Some(set) = KernelSet::amx_for_tests() else {
            println!("skipped: the processor lacks AVX-512 BF16");
            return;
        };
        if crate::kernels::amx::amx() != crate::kernels::amx::Amx::Ready {
            println!("no AMX here: plain loops stand in for its instructions");
        }
        for (m, n, count, len) in [
            (1, 1, 1, 1),
            (31, 33, 1, 33),
            (32, 64, 1, 32),
            (65, 257, 1, 31),
            (17, 63, 3, 5),
            (40, 31, 4, 16),
            (33, 32, 1, 2100),
            (33, 65, 2, 1501),
        ] {
            let k = count * len;
            let segments: Vec<_> = (0..count).map(|i| Segment { offset: i * (len + 3), len }).collect();
            let stride = 9;
            let mut data = vec![f32::NAN; (m - 1) * stride + count * (len + 3)];
            for row in 0..m {
                for segment in &segments {
                    let at = row * stride + segment.offset;
                    data[at..at + len].copy_from_slice(&numbers(at + len, 1)[at..]);
                }
            }
            let (b, bias) = (numbers(k * n, 2), numbers(n, 3));
            let data: Vec<bf16> = data.into_iter().map(bf16::from_f32).collect();
            let packed = Packed::with_factors(set, Factors::Bf16, &Matrix::new(&b, k, n, Layout::RowMajor), len);
            let packed = packed.unwrap();
            let rows = Rows { data: data.as_slice(), rows: m, stride, segments: &segments };
            let epilogue = Epilogue { bias: Some(&bias), activation: Activation::Relu, ..Epilogue::default() };
            let (mut c, c_stride) = (vec![7.5; m * (n + 3)], n + 3);
            gemm(set, &rows, &packed, &epilogue, &mut c, c_stride).unwrap();
            let mut stored = vec![bf16::ONE; m * c_stride];
            gemm(set, &rows, &packed, &epilogue, &mut stored, c_stride).unwrap();
            for (stored, c) in stored.chunks(c_stride).zip(c.chunks(c_stride)) {
                assert!(stored[..n].iter().zip(c).all(|(stored, c)| *stored == bf16::from_f32(*c)), "{m}x{n}x{k}");
                assert_eq!(stored[n..], [bf16::ONE; 3][..stored.len() - n]);
            }
            let mut largest = vec![0.0; n];
            gemm_max(set, &rows, &packed, &epilogue, &mut largest).unwrap();
            for j in 0..n {
                let mut most = f64::NEG_INFINITY;
                for i in 0..m {
                    let places = segments.iter().flat_map(|s| i * stride + s.offset..i * stride + s.offset + len);
                    let terms = places.enumerate().map(|(k, place)| {
                        f64::from(data[place].to_f32()) * f64::from(bf16::from_f32(b[k * n + j]).to_f32())
                    });
                    let wanted = (terms.sum::<f64>() + f64::from(bias[j])).max(0.0);
                    let found = f64::from(c[i * c_stride + j]);
                    assert!((found - wanted).abs() < 4e-6 * k as f64 + 1e-6, "{m}x{n}x{k} {i},{j}: {found}, {wanted}");
                    most = most.max(wanted);
                }
                assert!((f64::from(largest[j]) - most).abs() < 4e-6 * k as f64 + 1e-6, "{m}x{n}x{k} column {j}");
            }
            assert!(c.chunks(c_stride).all(|row| row[n..] == [7.5; 3]), "{m}x{n}x{k} wrote past a row");
            // A row alone has the same bits.
            let mut one = vec![0.0; n];
            let last = Rows { data: &data[(m - 1) * stride..], rows: 1, ..rows };
            gemm(set, &last, &packed, &epilogue, &mut one, n).unwrap();
            assert_eq!(one, c[(m - 1) * c_stride..][..n], "{m}x{n}x{k}");
        }
    }
}
