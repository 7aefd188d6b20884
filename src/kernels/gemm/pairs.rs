//! Panels of bf16 pairs: each 32-bit lane holds two rows of a column, the even one in its low half.

use half::bf16;

use crate::kernels::{
    KernelSet,
    gemm::{
        packed::{Matrix, Transpose},
        tile,
    },
    simd::{Kernel, Simd, reduce::load_or},
};

/// Fills `to` with the panels of the checked matrix `b`, each of `panel_depth` rows. Its rows are cut into segments of
/// `segment`; where that is odd the last row of each is paired with zeros.
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
            // The last element needed is the last one that `Matrix::check` has found within the data.
            let run = Run { from: from.as_ptr(), columns, rows: segment, to: to.as_mut_ptr(), width };
            if b.column_stride == 1 {
                set.run(PairRows { run, stride: b.row_stride });
            } else if b.row_stride == 1 {
                set.run(PairColumns { run, stride: b.column_stride });
            } else {
                pair_any(from, b.row_stride, b.column_stride, segment, columns, width, to);
            }
        }
    }
}

/// As [`pack_pairs`], of numbers that are rounded already, and of one segment.
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
        let words = from.as_ptr().cast::<f32>();
        // The last element needed is the last one that `Matrix::check` has found within the data.
        if b.row_stride == 1 && b.k.is_multiple_of(2) && b.column_stride.is_multiple_of(2) && words.is_aligned() {
            // Two numbers that lie together are a lane as they are.
            set.run(Transpose { from: words, stride: b.column_stride / 2, columns, k: depth, to: to.as_mut_ptr() });
        } else if b.column_stride == 1 {
            let (from, to) = (from.as_ptr(), to.as_mut_ptr());
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

/// A panel from rows of rounded numbers that each lie together, `stride` apart.
///
/// Whoever makes one vouches for `rows x columns` numbers at `from` and for a panel at `to`.
struct RoundedRows {
    from: *const bf16,
    stride: usize,
    rows: usize,
    columns: usize,
    to: *mut f32,
    width: usize,
}

impl Kernel for RoundedRows {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { from, stride, rows, columns, to, width } = self;
        let zero = s.splat(0.0);
        for pair in 0..rows.div_ceil(2) {
            for at in (0..width).step_by(S::LANES) {
                let count = columns.saturating_sub(at).min(S::LANES);
                // SAFETY: rows below `rows` and columns below `columns`, for which the maker vouches; a panel's width
                // is whole vectors.
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

/// One segment of a panel, from a matrix of any strides.
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

/// One segment of a panel.
///
/// Whoever makes one vouches for `rows x columns` numbers at `from` in the strides of the kernel that takes it, and for
/// `rows` halved and rounded up times `width` lanes at `to`.
#[derive(Clone, Copy)]
struct Run {
    from: *const f32,
    columns: usize,
    rows: usize,
    to: *mut f32,
    width: usize,
}

/// From rows that each lie together, `stride` apart.
struct PairRows {
    run: Run,
    stride: usize,
}

impl Kernel for PairRows {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { run: Run { from, columns, rows, to, width }, stride } = self;
        let zero = s.splat(0.0);
        for pair in 0..rows.div_ceil(2) {
            for at in (0..width).step_by(S::LANES) {
                let count = columns.saturating_sub(at).min(S::LANES);
                // SAFETY: rows below `rows` and columns below `columns`, for which the maker vouches; a panel's width
                // is whole vectors.
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

/// From columns that each lie together, `stride` apart.
struct PairColumns {
    run: Run,
    stride: usize,
}

/// Numbers of the largest square that is transposed.
const SQUARE: usize = 16 * 16;

impl Kernel for PairColumns {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { run: Run { from, columns, rows, to, width }, stride } = self;
        let mut square = [0.0_f32; SQUARE];
        for at in (0..width).step_by(S::LANES) {
            let first = at.min(columns);
            let count = (columns - first).min(S::LANES);
            let mut row = 0;
            while row < rows {
                let have = (rows - row).min(S::LANES);
                // SAFETY: rows below `rows` and columns below `columns`, for which the maker vouches; the square has
                // room for as many lanes each way.
                unsafe {
                    // Behind the last column nothing is read.
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

/// Rounds numbers to bf16, ties to even.
///
/// # Panics
/// If the lengths differ: the caller has cut both.
pub(crate) fn round_to_bf16(set: KernelSet, from: &[f32], to: &mut [bf16]) {
    assert_eq!(from.len(), to.len(), "as many numbers to round as room for them");
    // SAFETY: one row, all of both slices.
    unsafe { store_rounded(set, from.as_ptr(), 0, to.as_mut_ptr(), 0, 1, from.len()) }
}

/// Rounds `rows` rows of `columns` numbers to bf16, ties to even.
///
/// # Safety
/// They can be read at `from` and written at `to`, in rows that far apart.
pub(super) unsafe fn store_rounded(
    set: KernelSet,
    from: *const f32,
    from_stride: usize,
    to: *mut bf16,
    to_stride: usize,
    rows: usize,
    columns: usize,
) {
    set.run(Round { from, from_stride, to, to_stride, rows, columns });
}

/// As [`store_rounded`], whose caller vouches for it.
struct Round {
    from: *const f32,
    from_stride: usize,
    to: *mut bf16,
    to_stride: usize,
    rows: usize,
    columns: usize,
}

impl Kernel for Round {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { from, from_stride, to, to_stride, rows, columns } = self;
        let zero = s.splat(0.0);
        for row in 0..rows {
            for at in (0..columns).step_by(S::LANES) {
                let count = (columns - at).min(S::LANES);
                // SAFETY: whoever made this vouches for the rows.
                unsafe {
                    let x = load_or(s, from.add(row * from_stride), at, count, zero);
                    s.store_bf16(to.add(row * to_stride + at), count, x);
                }
            }
        }
    }
}
