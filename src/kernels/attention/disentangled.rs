//! Scores of contents with positions: queries with the keys of positions, keys with the queries of positions.

use std::ops::Range;

use crate::{
    error::{Error, Result},
    kernels::{
        KernelSet,
        attention::{
            operand::{OperandOf, Strided},
            weights::MaskRows,
        },
        gemm::{
            Factors, FromF32, Matrix, PackedRef, Segment, Spans, pack_into_as, pack_len_as,
            tile::{self, MAX_ROWS, Start, Tile, TileA, TileB, TileC},
        },
    },
};

/// Vectors of relative positions, added to the scores as products with queries and with keys.
#[derive(Clone, Copy, Debug)]
pub struct Disentangled<'a> {
    /// Keys of positions, `[positions, heads * head_dim]`, which queries are multiplied with.
    pub keys: Option<&'a [f32]>,
    /// Queries of positions, likewise, which keys are multiplied with.
    pub queries: Option<&'a [f32]>,
    /// Number of positions.
    pub positions: usize,
    /// The position for each distance from key to query, `-most` to `most`, ascending.
    pub index: &'a [u32],
}

impl Disentangled<'_> {
    /// Fails unless the vectors and the index are as long and in the order that they say.
    pub(super) fn check(&self, width: usize) -> Result<()> {
        let Self { positions, index, .. } = *self;
        let fits = |part: Option<&[f32]>| part.is_none_or(|part| Some(part.len()) == positions.checked_mul(width));
        let ascends = index.is_sorted() && index.last().is_some_and(|&last| (last as usize) < positions);
        if index.len() % 2 == 1 && ascends && fits(self.keys) && fits(self.queries) {
            return Ok(());
        }
        Err(Error::internal(format!("attention: {positions} positions do not fit")))
    }
}

/// Scratch numbers of [`Disentangled`] for at most `keys` keys, beside those of attention.
///
/// # Errors
///
/// `Limit` if the count overflows.
pub fn disentangled_len(
    set: KernelSet,
    factors: Factors,
    keys: usize,
    head_dim: usize,
    positions: usize,
) -> Result<usize> {
    let used = positions.min(keys.saturating_mul(2));
    let width = tile::width(set);
    let sum = || {
        let stride = used.checked_next_multiple_of(width)?;
        let block = keys.checked_next_multiple_of(width)?.checked_mul(MAX_ROWS)?;
        let products = keys.checked_add(MAX_ROWS)?.checked_mul(stride)?;
        block.checked_add(products)
    };
    let packed = pack_len_as(set, factors, head_dim, used)?;
    let sum = sum().and_then(|sum| sum.checked_add(packed));
    sum.ok_or_else(|| Error::limit(format!("positions of {keys} keys need too much scratch")))
}

/// One head's part of a [`Disentangled`].
#[derive(Clone, Copy)]
pub(super) struct HeadPositions<'a> {
    pub(super) keys: Option<Strided<'a, f32>>,
    pub(super) queries: Option<Strided<'a, f32>>,
    pub(super) positions: usize,
    pub(super) index: &'a [u32],
}

impl<'a> HeadPositions<'a> {
    /// The part of the head whose columns begin at `column`, of rows of `width`.
    pub(super) fn of(all: &Disentangled<'a>, column: usize, width: usize) -> Self {
        let part = |data: &'a [f32]| Strided { data: data.get(column..).unwrap_or_default(), row_stride: width };
        Self { keys: all.keys.map(part), queries: all.queries.map(part), positions: all.positions, index: all.index }
    }

    fn position(&self, distance: isize) -> usize {
        let most = (self.index.len() / 2) as isize;
        self.index[(distance.clamp(-most, most) + most) as usize] as usize
    }

    /// The positions of a sequence of `len` rows.
    fn used(&self, len: usize) -> Range<usize> {
        let last = len as isize - 1;
        self.position(-last)..self.position(last) + 1
    }
}

/// A head's scores with positions, computed for a few queries at a time.
pub(super) struct PositionScores<'s, 'a> {
    positions: HeadPositions<'a>,
    set: KernelSet,
    used: Range<usize>,
    stride: usize,
    head_dim: usize,
    keys: Option<PackedRef<'s>>,
    /// The products of queries with the keys of positions.
    by_query: &'s mut [f32],
    /// The products of all keys with the queries of positions.
    by_key: &'s mut [f32],
    /// The sums, a row for each query.
    block: &'s mut [f32],
    block_stride: usize,
}

impl<'s, 'a> PositionScores<'s, 'a> {
    /// Multiplies `rows` keys with the queries of positions.
    ///
    /// # Safety
    /// The rows of `k` are within its data, `rounded` fits `MAX_ROWS` rows of
    /// `head_dim`, and `scratch` has [`disentangled_len`] numbers.
    pub(super) unsafe fn new<T: FromF32, X: OperandOf<T>>(
        positions: HeadPositions<'a>,
        set: KernelSet,
        (k, rows, head_dim): (Strided<'_, X>, usize, usize),
        rounded: &mut [f32],
        scratch: &'s mut [f32],
    ) -> Result<Self> {
        let width = tile::width(set);
        let used = positions.used(rows);
        let (stride, block_stride) = (used.len().next_multiple_of(width), rows.next_multiple_of(width));
        let (block, scratch) = scratch.split_at_mut(MAX_ROWS * block_stride);
        let (by_query, scratch) = scratch.split_at_mut(MAX_ROWS * stride);
        let (by_key, scratch) = scratch.split_at_mut(rows * stride);
        let matrix = |part: Strided<'a, f32>| Matrix {
            data: part.data.get(used.start * part.row_stride..).unwrap_or_default(),
            k: head_dim,
            n: used.len(),
            row_stride: 1,
            column_stride: part.row_stride,
        };
        if let Some(queries) = positions.queries {
            let queries = pack_into_as(set, T::FACTORS, &matrix(queries), scratch)?;
            for span in Spans::even(0..rows, tile::rows::<T>(set)) {
                // SAFETY: the caller promises these rows of K, and scratch to round them in.
                unsafe {
                    let a = X::left(set, k.row(span.start), k.row_stride, span.len(), head_dim, rounded);
                    multiply(set, a, span.len(), head_dim, queries, &mut by_key[span.start * stride..], stride);
                }
            }
        }
        let keys = positions.keys.map(|keys| pack_into_as(set, T::FACTORS, &matrix(keys), scratch)).transpose()?;
        Ok(Self { positions, set, used, stride, head_dim, keys, by_query, by_key, block, block_stride })
    }

    /// The summands of the scores of the queries `span`, whose rows are the left operand `a`.
    ///
    /// # Safety
    /// `a` is a left operand of `span.len()` rows of `head_dim`.
    pub(super) unsafe fn rows<T: FromF32>(
        &mut self,
        (span, a): (Range<usize>, (*const T, usize)),
        keys: usize,
        scale: f32,
    ) -> MaskRows {
        if let Some(packed) = self.keys {
            // SAFETY: the caller promises the rows.
            unsafe { multiply(self.set, a, span.len(), self.head_dim, packed, self.by_query, self.stride) };
        }
        for (row, query) in span.enumerate() {
            let out = &mut self.block[row * self.block_stride..][..keys];
            let by_query = self.keys.map(|_| &self.by_query[row * self.stride..][..self.stride]);
            let by_key = self.positions.queries.map(|_| &self.by_key[..keys * self.stride]);
            // Keys further away than the index reaches have the position of its ends.
            let most = self.positions.index.len() / 2;
            let near = query.saturating_sub(most).min(keys)..query.saturating_add(most).saturating_add(1).min(keys);
            let behind = self.positions.index.iter().rev().skip((near.start + most).saturating_sub(query));
            let ends = |distance| self.positions.position(distance);
            let front = std::iter::repeat_n(ends(isize::MAX), near.start);
            let back = std::iter::repeat_n(ends(isize::MIN), keys - near.end);
            let places = front.chain(behind.take(near.len()).map(|&place| place as usize)).chain(back);
            let places = out.iter_mut().zip(places.map(|place| place - self.used.start));
            match (by_query, by_key) {
                (Some(by_query), Some(by_key)) => {
                    for ((out, place), by_key) in places.zip(by_key.chunks_exact(self.stride)) {
                        *out = (0.0 + by_query[place] + by_key[place]) * scale;
                    }
                }
                (Some(by_query), None) => places.for_each(|(out, place)| *out = (0.0 + by_query[place]) * scale),
                (None, Some(by_key)) => {
                    for ((out, place), by_key) in places.zip(by_key.chunks_exact(self.stride)) {
                        *out = (0.0 + by_key[place]) * scale;
                    }
                }
                (None, None) => places.for_each(|(out, _)| *out = 0.0),
            }
        }
        MaskRows { data: self.block.as_ptr(), row_stride: self.block_stride as isize, column_stride: 1 }
    }
}

/// Multiplies a left operand of up to a tile's rows with all panels of `b`.
///
/// # Safety
/// `a` is a left operand of `rows` rows of `head_dim`.
///
/// # Panics
/// If `c` is shorter than `rows` rows of whole panels, `stride` apart.
unsafe fn multiply<T: FromF32>(
    set: KernelSet,
    (data, a_stride): (*const T, usize),
    rows: usize,
    head_dim: usize,
    b: PackedRef<'_>,
    c: &mut [f32],
    stride: usize,
) {
    let width = tile::width(set);
    let c = &mut c[..rows * stride];
    assert!(b.panels() * width <= stride, "a row holds whole panels");
    for panel in 0..b.panels() {
        let segments = &[Segment { offset: 0, len: head_dim }];
        let a = TileA { data, stride: a_stride, segments, skip: 0 };
        let columns = b.n() - panel * width;
        let right = TileB { data: b.panel(panel), stride: width, columns };
        let to = TileC { data: c[panel * width..].as_mut_ptr(), stride, start: Start::Zero };
        // SAFETY: the caller's rows, a panel of `depth` rows, and rows with room for whole panels.
        unsafe { Tile::new(rows, b.depth(), a, right, to) }.run(set);
    }
}
