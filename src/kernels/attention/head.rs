//! One head of one sequence: scores, their exponentials, and the weighted values.

use crate::{
    error::{Error, Result},
    kernels::{
        KernelSet,
        attention::{
            disentangled::{HeadPositions, PositionScores, disentangled_len},
            operand::{OperandOf, Strided},
            reach::Reach,
            scratch::{attention_len_as, left_len},
            weights::{DivideRows, Exponentials, MaskRows},
        },
        gemm::{
            Factors, FromF32, Matrix, PackedRef, Segment, Spans, Stored, pack_len_as,
            tile::{self, MAX_ROWS, Start, Tile, TileA, TileB, TileBuffer, TileC},
        },
    },
};

/// Fails unless `rows` rows of `columns` numbers, `stride` apart, are within `len` numbers.
fn check(what: &str, len: usize, rows: usize, columns: usize, stride: usize) -> Result<()> {
    let end = rows.saturating_sub(1).checked_mul(stride).and_then(|start| start.checked_add(columns));
    if rows > 0 && columns > 0 && end.is_none_or(|end| end > len) {
        return Err(Error::internal(format!(
            "attention: {what} of {rows} x {columns} with a stride of {stride} is not within {len} numbers"
        )));
    }
    Ok(())
}

/// A summand of the scores.
#[derive(Clone, Copy)]
pub(super) enum Mask<'a> {
    /// A row for each query, and the stride of its columns, 0 or 1.
    Rows(Strided<'a, f32>, usize),
    /// A number for each distance from query to key, `1 - rows` to `keys - 1`.
    Distances(&'a [f32]),
}

impl Mask<'_> {
    /// The summands of the queries from `query` on, of `rows` in all, beginning with the key `key`.
    fn from(self, query: usize, rows: usize, key: usize) -> MaskRows {
        match self {
            Mask::Rows(rows, column_stride) => MaskRows {
                data: rows.row(query).wrapping_add(key * column_stride),
                row_stride: rows.row_stride as isize,
                column_stride,
            },
            Mask::Distances(all) => {
                let data = all.as_ptr().wrapping_add(rows - 1 - query + key);
                MaskRows { data, row_stride: -1, column_stride: 1 }
            }
        }
    }
}

/// One head of one sequence.
pub(super) struct Head<'a, X> {
    pub(super) q: Strided<'a, X>,
    pub(super) k: Strided<'a, X>,
    pub(super) v: Strided<'a, X>,
    pub(super) mask: Option<Mask<'a>>,
    /// In place of a mask, with keys that are the queries' own.
    pub(super) positions: Option<HeadPositions<'a>>,
    pub(super) reach: Reach,
    pub(super) rows: usize,
    pub(super) keys: usize,
    pub(super) head_dim: usize,
    pub(super) value_dim: usize,
    pub(super) scale: f32,
}

impl<X> Head<'_, X> {
    /// Fails unless all operands, a result of `out_len` numbers and the scratch fit.
    pub(super) fn check(
        &self,
        set: KernelSet,
        factors: Factors,
        out_len: usize,
        out_stride: usize,
        scratch_len: usize,
    ) -> Result<()> {
        let &Self { ref q, ref k, ref v, ref mask, rows, keys, head_dim, value_dim, .. } = self;
        check("the result", out_len, rows, value_dim, out_stride)?;
        check("q", q.data.len(), rows, head_dim, q.row_stride)?;
        check("k", k.data.len(), keys, head_dim, k.row_stride)?;
        check("v", v.data.len(), keys, value_dim, v.row_stride)?;
        let fits = match *mask {
            Some(Mask::Rows(mask, column_stride)) => {
                let columns = if column_stride == 0 { keys.min(1) } else { keys };
                check("the mask", mask.data.len(), rows, columns, mask.row_stride)?;
                column_stride <= 1
            }
            Some(Mask::Distances(all)) => all.len() + 1 == rows + keys,
            None => true,
        };
        let mut needed = attention_len_as(set, factors, keys, head_dim, value_dim)?;
        let mut fits = fits;
        if let Some(positions) = &self.positions {
            let more = disentangled_len(set, factors, keys, head_dim, positions.positions)?;
            needed = needed.saturating_add(more);
            fits &= mask.is_none() && rows == keys && self.reach == Reach::ALL;
        }
        if !fits || scratch_len < needed {
            return Err(Error::internal("attention: the mask does not fit, or scratch is short"));
        }
        Ok(())
    }
}

impl<X> Head<'_, X> {
    /// Computes the head's result.
    ///
    /// # Safety
    /// [`check`](Self::check) has passed with the precision of `T`, for `out`, `out_stride` and
    /// `scratch`, and neither `keys` nor `value_dim` is 0.
    pub(super) unsafe fn compute<T: FromF32, O: Stored>(
        &self,
        set: KernelSet,
        out: &mut [O],
        out_stride: usize,
        scratch: &mut [f32],
    ) -> Result<()>
    where
        X: OperandOf<T>,
    {
        let &Self { q, k, v, mask, positions, reach, rows, keys, head_dim, value_dim, scale } = self;
        let factors = T::FACTORS;
        let width = tile::width(set);
        let scores_stride = keys.next_multiple_of(width);
        let (scores, scratch) = scratch.split_at_mut(MAX_ROWS * scores_stride);
        let (rounded, scratch) = scratch.split_at_mut(left_len(factors, keys, head_dim).unwrap_or_default());
        let (packed_k, scratch) = scratch.split_at_mut(pack_len_as(set, factors, head_dim, keys)?);
        let (packed_v, scratch) = scratch.split_at_mut(pack_len_as(set, factors, keys, value_dim)?);
        let mut positions = match positions {
            // SAFETY: `check` has passed.
            Some(own) => Some(unsafe { PositionScores::new::<T, X>(own, set, (k, keys, head_dim), rounded, scratch)? }),
            None => None,
        };
        let k = Matrix { data: k.data, k: head_dim, n: keys, row_stride: 1, column_stride: k.row_stride };
        let k = X::pack(set, &k, packed_k)?;
        let values = match X::in_place(v) {
            Some(v) if value_dim.is_multiple_of(width) => Values::InPlace(v),
            _ => {
                let v = Matrix { data: v.data, k: keys, n: value_dim, row_stride: v.row_stride, column_stride: 1 };
                Values::Packed(X::pack(set, &v, packed_v)?)
            }
        };
        let mut sums = [0.0; MAX_ROWS];
        let mut edge = TileBuffer::new();
        for span in Spans::even(0..rows, tile::rows::<T>(set)) {
            // SAFETY: all rows of Q are within its data.
            let (a, a_stride) = unsafe { X::left(set, q.row(span.start), q.row_stride, span.len(), head_dim, rounded) };
            // Whole blocks of keys that no query of the span sees are left out.
            let seen = reach.keys(span.clone(), keys);
            for panel in seen.start / width..seen.end.div_ceil(width) {
                let segments = &[Segment { offset: 0, len: head_dim }];
                let a = TileA { data: a, stride: a_stride, segments, skip: 0 };
                let b = TileB { data: k.panel(panel), stride: width, columns: keys - panel * width };
                let data = scores[panel * width..].as_mut_ptr();
                let c = TileC { data, stride: scores_stride, start: Start::Zero };
                // SAFETY: rows of Q, a panel of `depth` rows, and scores with room for whole
                // panels.
                unsafe { Tile::new(span.len(), k.depth(), a, b, c) }.run(set);
            }
            let mask = match &mut positions {
                // SAFETY: the rows of Q that were read above.
                Some(positions) => Some(unsafe { positions.rows((span.clone(), (a, a_stride)), keys, scale) }),
                None => mask.map(|mask| mask.from(span.start, rows, seen.start)),
            };
            let (first, sums) = (scores[seen.start..].as_mut_ptr(), &mut sums[..span.len()]);
            // SAFETY: as many rows of scores, with room for whole panels; all rows of the mask are
            // within its data.
            set.run(unsafe { Exponentials::new(first, scores_stride, seen.len(), scale, mask, sums) });
            // SAFETY: as many rows of scores, with room for all keys.
            let (a, a_stride) = unsafe { T::left(set, first, scores_stride, span.len(), seen.len(), rounded) };
            for column in (0..value_dim).step_by(width) {
                let columns = width.min(value_dim - column);
                let (b, b_stride) = match &values {
                    Values::InPlace(v) => (v.row(seen.start).wrapping_add(column), v.row_stride),
                    Values::Packed(v) => (v.panel(column / width).wrapping_add(seen.start / T::STEP * width), width),
                };
                let to = out[span.start * out_stride + column..].as_mut_ptr();
                let sums_place = O::sums(to);
                let (c, c_stride) = match sums_place {
                    Some(to) if columns == width => (to, out_stride),
                    _ => (edge.as_mut_ptr(), width),
                };
                let segments = &[Segment { offset: 0, len: seen.len() }];
                let a = TileA { data: a, stride: a_stride, segments, skip: 0 };
                let b = TileB { data: b, stride: b_stride, columns };
                let to_tile = TileC { data: c, stride: c_stride, start: Start::Zero };
                // SAFETY: rows of exponentials, the seen rows of V or of a panel of it, and a whole tile
                // of the result or the tile buffer.
                unsafe { Tile::new(span.len(), seen.len().div_ceil(T::STEP), a, b, to_tile) }.run(set);
                let (divided, stride) = sums_place.map_or((c, c_stride), |to| (to, out_stride));
                // SAFETY: the tile that was computed, and the part of the result that it stands
                // for, or the tile again.
                set.run(unsafe { DivideRows::new((c, c_stride), (divided, stride), columns, sums) });
                if sums_place.is_none() {
                    // SAFETY: from the tile buffer to the part of the result that it stands for.
                    unsafe { O::store(set, c, c_stride, to, out_stride, span.len(), columns) };
                }
            }
        }
        Ok(())
    }
}

/// V as the right operand of the second product.
enum Values<'a> {
    /// Rows of whole panels, read in place.
    InPlace(Strided<'a, f32>),
    /// Panels in scratch.
    Packed(PackedRef<'a>),
}
