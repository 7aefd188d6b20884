//! Transposition of a matrix.

use crate::kernels::{
    KernelSet,
    simd::{Kernel, Simd},
};

/// Writes the transpose of `rows` rows of `columns` numbers to `columns` rows of `rows` numbers.
///
/// Rows start `from_stride` and `to_stride` apart; numbers between the written rows are left alone.
///
/// # Panics
/// If a row is not within its slice.
pub(crate) fn transpose(
    set: KernelSet,
    from: &[f32],
    from_stride: usize,
    rows: usize,
    columns: usize,
    to: &mut [f32],
    to_stride: usize,
) {
    if rows == 0 || columns == 0 {
        return;
    }
    let end = |rows: usize, stride: usize, len: usize| {
        (rows - 1).checked_mul(stride).and_then(|start| start.checked_add(len))
    };
    let (read, written) = (end(rows, from_stride, columns), end(columns, to_stride, rows));
    assert!(read.is_some_and(|end| end <= from.len()), "a row to be read ends outside");
    assert!(written.is_some_and(|end| end <= to.len()), "a row to be written ends outside");
    // SAFETY: asserted above.
    set.run(unsafe { Transpose::new(from, from_stride, rows, columns, to, to_stride) });
}

/// The kernel of [`transpose`].
struct Transpose<'a> {
    from: &'a [f32],
    from_stride: usize,
    rows: usize,
    columns: usize,
    to: &'a mut [f32],
    to_stride: usize,
}

impl<'a> Transpose<'a> {
    /// # Safety
    /// All rows are within their slices.
    #[inline(always)]
    unsafe fn new(
        from: &'a [f32],
        from_stride: usize,
        rows: usize,
        columns: usize,
        to: &'a mut [f32],
        to_stride: usize,
    ) -> Self {
        Self { from, from_stride, rows, columns, to, to_stride }
    }
}

impl Kernel for Transpose<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { from, from_stride, rows, columns, to, to_stride } = self;
        let (whole_rows, whole_columns) = (rows - rows % S::LANES, columns - columns % S::LANES);
        for row in (0..whole_rows).step_by(S::LANES) {
            for column in (0..whole_columns).step_by(S::LANES) {
                let (from, to) = (&from[row * from_stride + column..], &mut to[column * to_stride + row..]);
                // SAFETY: the square is within the rows, which `new` requires within the slices.
                unsafe { s.transpose(from.as_ptr(), from_stride, S::LANES, to.as_mut_ptr(), to_stride) };
            }
        }
        // The rest: columns past the squares, then rows below them.
        for (rows, columns) in [(0..whole_rows, whole_columns..columns), (whole_rows..rows, 0..columns)] {
            for column in columns {
                for row in rows.clone() {
                    to[column * to_stride + row] = from[row * from_stride + column];
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::kernels::KernelSet;

    #[test]
    fn rows_become_columns() {
        for set in KernelSet::available() {
            for (rows, columns) in [(0, 3), (1, 1), (3, 40), (17, 33), (32, 16), (63, 65)] {
                let from: Vec<f32> = (0..rows * (columns + 2)).map(|value| value as f32).collect();
                let mut to = vec![-1.0; columns * (rows + 1)];
                super::transpose(set, &from, columns + 2, rows, columns, &mut to, rows + 1);
                for row in 0..rows {
                    for column in 0..columns {
                        assert_eq!(to[column * (rows + 1) + row], from[row * (columns + 2) + column], "{set}");
                    }
                }
                // Numbers between the rows are left alone.
                assert!((0..columns).all(|column| to[column * (rows + 1) + rows] == -1.0));
            }
        }
    }
}
