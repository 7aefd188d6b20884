//! Matrix products `C = A B` of f32 or bf16 with sums in f32, with an epilogue applied while a tile of C is in cache; C is
//! stored as f32, or rounded to bf16 last.
//!
//! A is read in place by rows ([`Rows`]); B is packed once ([`Packed`]) in panels as wide as a register tile. Every
//! element of C is one chain of multiply-adds over ascending K, whatever the number of rows and wherever the row lies
//! in a tile, so a row's result depends on that row and on B alone.
//!
//! The loops, from the outside: blocks of rows, so that C and A stay in the second-level cache; blocks of panels, so
//! that those of B do; blocks of K, so that a tile's rows of A stay in the first-level cache; tiles of rows; panels.

mod epilogue;
mod factor;
mod packed;
mod pairs;
mod rows;
mod stored;
pub(crate) mod tile;
#[cfg(target_arch = "x86_64")]
mod tiles;

pub use epilogue::Epilogue;
pub(crate) use factor::Steps;
pub use factor::{Factor, Factors};
pub use packed::{Layout, Matrix, Packed, PackedRef, pack_into, pack_len};
pub(crate) use packed::{pack_into_as, pack_len_as, pack_rounded_into};
pub(crate) use pairs::round_to_bf16;
pub use rows::{Rows, Segment};
pub use stored::Stored;

use crate::{
    error::{Error, Result},
    kernels::{KernelSet, norm::NormRows},
    threads::split,
};
use epilogue::Finish;
use half::bf16;
use std::ops::Range;
use tile::{Start, Tile, TileBuffer};

/// Bytes of B that one block of panels may take of the second-level cache.
const PANELS_BYTES: usize = 384 << 10;
/// Bytes of A and C that one block of rows may take of it.
const ROWS_BYTES: usize = 768 << 10;
/// Bytes that a tile's rows of A may take of the first-level cache.
const TILE_BYTES: usize = 24 << 10;

/// `c[r, j] = epilogue(sum over k of a[r, k] b[k, j])`, row `r` of C at `c[r * c_stride..]`.
///
/// # Errors
///
/// `Internal` if a length, a stride or the kernel set does not fit, or if a C of bf16 is to be normalised; nothing is
/// computed then.
pub fn gemm<'b, T: Factor, C: Stored>(
    set: KernelSet,
    a: &Rows<'_, T>,
    b: impl Into<PackedRef<'b>>,
    epilogue: &Epilogue<'_>,
    c: &mut [C],
    c_stride: usize,
) -> Result<()> {
    let b = b.into();
    b.check(set, a)?;
    let n = b.n();
    epilogue.check(a.rows, n)?;
    if epilogue.layer_norm.is_some() && C::sums(c.as_mut_ptr()).is_none() {
        return Err(Error::internal("a product that is stored as bf16 cannot be normalised"));
    }
    if a.rows == 0 || n == 0 {
        return Ok(());
    }
    let end = (a.rows - 1).checked_mul(c_stride).and_then(|start| start.checked_add(n));
    if end.is_none_or(|end| end > c.len()) || (c_stride < n && a.rows > 1) {
        let (rows, len) = (a.rows, c.len());
        return Err(Error::internal(format!("product of {rows} x {n}, stride {c_stride}, into {len} numbers")));
    }
    let product = Product { set, a, b, epilogue, blocks: Blocks::of::<T, C>(set, a, &b), c: c.as_mut_ptr(), c_stride };
    let parts = split::parts(flop(a, &b));
    // The side with more tiles is split. No part of the panels is all of them.
    if parts < 2 || b.panels() < 2 || a.rows / product.blocks.tile_rows >= b.panels() {
        split::each(0..a.rows, parts, &|rows| product.run(rows, 0..b.panels()));
    } else {
        split::each(0..b.panels(), parts, &|panels| product.run(0..a.rows, panels));
        split::each(0..a.rows, parts, &|rows| product.normalize(rows));
    }
    Ok(())
}

/// Operations of a product.
fn flop<T>(a: &Rows<'_, T>, b: &PackedRef<'_>) -> usize {
    a.rows.saturating_mul(b.n()).saturating_mul(b.k()).saturating_mul(2)
}

/// [`gemm`] with a B that is known only now: packs it into `scratch`, of at least [`pack_len`] numbers.
///
/// # Errors
///
/// As [`gemm`] and [`pack_into`].
pub fn gemm_dynamic(
    set: KernelSet,
    a: &Rows<'_>,
    b: &Matrix<'_>,
    epilogue: &Epilogue<'_>,
    c: &mut [f32],
    c_stride: usize,
    scratch: &mut [f32],
) -> Result<()> {
    gemm(set, a, pack_into(set, b, scratch)?, epilogue, c, c_stride)
}

/// [`gemm`] with `rows` rows that lie in one piece, into rows in one piece; where `b` is of bf16 they are rounded into
/// `scratch` first, of at least [`rounded_len`] of A's numbers.
///
/// # Errors
///
/// As [`gemm`], and `Internal` if `scratch` is short.
pub(crate) fn gemm_dense<C: Stored>(
    set: KernelSet,
    a: &[f32],
    rows: usize,
    b: PackedRef<'_>,
    epilogue: &Epilogue<'_>,
    c: &mut [C],
    scratch: &mut [f32],
) -> Result<()> {
    let segments = [Segment { offset: 0, len: b.k() }];
    let (stride, n) = (b.k(), b.n());
    match b.factors() {
        Factors::F32 => gemm(set, &Rows { data: a, rows, stride, segments: &segments }, b, epilogue, c, n),
        Factors::Bf16 => {
            let (data, _) = rounded(set, a, scratch)?;
            gemm(set, &Rows { data, rows, stride, segments: &segments }, b, epilogue, c, n)
        }
    }
}

/// Numbers of scratch to round `count` numbers in where products are of `factors`.
pub(crate) fn rounded_len(factors: Factors, count: usize) -> usize {
    match factors {
        Factors::F32 => 0,
        Factors::Bf16 => count.div_ceil(2).saturating_add(15) / 16 * 16,
    }
}

/// `from` rounded to bf16 at the start of `scratch`, and the scratch behind.
///
/// # Errors
///
/// `Internal` if `scratch` is shorter than [`rounded_len`].
pub(crate) fn rounded<'s>(set: KernelSet, from: &[f32], scratch: &'s mut [f32]) -> Result<(&'s [bf16], &'s mut [f32])> {
    let (need, have) = (rounded_len(Factors::Bf16, from.len()), scratch.len());
    let Some((own, rest)) = scratch.split_at_mut_checked(need) else {
        return Err(Error::internal(format!("{have} numbers of scratch where {need} are needed")));
    };
    let to = &mut bytemuck::cast_slice_mut(own)[..from.len()];
    round_to_bf16(set, from, to);
    Ok((to, rest))
}

/// The largest of `epilogue(a[r] b)` over all rows `r`, for each of the N columns, to `out`; NaN where any is NaN, minus
/// infinity where there are no rows.
///
/// C itself is never stored: each tile is reduced while it is in the first-level cache. `epilogue` has no residual
/// and no layer norm.
///
/// # Errors
///
/// `Internal` if a length or the kernel set does not fit; nothing is computed then.
pub fn gemm_max<'b, T: Factor>(
    set: KernelSet,
    a: &Rows<'_, T>,
    b: impl Into<PackedRef<'b>>,
    epilogue: &Epilogue<'_>,
    out: &mut [f32],
) -> Result<()> {
    let b = b.into();
    b.check(set, a)?;
    let n = b.n();
    epilogue.check(a.rows, n)?;
    if epilogue.residual.is_some() || epilogue.layer_norm.is_some() || out.len() != n {
        let (rows, len) = (a.rows, out.len());
        return Err(Error::internal(format!("maximum over {rows} rows of {n} columns into {len}, or with a residual")));
    }
    out.fill(f32::NEG_INFINITY);
    let blocks = Blocks::of::<T, f32>(set, a, &b);
    let product = Product { set, a, b, epilogue, blocks, c: out.as_mut_ptr(), c_stride: n };
    split::each(0..b.panels(), split::parts(flop(a, &b)), &|panels| product.max(panels));
    Ok(())
}

/// The sizes of the blocks that the loops go by. They set the order of the work, never a result.
struct Blocks {
    tile_rows: usize,
    rows: usize,
    panels: usize,
    /// In steps of K.
    k: usize,
}

impl Blocks {
    fn of<T: Factor, C: Stored>(set: KernelSet, a: &Rows<'_, T>, b: &PackedRef<'_>) -> Self {
        let (k, tile_rows) = (b.depth().max(1), rows_at_once::<T>(set));
        // Overlapping rows share what they read.
        let stride = (a.stride.saturating_mul(size_of::<T>()) / 4).min(k);
        let tile = (tile_rows - 1) * stride + k;
        // A tile whose sums have no place in C is summed up in one go.
        let block_k = if tile * 4 <= TILE_BYTES || !C::HOLDS_SUMS {
            k
        } else {
            (TILE_BYTES / 4 / tile_rows).next_multiple_of(8).min(k)
        };
        let rows = (ROWS_BYTES / 4 / (stride + b.n())).max(4 * tile_rows);
        let panels = (PANELS_BYTES / 4 / (block_k * b.width())).max(1);
        Self { tile_rows, rows: rows.next_multiple_of(tile_rows), panels, k: block_k }
    }
}

/// The most rows of A that are taken at once.
fn rows_at_once<T: Factor>(set: KernelSet) -> usize {
    #[cfg(target_arch = "x86_64")]
    if T::FACTORS == Factors::Bf16 && set.has_amx() {
        return tiles::ROWS;
    }
    tile::rows::<T>(set)
}

/// A checked product, and where it goes.
struct Product<'a, T, C> {
    set: KernelSet,
    a: &'a Rows<'a, T>,
    b: PackedRef<'a>,
    epilogue: &'a Epilogue<'a>,
    blocks: Blocks,
    c: *mut C,
    c_stride: usize,
}

// SAFETY: C is exclusively borrowed for as long as the product lives, and its parts are given to one thread each.
unsafe impl<T: Factor, C: Stored> Sync for Product<'_, T, C> {}

impl<T: Factor, C: Stored> Product<'_, T, C> {
    /// Computes a part of C; its layer norm if it has whole rows.
    fn run(&self, rows: Range<usize>, panels: Range<usize>) {
        for block in Spans::new(rows.clone(), self.blocks.rows) {
            for panels in Spans::new(panels.clone(), self.blocks.panels) {
                self.block(block.clone(), panels);
            }
            if panels == (0..self.b.panels()) {
                self.normalize(block);
            }
        }
    }

    fn normalize(&self, rows: Range<usize>) {
        if let Some(norm) = self.epilogue.layer_norm
            && let Some(c) = C::sums(self.c)
        {
            let data = c.wrapping_add(rows.start * self.c_stride);
            self.set.run(NormRows { data, rows: rows.len(), stride: self.c_stride, norm });
        }
    }

    /// Computes a block of C, all but the layer norm.
    fn block(&self, rows: Range<usize>, panels: Range<usize>) {
        #[cfg(target_arch = "x86_64")]
        if let Some((tiles, a)) = self.tiles() {
            return self.tile_block(&tiles, &a, rows, panels);
        }
        let &Self { set, a, ref b, epilogue, ref blocks, c, c_stride } = self;
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
                        _ => (edge.0.as_mut_ptr(), width),
                    };
                    let in_place = sums == Some(to);
                    if let Some(sums) = sums
                        && !in_place
                        && k > 0
                    {
                        copy(sums, c_stride, to, width, rows.len(), columns);
                    }
                    let tile = Tile {
                        a: a.row(rows.start),
                        a_stride: a.stride,
                        segments,
                        skip,
                        k: block_k,
                        b: b.panel(panel).wrapping_add(k * width),
                        b_stride: width,
                        columns,
                        c: to,
                        c_stride: to_stride,
                        start,
                    };
                    tile::run(set, rows.len(), tile);
                    if last {
                        let (row, rows) = (rows.start, rows.len());
                        Finish { epilogue, row, rows, column, columns, n, max: None }.run(set, to, to_stride);
                    }
                    if !in_place {
                        // SAFETY: between a tile buffer and the part of C that the tile stands for.
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
    /// Brings the largest of each column over all rows to C, which is one row and holds the largest so far.
    fn max(&self, panels: Range<usize>) {
        #[cfg(target_arch = "x86_64")]
        if let Some((tiles, a)) = self.tiles()
            && self.tile_max(&tiles, &a, panels.clone())
        {
            return;
        }
        let &Self { set, a, ref b, epilogue, c: out, .. } = self;
        let (width, n, tile_rows) = (b.width(), b.n(), tile::rows::<T>(set));
        let mut buffer = TileBuffer::new();
        let c = buffer.0.as_mut_ptr();
        for panels in Spans::new(panels, (PANELS_BYTES / 4 / (b.depth().max(1) * width)).max(1)) {
            for rows in Spans::even(0..a.rows, tile_rows) {
                for panel in panels.clone() {
                    let column = panel * width;
                    let columns = width.min(n - column);
                    let tile = Tile {
                        a: a.row(rows.start),
                        a_stride: a.stride,
                        segments: a.segments,
                        skip: 0,
                        k: b.depth(),
                        b: b.panel(panel),
                        b_stride: width,
                        columns,
                        c,
                        c_stride: width,
                        start: Start::Zero,
                    };
                    tile::run(set, rows.len(), tile);
                    let (row, rows, max) = (rows.start, rows.len(), Some(out.wrapping_add(column)));
                    Finish { epilogue, row, rows, column, columns, n, max }.run(set, c, width);
                }
            }
        }
    }
}

/// Copies a matrix between two strides.
fn copy(from: *const f32, from_stride: usize, to: *mut f32, to_stride: usize, rows: usize, columns: usize) {
    for row in 0..rows {
        // SAFETY: called between a tile buffer and the part of C that the tile stands for.
        unsafe { to.add(row * to_stride).copy_from_nonoverlapping(from.add(row * from_stride), columns) }
    }
}

/// A range cut into spans.
pub(crate) struct Spans {
    left: Range<usize>,
    span: usize,
    /// How many spans are longer by one.
    longer: usize,
}

impl Spans {
    /// Spans of `span`, the last one shorter.
    fn new(range: Range<usize>, span: usize) -> Self {
        Self { left: range, span, longer: 0 }
    }

    /// The fewest spans of at most `most`, whose lengths differ by at most one.
    pub(crate) fn even(range: Range<usize>, most: usize) -> Self {
        let count = range.len().div_ceil(most).max(1);
        let (span, longer) = ((range.len() / count).max(1), range.len() % count);
        Self { left: range, span, longer }
    }
}

impl Iterator for Spans {
    type Item = Range<usize>;

    fn next(&mut self) -> Option<Range<usize>> {
        if self.left.is_empty() {
            return None;
        }
        let longer = usize::from(self.longer > 0);
        self.longer -= longer;
        let start = self.left.start;
        self.left.start = (start + self.span + longer).min(self.left.end);
        Some(start..self.left.start)
    }
}
