//! Panels of bf16 pairs: each 32-bit lane holds two rows of a column, the even row in its low half.

use half::bf16;

use crate::kernels::{
    KernelSet,
    gemm::{
        matrix::{Matrix, assert_within},
        tile,
    },
    simd::{Kernel, Simd, reduce::load_or},
};

/// Fills `to` with the panels of `b`, rounded, each of `panel_depth` rows of pairs.
///
/// `b` has passed [`Matrix::check`]. Its rows are cut into segments of `segment`; where that is
/// odd, the last row of each segment is paired with zeros.
pub(super) fn pack_pairs(set: KernelSet, b: &Matrix<'_>, segment: usize, panel_depth: usize, to: &mut [f32]) {
    if b.k == 0 || b.n == 0 {
        return;
    }
    let width = tile::width(set);
    let depth = segment.div_ceil(2);
    for (panel, to) in to.chunks_exact_mut(width * panel_depth).enumerate() {
        let first = panel * width;
        let columns = width.min(b.n - first);
        let (to, padding) = to.split_at_mut(width * (b.k / segment) * depth);
        padding.fill(0.0);
        for (index, to) in to.chunks_exact_mut(width * depth).enumerate() {
            let from = &b.data[index * segment * b.row_stride + first * b.column_stride..];
            if b.column_stride == 1 {
                set.run(PairRows { from, stride: b.row_stride, rows: segment, columns, to, width });
            } else if b.row_stride == 1 {
                set.run(PairColumns { from, stride: b.column_stride, rows: segment, columns, to, width });
            } else {
                pair_any(from, b.row_stride, b.column_stride, segment, columns, width, to);
            }
        }
    }
}

/// Pairs one segment of a panel from a matrix of any strides.
fn pair_any(from: &[f32], row: usize, column: usize, rows: usize, columns: usize, width: usize, to: &mut [f32]) {
    let at = |k: usize, j: usize| {
        let inside = k < rows && j < columns;
        u32::from(bf16::from_f32(if inside { from[k * row + j * column] } else { 0.0 }).to_bits())
    };
    for (pair, to) in to.chunks_exact_mut(width).enumerate() {
        for (j, to) in to.iter_mut().enumerate() {
            *to = f32::from_bits(at(2 * pair, j) | at(2 * pair + 1, j) << 16);
        }
    }
}

/// Pairs one segment of a panel from contiguous rows, `stride` apart.
struct PairRows<'a> {
    from: &'a [f32],
    stride: usize,
    rows: usize,
    columns: usize,
    to: &'a mut [f32],
    width: usize,
}

impl Kernel for PairRows<'_> {
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
                    let row = |row: usize| {
                        if row < rows && count > 0 { load_or(s, from.add(row * stride), at, count, zero) } else { zero }
                    };
                    s.store(to.add(pair * width + at), s.pair(row(2 * pair), row(2 * pair + 1)));
                }
            }
        }
    }
}

/// Pairs one segment of a panel from contiguous columns, `stride` apart.
struct PairColumns<'a> {
    from: &'a [f32],
    stride: usize,
    rows: usize,
    columns: usize,
    to: &'a mut [f32],
    width: usize,
}

/// Elements of the largest square that is transposed.
const SQUARE: usize = 16 * 16;

impl Kernel for PairColumns<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { from, stride, rows, columns, to, width } = self;
        assert_within(columns, stride, rows, from.len());
        assert_within(rows.div_ceil(2), width, width.next_multiple_of(S::LANES), to.len());
        let (from, to) = (from.as_ptr(), to.as_mut_ptr());
        let mut square = [0.0_f32; SQUARE];
        for at in (0..width).step_by(S::LANES) {
            let first = at.min(columns);
            let count = (columns - first).min(S::LANES);
            let mut row = 0;
            while row < rows {
                let have = (rows - row).min(S::LANES);
                // SAFETY: rows below `rows` and columns below `columns`, and whole vectors of rows
                // of `width` lanes: the assertions place them within the slices. The square has
                // room for as many lanes each way.
                unsafe {
                    // Nothing is read past the last column.
                    let from = from.wrapping_add(first * stride + row);
                    let square = square.as_mut_ptr();
                    if have == S::LANES {
                        s.transpose(from, stride, count, square, S::LANES);
                    } else {
                        for i in 0..S::LANES {
                            for j in 0..S::LANES {
                                let inside = i < have && j < count;
                                *square.add(i * S::LANES + j) = if inside { *from.add(j * stride + i) } else { 0.0 };
                            }
                        }
                    }
                    for pair in 0..have.div_ceil(2) {
                        let own = square.add(2 * pair * S::LANES);
                        let paired = s.pair(s.load(own), s.load(own.add(S::LANES)));
                        s.store(to.add((row / 2 + pair) * width + at), paired);
                    }
                }
                row += have;
            }
        }
    }
}
