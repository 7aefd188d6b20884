//! Panels of f32: K rows of a panel's columns, one row after another.

use crate::kernels::{
    KernelSet,
    gemm::{
        matrix::{Matrix, assert_within},
        tile,
    },
    simd::{Kernel, Simd},
};

/// Fills `to` with the panels of `b`, which has passed [`Matrix::check`].
pub(super) fn pack(set: KernelSet, b: &Matrix<'_>, to: &mut [f32]) {
    if b.k == 0 || b.n == 0 {
        return;
    }
    let width = tile::width(set);
    for (panel, to) in to.chunks_exact_mut(width * b.k).enumerate() {
        let first = panel * width;
        let columns = width.min(b.n - first);
        let from = &b.data[first * b.column_stride..];
        if b.column_stride == 1 {
            for (k, to) in to.chunks_exact_mut(width).enumerate() {
                let (to, padding) = to.split_at_mut(columns);
                to.copy_from_slice(&from[k * b.row_stride..][..columns]);
                padding.fill(0.0);
            }
        } else if b.row_stride == 1 {
            set.run(TransposedPanel { from, stride: b.column_stride, columns, k: b.k, to });
        } else {
            for (k, to) in to.chunks_exact_mut(width).enumerate() {
                for (column, to) in to.iter_mut().enumerate() {
                    *to = if column < columns { from[k * b.row_stride + column * b.column_stride] } else { 0.0 };
                }
            }
        }
    }
}

/// Fills a panel from `columns` contiguous columns of `k` numbers, `stride` apart, and pads it with
/// zeros.
pub(super) struct TransposedPanel<'a> {
    pub(super) from: &'a [f32],
    pub(super) stride: usize,
    pub(super) columns: usize,
    pub(super) k: usize,
    pub(super) to: &'a mut [f32],
}

impl Kernel for TransposedPanel<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { from, stride, columns, k, to } = self;
        let width = tile::VECTORS * S::LANES;
        assert_within(columns, stride, k, from.len());
        assert_within(k, width, width, to.len());
        let (from, to) = (from.as_ptr(), to.as_mut_ptr());
        // SAFETY: `row < k` and `column < columns`, which the assertions place within the slices.
        unsafe {
            for vector in 0..tile::VECTORS {
                let first = (vector * S::LANES).min(columns);
                let rows = (columns - first).min(S::LANES);
                // Nothing is read past the last column.
                let (from, to) = (from.wrapping_add(first * stride), to.add(vector * S::LANES));
                let mut row = 0;
                while row + S::LANES <= k {
                    s.transpose(from.wrapping_add(row), stride, rows, to.add(row * width), width);
                    row += S::LANES;
                }
                for row in row..k {
                    for column in 0..S::LANES {
                        let x = if column < rows { *from.add(column * stride + row) } else { 0.0 };
                        *to.add(row * width + column) = x;
                    }
                }
            }
        }
    }
}
