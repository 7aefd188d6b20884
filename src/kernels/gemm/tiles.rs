//! Products of bf16 on AMX: two by two tiles of 16 x 16 sums, from rows of A copied one behind another and padded.
//!
//! An instruction multiplies 16 rows of 32 numbers by 32 rows of 16; K is padded with zeros to whole ones, in the panels
//! and in the copy, so that an infinity never meets what is not there.

use std::{arch::asm, mem::MaybeUninit, ops::Range};

use half::bf16;

use crate::kernels::{
    KernelSet,
    gemm::{
        Factor, Factors, PANELS_BYTES, Product, Spans, Stored, copy,
        epilogue::Finish,
        rows::{Rows, Segment},
    },
};

/// Rows of A that are taken at once.
pub(super) const ROWS: usize = 32;
/// Columns of B, a panel's.
const COLUMNS: usize = 32;
/// Pairs of K that an instruction takes: panels have a multiple of so many rows ([`KernelSet::bf16_pairs`]).
const PAIRS: usize = 16;
/// Pairs of K that are copied at once.
const MOST: usize = 1024;

/// The permission to use the tiles, and their configuration for as long as it lives.
pub(super) struct Tiles {
    emulated: bool,
}

/// What `ldtilecfg` reads: the palette, and the bytes of a row and the rows of each tile.
#[repr(C, align(64))]
struct Config {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

static WHOLE: Config = {
    let (mut row_bytes, mut rows) = ([0; 16], [0; 16]);
    let mut tile = 0;
    while tile < 8 {
        (row_bytes[tile], rows[tile]) = (64, 16);
        tile += 1;
    }
    Config { palette: 1, start_row: 0, reserved: [0; 14], row_bytes, rows }
};

impl Tiles {
    /// The tiles, where the set has them.
    pub(super) fn new(set: KernelSet) -> Option<Self> {
        if !set.has_amx() {
            return None;
        }
        let emulated = cfg!(test) && crate::kernels::amx::amx() != crate::kernels::amx::Amx::Ready;
        if !emulated {
            // SAFETY: a set with tiles exists only where the processor has them and the system permits them.
            unsafe {
                asm!("ldtilecfg [{}]", in(reg) &WHOLE, options(nostack, readonly, preserves_flags));
            }
        }
        Some(Self { emulated })
    }

    /// `c` (32 x 32), from zero or from what it holds, plus `a` (32 rows of `32 steps` numbers one behind another)
    /// times `b` (`16 steps` rows of 32 pairs).
    ///
    /// # Safety
    /// All of that can be read, `c` can be written, and `steps` is not 0.
    unsafe fn multiply(&self, a: *const bf16, b: *const f32, c: *mut f32, c_stride: usize, steps: usize, stored: bool) {
        if self.emulated {
            // SAFETY: as the caller vouches.
            return unsafe { emulate(a, b, c, c_stride, steps, stored) };
        }
        let (a, a_stride, c, c_stride) = (a.cast::<u8>(), steps * 64, c.cast::<u8>(), c_stride * 4);
        // SAFETY: tiles of 16 rows of 64 bytes, within what the caller vouches for; the configuration is loaded.
        unsafe {
            asm!(
                "test {stored}, {stored}",
                "jz 3f",
                "tileloadd tmm0, [{c} + {c_stride}]",
                "tileloadd tmm1, [{c} + {c_stride} + 64]",
                "tileloadd tmm2, [{c_low} + {c_stride}]",
                "tileloadd tmm3, [{c_low} + {c_stride} + 64]",
                "jmp 2f",
                "3:",
                "tilezero tmm0",
                "tilezero tmm1",
                "tilezero tmm2",
                "tilezero tmm3",
                "2:",
                "tileloadd tmm4, [{a} + {a_stride}]",
                "tileloadd tmm6, [{b} + {b_stride}]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tileloadd tmm7, [{b} + {b_stride} + 64]",
                "tdpbf16ps tmm1, tmm4, tmm7",
                "tileloadd tmm5, [{a_low} + {a_stride}]",
                "tdpbf16ps tmm2, tmm5, tmm6",
                "tdpbf16ps tmm3, tmm5, tmm7",
                "add {a}, 64",
                "add {a_low}, 64",
                "add {b}, 2048",
                "dec {steps}",
                "jnz 2b",
                "tilestored [{c} + {c_stride}], tmm0",
                "tilestored [{c} + {c_stride} + 64], tmm1",
                "tilestored [{c_low} + {c_stride}], tmm2",
                "tilestored [{c_low} + {c_stride} + 64], tmm3",
                a = inout(reg) a => _,
                a_low = inout(reg) a.wrapping_add(16 * a_stride) => _,
                a_stride = in(reg) a_stride,
                b = inout(reg) b => _,
                b_stride = in(reg) COLUMNS * 4,
                c = in(reg) c,
                c_low = in(reg) c.wrapping_add(16 * c_stride),
                c_stride = in(reg) c_stride,
                steps = inout(reg) steps => _,
                stored = in(reg) usize::from(stored),
                out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                options(nostack),
            );
        }
    }
}

impl Drop for Tiles {
    fn drop(&mut self) {
        if !self.emulated {
            // SAFETY: as in `new`.
            unsafe { asm!("tilerelease", options(nostack, nomem, preserves_flags)) }
        }
    }
}

/// What the tiles compute, so that all around them is tested where there are none.
///
/// # Safety
/// As [`Tiles::multiply`].
unsafe fn emulate(a: *const bf16, b: *const f32, c: *mut f32, c_stride: usize, steps: usize, stored: bool) {
    for row in 0..ROWS {
        for column in 0..COLUMNS {
            // SAFETY: within what the caller vouches for.
            unsafe {
                let c = c.add(row * c_stride + column);
                let mut sum = if stored { *c } else { 0.0 };
                for pair in 0..steps * PAIRS {
                    let pairs = (*b.add(pair * COLUMNS + column)).to_bits();
                    let a = a.add((row * steps * PAIRS + pair) * 2);
                    sum += (*a).to_f32() * f32::from_bits(pairs << 16);
                    sum += (*a.add(1)).to_f32() * f32::from_bits(pairs & 0xffff_0000);
                }
                *c = sum;
            }
        }
    }
}

/// Rows of A one behind another, zeros where there are none.
#[repr(align(64))]
struct Left([MaybeUninit<bf16>; ROWS * MOST * 2]);

impl Left {
    /// Copies the pairs `first..first + count` of the rows `rows`, and zeros after what there is.
    fn fill(&mut self, a: &Rows<'_, bf16>, rows: Range<usize>, first: usize, count: usize) -> *const bf16 {
        let (zero, width) = (MaybeUninit::new(bf16::ZERO), count * 2);
        for (row, to) in self.0.chunks_exact_mut(width).take(ROWS).enumerate() {
            let mut at = 0;
            if row < rows.len() {
                let from = a.row(rows.start + row);
                let mut skip = first;
                for &Segment { offset, len } in a.segments {
                    let pairs = len.div_ceil(2);
                    if skip >= pairs {
                        skip -= pairs;
                        continue;
                    }
                    if at == width {
                        break;
                    }
                    let own = (len - 2 * skip).min(width - at);
                    // SAFETY: a checked operand has `len` numbers there, of which these are a part.
                    let from = unsafe { std::slice::from_raw_parts(from.add(offset + 2 * skip).cast(), own) };
                    to[at..at + own].copy_from_slice(from);
                    to[at + own..at + own.next_multiple_of(2)].fill(zero);
                    at += own.next_multiple_of(2);
                    skip = 0;
                }
            }
            to[at..].fill(zero);
        }
        self.0.as_ptr().cast()
    }
}

#[repr(align(64))]
struct Edge([f32; ROWS * COLUMNS]);

impl<T: Factor, C: Stored> Product<'_, T, C> {
    /// The tiles, where this product goes by them.
    pub(super) fn tiles(&self) -> Option<(Tiles, Rows<'_, bf16>)> {
        if T::FACTORS != Factors::Bf16 || self.b.depth() == 0 {
            return None;
        }
        let Rows { data, rows, stride, segments } = *self.a;
        let data = bytemuck::cast_slice(data);
        Some((Tiles::new(self.set)?, Rows { data, rows, stride, segments }))
    }

    /// [`Product::block`] by tiles.
    pub(super) fn tile_block(&self, tiles: &Tiles, a: &Rows<'_, bf16>, rows: Range<usize>, panels: Range<usize>) {
        let &Self { set, ref b, epilogue, c, c_stride, .. } = self;
        if !C::HOLDS_SUMS && b.depth() > MOST && panels.len() > 1 {
            // One panel at a time, whose sums stay in the edge's place.
            return panels.for_each(|panel| self.tile_block(tiles, a, rows.clone(), panel..panel + 1));
        }
        let n = b.n();
        let mut edge = Edge([0.0; ROWS * COLUMNS]);
        let mut left = Left([MaybeUninit::uninit(); ROWS * MOST * 2]);
        for rows in Spans::new(rows, ROWS) {
            for pairs in Spans::new(0..b.depth(), MOST) {
                let from = left.fill(a, rows.clone(), pairs.start, pairs.len());
                for panel in panels.clone() {
                    let column = panel * COLUMNS;
                    let columns = COLUMNS.min(n - column);
                    let c = c.wrapping_add(rows.start * c_stride + column);
                    let sums = C::sums(c);
                    let (to, to_stride) = match sums {
                        Some(sums) if columns == COLUMNS && rows.len() == ROWS => (sums, c_stride),
                        _ => (edge.0.as_mut_ptr(), COLUMNS),
                    };
                    let (in_place, stored) = (sums == Some(to), pairs.start > 0);
                    if let Some(sums) = sums
                        && !in_place
                        && stored
                    {
                        copy(sums, c_stride, to, COLUMNS, rows.len(), columns);
                    }
                    let panel = b.panel(panel).wrapping_add(pairs.start * COLUMNS);
                    // SAFETY: panels of whole steps, a left side as long, and a whole tile of C or the edge's.
                    unsafe { tiles.multiply(from, panel, to, to_stride, pairs.len() / PAIRS, stored) };
                    let last = pairs.end == b.depth();
                    if last {
                        let (row, rows) = (rows.start, rows.len());
                        Finish { epilogue, row, rows, column, columns, n, max: None }.run(set, to, to_stride);
                    }
                    if !in_place && (last || C::HOLDS_SUMS) {
                        // SAFETY: between the edge's place and the part of C that the tile stands for.
                        unsafe { C::store(set, to, COLUMNS, c, c_stride, rows.len(), columns) };
                    }
                }
            }
        }
    }
}

impl<T: Factor> Product<'_, T, f32> {
    /// [`Product::max`] by tiles; false where K is too long for it.
    pub(super) fn tile_max(&self, tiles: &Tiles, a: &Rows<'_, bf16>, panels: Range<usize>) -> bool {
        let &Self { set, ref b, epilogue, c: out, .. } = self;
        let (n, depth) = (b.n(), b.depth());
        if depth > MOST {
            return false;
        }
        let mut edge = Edge([0.0; ROWS * COLUMNS]);
        let mut left = Left([MaybeUninit::uninit(); ROWS * MOST * 2]);
        for panels in Spans::new(panels, (PANELS_BYTES / 4 / (depth * COLUMNS)).max(1)) {
            for rows in Spans::new(0..a.rows, ROWS) {
                let from = left.fill(a, rows.clone(), 0, depth);
                for panel in panels.clone() {
                    let (column, c) = (panel * COLUMNS, edge.0.as_mut_ptr());
                    let columns = COLUMNS.min(n - column);
                    // SAFETY: as in `tile_block`.
                    unsafe { tiles.multiply(from, b.panel(panel), c, COLUMNS, depth / PAIRS, false) };
                    let (row, rows, max) = (rows.start, rows.len(), Some(out.wrapping_add(column)));
                    Finish { epilogue, row, rows, column, columns, n, max }.run(set, c, COLUMNS);
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

    /// Everything around the instructions, and the instructions themselves where the processor has them.
    #[test]
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
