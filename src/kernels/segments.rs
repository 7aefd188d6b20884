//! Sequences of a packed batch, and their reduction to one row each.

use std::ops::Range;

use crate::{
    error::{Error, Result},
    kernels::{
        KernelSet,
        simd::{
            Kernel, Simd,
            reduce::{load_some, store_some},
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
        reduce(set, reduction, segment.len(), &rows[segment.start * columns..segment.end * columns], |row| row, out);
    }
    Ok(())
}

/// As [`reduce_segments`] of the rows of a table that `ids` name, without a copy of them; negative ids count from the
/// table's end.
///
/// # Errors
///
/// As [`reduce_segments`], and `InvalidInput` for an id that the table has not.
pub fn reduce_looked_up(
    set: KernelSet,
    reduction: SegmentReduction,
    table: &[f32],
    columns: usize,
    ids: &[i32],
    offsets: &[i32],
    out: &mut [f32],
) -> Result<()> {
    let count = offsets.len().saturating_sub(1);
    if count.checked_mul(columns) != Some(out.len()) {
        let to = out.len();
        return Err(Error::internal(format!("rows of {columns} reduced to {to} numbers by {count} sequences")));
    }
    let all = segments(offsets, ids.len())?;
    if columns == 0 {
        return Ok(());
    }
    let size = table.len() / columns;
    let front = |id: i32| if id < 0 { size.wrapping_sub(id.unsigned_abs() as usize) } else { id as usize };
    if let Some(id) = ids.iter().find(|&&id| front(id) >= size) {
        return Err(Error::invalid_input(format!("index {id} is out of range for axis 0 of size {size}")));
    }
    for (segment, out) in all.zip(out.chunks_exact_mut(columns)) {
        let ids = &ids[segment];
        reduce(set, reduction, ids.len(), table, |row| front(ids[row]), out);
    }
    Ok(())
}

/// Reduces `count` rows, as long as `out` is, which lie in `rows` where `place` says.
fn reduce(
    set: KernelSet,
    reduction: SegmentReduction,
    count: usize,
    rows: &[f32],
    place: impl Fn(usize) -> usize,
    out: &mut [f32],
) {
    let columns = out.len();
    let row = |at: usize| &rows[place(at) * columns..][..columns];
    match (count.checked_sub(1), reduction) {
        (None, _) => out.fill(0.0),
        (Some(_), SegmentReduction::First) => out.copy_from_slice(row(0)),
        (Some(last), SegmentReduction::Last) => out.copy_from_slice(row(last)),
        _ => set.run(ReduceSegment { reduction, row, count, out }),
    }
}

/// Computes a mean or the largest of `count` rows.
struct ReduceSegment<'o, F> {
    reduction: SegmentReduction,
    /// A row, as long as the result.
    row: F,
    count: usize,
    out: &'o mut [f32],
}

/// Vectors of columns that are summed side by side.
const STEPS: usize = 8;

impl<'r, F: Fn(usize) -> &'r [f32]> Kernel for ReduceSegment<'_, F> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (count, block) = (self.count as f32, STEPS * S::LANES);
        let divisor = s.splat(match self.reduction {
            SegmentReduction::MeanSqrtLength => count.sqrt(),
            SegmentReduction::WeightedMean => count * (self.count + 1) as f32 / 2.0,
            _ => count,
        });
        let wide = self.out.len() / block * block;
        let (blocks, rest) = self.out.split_at_mut(wide);
        for (at, out) in blocks.chunks_exact_mut(block).enumerate() {
            columns::<S, F, STEPS>(s, self.reduction, &self.row, self.count, at * block, divisor, out);
        }
        for (at, out) in rest.chunks_mut(S::LANES).enumerate() {
            columns::<S, F, 1>(s, self.reduction, &self.row, self.count, wide + at * S::LANES, divisor, out);
        }
    }
}

/// Reduces the columns from `first` on, `N` vectors of them; the last may be cut.
#[inline(always)]
fn columns<'r, S: Simd, F: Fn(usize) -> &'r [f32], const N: usize>(
    s: S,
    reduction: SegmentReduction,
    row: &F,
    count: usize,
    first: usize,
    divisor: S::F,
    out: &mut [f32],
) {
    let width = out.len();
    let of_row = |at: usize| &row(at)[first..first + width];
    let mut sums = [s.splat(0.0); N];
    let from = of_row(0);
    for (step, sum) in sums.iter_mut().enumerate() {
        *sum = load(s, from, step);
    }
    for at in 1..count {
        let from = of_row(at);
        for (step, sum) in sums.iter_mut().enumerate() {
            let x = load(s, from, step);
            *sum = match reduction {
                SegmentReduction::Max => s.max_or_nan(*sum, x),
                SegmentReduction::WeightedMean => s.add(*sum, s.mul(x, s.splat((at + 1) as f32))),
                _ => s.add(*sum, x),
            };
        }
    }
    for (step, sum) in sums.into_iter().enumerate() {
        let made = if reduction == SegmentReduction::Max { sum } else { s.div(sum, divisor) };
        let to = &mut out[step * S::LANES..];
        // SAFETY: no more numbers than there are.
        unsafe { store_some(s, to.as_mut_ptr(), 0, to.len().min(S::LANES), made) };
    }
}

/// The vector `step` of a row's part, with zeros behind its end.
#[inline(always)]
fn load<S: Simd>(s: S, from: &[f32], step: usize) -> S::F {
    let from = &from[step * S::LANES..];
    // SAFETY: no more numbers than there are.
    unsafe { load_some(s, from.as_ptr(), 0, from.len().min(S::LANES)) }
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
