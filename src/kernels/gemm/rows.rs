//! The left operand: rows of a slice, each made of segments.

use crate::error::{Error, Result};

/// A run of consecutive numbers of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Distance from the start of the row.
    pub offset: usize,
    /// Number of elements.
    pub len: usize,
}

/// The left operand of a product: `rows` rows, each a concatenation of segments.
///
/// Row `r` is `data[r * stride + offset..][..len]` of every segment in turn; K is the sum of the
/// lengths. The numbers are f32, or bf16 where B is packed for bf16. Rows may overlap: a
/// convolution over channels-last data is a product whose rows overlap, with a segment for each
/// line of the window, so windows are never copied.
#[derive(Clone, Copy, Debug)]
pub struct Rows<'a, T = f32> {
    /// The slice that holds the rows.
    pub data: &'a [T],
    /// Number of rows.
    pub rows: usize,
    /// Distance between the starts of two rows.
    pub stride: usize,
    /// The segments of a row.
    pub segments: &'a [Segment],
}

impl<T> Rows<'_, T> {
    /// The sum of the segments' lengths, or an error if a row leaves the data.
    pub(super) fn check(&self) -> Result<usize> {
        let mut k = 0_usize;
        let mut end = 0_usize;
        for segment in self.segments {
            let far = segment.offset.checked_add(segment.len);
            match (far, k.checked_add(segment.len)) {
                (Some(far), Some(sum)) => (end, k) = (end.max(far), sum),
                _ => return Err(self.outside()),
            }
        }
        let last = self.rows.saturating_sub(1).checked_mul(self.stride).and_then(|start| start.checked_add(end));
        if self.rows > 0 && last.is_none_or(|last| last > self.data.len()) {
            return Err(self.outside());
        }
        Ok(k)
    }

    /// The address of row `row`; within the data if [`check`](Self::check) passed.
    pub(super) fn row(&self, row: usize) -> *const T {
        self.data.as_ptr().wrapping_add(row * self.stride)
    }

    fn outside(&self) -> Error {
        let Self { data, rows, stride, segments } = self;
        let len = data.len();
        Error::internal(format!("{rows} rows {stride} apart of segments {segments:?} are not within {len} numbers"))
    }
}
