//! One row for each sequence of a packed batch: the mean, the first or the largest of its rows.

use crate::{
    error::{Error, Result},
    kernels::{
        KernelSet,
        attention::segments,
        simd::{
            Kernel, Simd,
            reduce::{load_or, store_some},
        },
    },
};

/// What is made of a sequence's rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SegmentReduction {
    /// Their mean, summed from the first to the last.
    Mean,
    /// The first.
    First,
    /// The largest of each column, NaN if any is.
    Max,
}

/// Reduces `rows`, `[rows, columns]`, to a row for each sequence, `[offsets.len() - 1, columns]`; the sequences begin at
/// `offsets`, ascending from 0 to the number of rows. A sequence without rows gives zeros.
///
/// # Errors
///
/// `InvalidInput` if the offsets are not so, `Internal` if a length does not fit.
pub fn reduce_segments(
    set: KernelSet,
    reduction: SegmentReduction,
    rows: &[f32],
    columns: usize,
    offsets: &[i32],
    out: &mut [f32],
) -> Result<()> {
    let count = offsets.len().saturating_sub(1);
    let total = rows.len().checked_div(columns).unwrap_or(0);
    if total * columns != rows.len() || count.checked_mul(columns) != Some(out.len()) {
        let (len, to) = (rows.len(), out.len());
        return Err(Error::internal(format!(
            "{len} numbers in rows of {columns} reduced to {to} by {count} sequences"
        )));
    }
    if columns == 0 {
        return Ok(());
    }
    for (segment, out) in segments(offsets, total)?.zip(out.chunks_exact_mut(columns)) {
        let rows = &rows[segment.start * columns..segment.end * columns];
        match rows.get(..columns) {
            None => out.fill(0.0),
            Some(first) if reduction == SegmentReduction::First => out.copy_from_slice(first),
            Some(_) => {
                let (rows, count) = (rows.as_ptr(), segment.len());
                set.run(Reduce {
                    mean: reduction == SegmentReduction::Mean,
                    rows,
                    count,
                    columns,
                    out: out.as_mut_ptr(),
                });
            }
        }
    }
    Ok(())
}

/// The mean or the largest of `count` rows.
struct Reduce {
    mean: bool,
    rows: *const f32,
    count: usize,
    columns: usize,
    out: *mut f32,
}

impl Kernel for Reduce {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { mean, rows, count, columns, out } = self;
        let zero = s.splat(0.0);
        let divisor = s.splat(count as f32);
        let mut at = 0;
        while at < columns {
            let lanes = (columns - at).min(S::LANES);
            // SAFETY: `reduce_segments` gives `count >= 1` rows of `columns` numbers, and one to write.
            unsafe {
                let mut sum = load_or(s, rows, at, lanes, zero);
                for row in 1..count {
                    let x = load_or(s, rows.add(row * columns), at, lanes, zero);
                    sum = if mean { s.add(sum, x) } else { s.max_or_nan(sum, x) };
                }
                store_some(s, out, at, lanes, if mean { s.div(sum, divisor) } else { sum });
            }
            at += lanes;
        }
    }
}
