//! Products of rows and the weights of one gate for a group of columns.

use crate::{
    error::{Error, Result},
    kernels::{
        KernelSet,
        gemm::{
            Layout, Packed, PackedRef, Segment, Spans,
            tile::{self, Start, Tile, TileA, TileB, TileC},
        },
    },
};

/// Bytes of a panel that are multiplied with all rows before the next: half of a small first-level cache.
const PANEL_BYTES: usize = 16 << 10;

/// Packs the weights of `gates`, `[gates, size, k]`, a panel for each gate of each group of columns.
///
/// A group that has fewer columns than a panel is filled up with zeros.
///
/// # Errors
/// `Internal` if the weights have another length, `Limit` if the packed size overflows.
pub(crate) fn pack(set: KernelSet, weights: &[f32], gates: usize, size: usize, k: usize) -> Result<Packed> {
    if gates.checked_mul(size).and_then(|rows| rows.checked_mul(k)) != Some(weights.len()) {
        return Err(Error::internal(format!("{} weights of {gates} gates of {size} x {k}", weights.len())));
    }
    let width = tile::width(set);
    let columns = size.div_ceil(width) * gates * width;
    let too_long = || Error::limit(format!("packed weights of {gates} gates of {size} x {k} have too many numbers"));
    let mut ordered = vec![0.0; columns.checked_mul(k).ok_or_else(too_long)?];
    for first in (0..size).step_by(width) {
        let (panel, count) = (first / width * gates, (size - first).min(width));
        for gate in 0..gates {
            let own = &weights[(gate * size + first) * k..][..count * k];
            ordered[(panel + gate) * width * k..][..count * k].copy_from_slice(own);
        }
    }
    Packed::new(set, &ordered, k, columns, Layout::Transposed)
}

/// How the products of some rows are cut, for all panels.
pub(super) struct Cut {
    set: KernelSet,
    width: usize,
    /// The rows of each register tile.
    tiles: Spans,
}

impl Cut {
    /// Cuts `rows` rows.
    pub(super) fn new(set: KernelSet, rows: usize) -> Self {
        Self { set, width: tile::width(set), tiles: Spans::even(0..rows, tile::rows::<f32>(set)) }
    }

    /// Columns of a panel.
    pub(super) fn width(&self) -> usize {
        self.width
    }
}

/// Rows of A and of C.
#[derive(Clone, Copy)]
pub(super) struct Strip {
    /// Dense rows of K numbers.
    pub(super) a: *const f32,
    /// Rows as wide as a panel.
    pub(super) c: *mut f32,
    /// The columns that are wanted.
    pub(super) columns: usize,
}

/// Multiplies rows with panel `panel` of `b`; C counts as zero unless `stored`.
///
/// # Safety
/// `b` is packed as f32 for the set of `cut`, has the panel, and K is not 0. The rows that are cut are readable at A; at C
/// rows of a panel's width are readable and writable, and nobody else uses them meanwhile.
pub(super) unsafe fn multiply(cut: &Cut, b: &PackedRef<'_>, panel: usize, strip: Strip, mut stored: bool) {
    let (k, &Cut { set, width, ref tiles }, Strip { a, c, columns }) = (b.k(), cut, strip);
    let panel = b.panel(panel);
    for steps in Spans::new(0..k, most_steps(k, width)) {
        let segments = [Segment { offset: steps.start, len: steps.len() }];
        for rows in tiles.clone() {
            let a = TileA { data: a.wrapping_add(rows.start * k), stride: k, segments: &segments, skip: 0 };
            let b = TileB { data: panel.wrapping_add(steps.start * width), stride: width, columns };
            let start = if stored { Start::Stored } else { Start::Zero };
            let c = TileC { data: c.wrapping_add(rows.start * width), stride: width, start };
            // SAFETY: rows and steps of what the caller promises.
            unsafe { Tile::new(rows.len(), steps.len(), a, b, c) }.run(set);
        }
        stored = true;
    }
}

/// The steps of K that are taken at a time: few parts, of about the same length.
fn most_steps(k: usize, width: usize) -> usize {
    let most = PANEL_BYTES / size_of::<f32>() / width;
    if k <= most { k } else { k.div_ceil(k.div_ceil(most)) }
}
