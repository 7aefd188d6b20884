//! Panels of bf16 pairs, from numbers that are already rounded.

use half::bf16;

use crate::kernels::{
    KernelSet,
    gemm::{
        matrix::{Matrix, assert_within},
        panels::TransposedPanel,
        tile,
    },
    simd::{Kernel, Simd},
};

/// Fills `to` with the panels of `b` as one segment, each of `panel_depth` rows of pairs.
///
/// `b` has passed [`Matrix::check`].
pub(super) fn pack_rounded_pairs(set: KernelSet, b: &Matrix<'_, bf16>, panel_depth: usize, to: &mut [f32]) {
    if b.k == 0 || b.n == 0 {
        return;
    }
    let (width, depth) = (tile::width(set), b.k.div_ceil(2));
    for (panel, to) in to.chunks_exact_mut(width * panel_depth).enumerate() {
        let first = panel * width;
        let columns = width.min(b.n - first);
        let (to, padding) = to.split_at_mut(width * depth);
        padding.fill(0.0);
        let from = &b.data[first * b.column_stride..];
        if let Some(words) = as_words(b, from) {
            // Two neighbours of a column form a lane without conversion.
            set.run(TransposedPanel { from: words, stride: b.column_stride / 2, columns, k: depth, to });
        } else if b.column_stride == 1 {
            set.run(RoundedRows { from, stride: b.row_stride, rows: b.k, columns, to, width });
        } else {
            let at = |k: usize, j: usize| {
                let inside = k < b.k && j < columns;
                if inside { u32::from(from[k * b.row_stride + j * b.column_stride].to_bits()) } else { 0 }
            };
            for (pair, to) in to.chunks_exact_mut(width).enumerate() {
                for (j, to) in to.iter_mut().enumerate() {
                    *to = f32::from_bits(at(2 * pair, j) | at(2 * pair + 1, j) << 16);
                }
            }
        }
    }
}

/// `from` as 32-bit lanes, if possible.
///
/// The columns of `b` must be contiguous, of even length and aligned to lanes.
fn as_words<'a>(b: &Matrix<'_, bf16>, from: &'a [bf16]) -> Option<&'a [f32]> {
    let even = b.row_stride == 1 && b.k.is_multiple_of(2) && b.column_stride.is_multiple_of(2);
    let whole = &from[..from.len() / 2 * 2];
    if even { bytemuck::try_cast_slice(whole).ok() } else { None }
}

/// Fills a panel from contiguous rows of rounded numbers, `stride` apart.
struct RoundedRows<'a> {
    from: &'a [bf16],
    stride: usize,
    rows: usize,
    columns: usize,
    to: &'a mut [f32],
    width: usize,
}

impl Kernel for RoundedRows<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { from, stride, rows, columns, to, width } = self;
        assert_within(rows, stride, columns, from.len());
        assert_within(rows.div_ceil(2), width, width.next_multiple_of(S::LANES), to.len());
        let (from, to) = (from.as_ptr(), to.as_mut_ptr());
        let zero = s.splat(0.0);
        for pair in 0..rows.div_ceil(2) {
            for at in (0..width).step_by(S::LANES) {
                let count = columns.saturating_sub(at).min(S::LANES);
                // SAFETY: rows below `rows` and columns below `columns`, and whole vectors of rows
                // of `width` lanes: the assertions place them within the slices.
                unsafe {
                    let row = |row: usize| match count {
                        0 => zero,
                        _ if row >= rows => zero,
                        _ => s.head(s.load_bf16(from.add(row * stride + at), count), count, zero),
                    };
                    s.store(to.add(pair * width + at), s.pair(row(2 * pair), row(2 * pair + 1)));
                }
            }
        }
    }
}
