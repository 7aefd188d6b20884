//! Matrices as callers pass them: sizes and strides over a slice.

use crate::error::{Error, Result};

/// Memory layout of a K x N matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// K rows of N numbers.
    RowMajor,
    /// N rows of K numbers, as the weights of a linear layer are stored.
    Transposed,
}

/// A K x N matrix over a slice: element `(k, j)` is `data[k * row_stride + j * column_stride]`.
#[derive(Clone, Copy, Debug)]
pub struct Matrix<'a, X = f32> {
    /// The slice that holds the elements.
    pub data: &'a [X],
    /// Number of rows.
    pub k: usize,
    /// Number of columns.
    pub n: usize,
    /// Distance between rows, in elements.
    pub row_stride: usize,
    /// Distance between columns, in elements.
    pub column_stride: usize,
}

impl<'a> Matrix<'a> {
    /// A dense `k x n` matrix in `layout`.
    pub fn new(data: &'a [f32], k: usize, n: usize, layout: Layout) -> Self {
        let (row_stride, column_stride) = match layout {
            Layout::RowMajor => (n, 1),
            Layout::Transposed => (1, k),
        };
        Self { data, k, n, row_stride, column_stride }
    }
}

impl<X> Matrix<'_, X> {
    /// Fails if an element is outside the slice.
    pub(super) fn check(&self) -> Result<()> {
        if self.k == 0 || self.n == 0 {
            return Ok(());
        }
        let row = (self.k - 1).checked_mul(self.row_stride);
        let column = (self.n - 1).checked_mul(self.column_stride);
        let last = row.zip(column).and_then(|(row, column)| row.checked_add(column));
        if last.is_none_or(|last| last >= self.data.len()) {
            let Self { k, n, row_stride, column_stride, .. } = self;
            let len = self.data.len();
            return Err(Error::internal(format!(
                "a {k} x {n} matrix with strides {row_stride} and {column_stride} is not within {len} numbers"
            )));
        }
        Ok(())
    }
}

/// Panics unless `count` runs of `len` numbers, `stride` apart, are within `available` numbers.
pub(super) fn assert_within(count: usize, stride: usize, len: usize, available: usize) {
    let end = count.saturating_sub(1).checked_mul(stride).and_then(|start| start.checked_add(len));
    assert!(
        count == 0 || end.is_some_and(|end| end <= available),
        "{count} runs of {len} numbers, {stride} apart, in {available}"
    );
}
