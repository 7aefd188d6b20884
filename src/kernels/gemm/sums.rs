//! Sums of integers as numbers: scales and offsets of rows and columns.

use crate::{
    error::{Error, Result},
    kernels::gemm::factor::Factors,
};

/// What turns exact sums into numbers: `scale * (sum - offset of the column - offset of the row)`.
#[derive(Clone, Copy, Debug)]
pub struct Sums<'a> {
    /// The scale of each column: N numbers.
    pub scales: &'a [f32],
    /// The offset of each column: N integers.
    pub columns: &'a [i32],
    /// The offset of each row: M integers, or none.
    pub rows: &'a [i32],
}

impl Sums<'_> {
    /// Fails unless all fit `rows` x `n` sums of such factors, whose rows have no scales.
    pub(super) fn check(&self, factors: Factors, rows: usize, n: usize, row_scales: &[f32]) -> Result<()> {
        let of_rows = self.rows.is_empty() || self.rows.len() == rows;
        let fits = self.scales.len() == n && self.columns.len() == n && of_rows && row_scales.is_empty();
        if fits && factors.are_integers() {
            return Ok(());
        }
        let (scales, columns, own) = (self.scales.len(), self.columns.len(), self.rows.len());
        let offsets = format!("{scales} scales, offsets of {columns} columns and of {own} rows");
        Err(Error::internal(format!("{offsets} for {rows} x {n} sums of {factors:?}")))
    }
}

/// What turns sums of integers into numbers.
#[derive(Clone, Copy)]
pub(super) struct Scales {
    /// The scale of each row.
    pub(super) rows: OfRows,
    /// 32-bit integers, subtracted from the sums of each row.
    pub(super) row_offsets: OfRows,
    /// The scale of each column.
    pub(super) columns: *const f32,
    /// 32-bit integers, subtracted from the sums of each column.
    pub(super) offsets: *const f32,
}

impl Scales {
    /// Those of the sums from `row` and `column` on: the given ones, or those of the rows and of the columns.
    pub(super) fn new(
        sums: Option<Sums<'_>>,
        rows: &[f32],
        columns: (&[f32], &[i32]),
        row: usize,
        column: usize,
    ) -> Self {
        let (scales, offsets) = sums.map_or(columns, |sums| (sums.scales, sums.columns));
        let row_offsets = sums.map_or(&[][..], |sums| bytemuck::cast_slice(sums.rows));
        Self {
            rows: OfRows::new(rows, row, &1.0),
            row_offsets: OfRows::new(row_offsets, row, &0.0),
            columns: scales[column..].as_ptr(),
            offsets: offsets[column..].as_ptr().cast(),
        }
    }
}

/// A number for each row, or one for all.
#[derive(Clone, Copy)]
pub(super) struct OfRows {
    first: *const f32,
    step: usize,
}

impl OfRows {
    /// Those of the rows from `row` on; `one` where there are none.
    fn new(all: &[f32], row: usize, one: &'static f32) -> Self {
        if all.is_empty() { Self { first: one, step: 0 } } else { Self { first: all[row..].as_ptr(), step: 1 } }
    }

    /// # Safety
    /// There is such a row behind the first.
    #[inline(always)]
    pub(super) unsafe fn get(self, row: usize) -> f32 {
        // SAFETY: the contract is the same.
        unsafe { *self.first.add(row * self.step) }
    }
}
