//! Rows scaled to Euclidean length 1.

use crate::{
    error::{Error, Result},
    kernels::{
        KernelSet,
        simd::{
            Kernel, Simd,
            reduce::{fold, load_or},
        },
        softmax::scale,
    },
};

/// Divides each row by the larger of its Euclidean length and `floor`, in place.
///
/// A row has `columns` numbers; one whose squares overflow becomes zeros.
///
/// # Errors
///
/// `Internal` if the length is no multiple of `columns`.
pub fn l2_normalize_rows(set: KernelSet, data: &mut [f32], columns: usize, floor: f32) -> Result<()> {
    if !data.len().is_multiple_of(columns.max(1)) {
        return Err(Error::internal(format!("{} numbers in rows of {columns}", data.len())));
    }
    if let Some(rows) = data.len().checked_div(columns) {
        // SAFETY: the rows make up `data`.
        set.run(unsafe { NormalizeRows::new(data.as_mut_ptr(), rows, columns, floor) });
    }
    Ok(())
}

/// Divides `rows` dense rows by their lengths, in place.
struct NormalizeRows {
    data: *mut f32,
    rows: usize,
    columns: usize,
    floor: f32,
}

impl NormalizeRows {
    /// # Safety
    /// `rows * columns` numbers are readable and writable at `data`.
    #[inline(always)]
    unsafe fn new(data: *mut f32, rows: usize, columns: usize, floor: f32) -> Self {
        Self { data, rows, columns, floor }
    }
}

impl Kernel for NormalizeRows {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { data, rows, columns, floor } = self;
        let zero = s.splat(0.0);
        for row in 0..rows {
            // SAFETY: `new` requires `rows * columns` numbers.
            unsafe {
                let data = data.add(row * columns);
                let squares = fold!(s: S, columns, zero, add, |at, count| {
                    let x = load_or(s, data, at, count, zero);
                    s.mul(x, x)
                });
                let length = s.sum(squares).sqrt();
                let length = if length < floor { floor } else { length };
                scale(s, data, data, columns, 1.0 / length);
            }
        }
    }
}
