//! Sequences of a packed batch, and their reduction to one row each.

use std::ops::Range;

use crate::{
    error::{Error, Result},
    kernels::{
        KernelSet,
        simd::{
            Kernel, Simd,
            reduce::{load_or, store_some},
        },
    },
};

/// The row ranges of a packed batch's sequences; `offsets` ascend from 0 to `rows`.
///
/// # Errors
///
/// `InvalidInput` that names the first wrong offset.
pub(crate) fn segments(offsets: &[i32], rows: usize) -> Result<impl ExactSizeIterator<Item = Range<usize>> + '_> {
    let wrong = |index: usize| {
        let value = offsets.get(index).copied().unwrap_or_default();
        Error::invalid_input(format!("offset {index} is {value}: offsets begin with 0, ascend and end with {rows}"))
    };
    if offsets.first() != Some(&0) {
        return Err(wrong(0));
    }
    if let Some(index) = offsets.windows(2).position(|pair| pair[0] > pair[1]) {
        return Err(wrong(index + 1));
    }
    if offsets.last().and_then(|&last| usize::try_from(last).ok()) != Some(rows) {
        return Err(wrong(offsets.len() - 1));
    }
    // Ascending from 0: no offset is negative.
    Ok(offsets.windows(2).map(|pair| pair[0] as usize..pair[1] as usize))
}

/// How the rows of a sequence become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SegmentReduction {
    /// The mean, summed from the first row to the last.
    Mean,
    /// The mean times the square root of their number: their sum, divided by that root.
    MeanSqrtLength,
    /// The mean, in which the first row counts once, the second twice, and so on.
    WeightedMean,
    /// The first row.
    First,
    /// The last row.
    Last,
    /// The largest of each column, NaN if any is NaN.
    Max,
}

/// Reduces `[rows, columns]` to a row for each sequence, `[offsets.len() - 1, columns]`.
///
/// The sequences start at `offsets`, ascending from 0 to the number of rows. A sequence without
/// rows gives zeros.
///
/// # Errors
///
/// `InvalidInput` if the offsets do not ascend so, `Internal` if a length does not fit.
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
            Some(_) if reduction == SegmentReduction::Last => out.copy_from_slice(&rows[rows.len() - columns..]),
            Some(_) => {
                let kernel =
                    // SAFETY: all rows of the segment, of which there is one at least, and a row of the
                    // result.
                    unsafe { ReduceSegment::new(reduction, rows.as_ptr(), segment.len(), columns, out.as_mut_ptr()) };
                set.run(kernel);
            }
        }
    }
    Ok(())
}

/// Computes a mean or the largest of `count` rows.
struct ReduceSegment {
    reduction: SegmentReduction,
    rows: *const f32,
    count: usize,
    columns: usize,
    out: *mut f32,
}

impl ReduceSegment {
    /// # Safety
    /// `count` dense rows of `columns` numbers, one at least, are readable at `rows`, and one is
    /// writable at `out`.
    #[inline(always)]
    unsafe fn new(reduction: SegmentReduction, rows: *const f32, count: usize, columns: usize, out: *mut f32) -> Self {
        Self { reduction, rows, count, columns, out }
    }
}

impl Kernel for ReduceSegment {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { reduction, rows, count, columns, out } = self;
        let zero = s.splat(0.0);
        let divisor = match reduction {
            SegmentReduction::MeanSqrtLength => (count as f32).sqrt(),
            SegmentReduction::WeightedMean => count as f32 * (count + 1) as f32 / 2.0,
            _ => count as f32,
        };
        let divisor = s.splat(divisor);
        let mut at = 0;
        while at < columns {
            let lanes = (columns - at).min(S::LANES);
            // SAFETY: `new` requires these rows; `at + lanes <= columns`.
            unsafe {
                let mut sum = load_or(s, rows, at, lanes, zero);
                for row in 1..count {
                    let x = load_or(s, rows.add(row * columns), at, lanes, zero);
                    sum = match reduction {
                        SegmentReduction::Max => s.max_or_nan(sum, x),
                        SegmentReduction::WeightedMean => s.add(sum, s.mul(x, s.splat((row + 1) as f32))),
                        _ => s.add(sum, x),
                    };
                }
                let divided = reduction != SegmentReduction::Max;
                store_some(s, out, at, lanes, if divided { s.div(sum, divisor) } else { sum });
            }
            at += lanes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_offsets_are_refused() {
        assert_eq!(segments(&[0, 2, 2, 5], 5).unwrap().collect::<Vec<_>>(), [0..2, 2..2, 2..5]);
        assert_eq!(segments(&[0], 0).unwrap().len(), 0);
        let wrong: [(&[i32], usize, &str); 6] = [
            (&[], 0, "offset 0"),
            (&[1, 5], 5, "offset 0 is 1"),
            (&[0, 3, 2, 5], 5, "offset 2 is 2"),
            (&[0, -1, 5], 5, "offset 1 is -1"),
            (&[0, 4], 5, "offset 1 is 4"),
            (&[0, 6], 5, "offset 1 is 6"),
        ];
        for (offsets, rows, named) in wrong {
            let message = segments(offsets, rows).err().expect("refused").to_string();
            assert!(message.contains(named), "{message}");
        }
    }
}
