//! One head of one sequence: scores, their exponentials, and the values weighed by them.

use crate::{
    error::{Error, Result},
    kernels::{
        KernelSet,
        attention::{
            attention_len_as, left_len,
            operand::{Operand, OperandOf},
        },
        gemm::{
            Factors, Matrix, PackedRef, Segment, Spans, Steps, Stored, pack_len_as,
            tile::{self, MAX_ROWS, Start, Tile, TileBuffer},
        },
        simd::{
            Kernel, Simd, math,
            reduce::{fold, load_or},
        },
        softmax::scale,
    },
};

/// Rows of a slice whose columns lie together.
#[derive(Clone, Copy)]
pub(super) struct Strided<'a, X> {
    pub data: &'a [X],
    pub row_stride: usize,
}

impl<X> Strided<'_, X> {
    fn row(&self, row: usize) -> *const X {
        self.data.as_ptr().wrapping_add(row * self.row_stride)
    }
}

/// Fails if `rows x columns` at `stride` do not lie within `len` numbers.
fn check(what: &str, len: usize, rows: usize, columns: usize, stride: usize) -> Result<()> {
    let end = rows.saturating_sub(1).checked_mul(stride).and_then(|start| start.checked_add(columns));
    if rows > 0 && columns > 0 && end.is_none_or(|end| end > len) {
        return Err(Error::internal(format!(
            "attention: {what} of {rows} x {columns} with a stride of {stride} is not within {len} numbers"
        )));
    }
    Ok(())
}

/// One head of one sequence.
pub(super) struct Head<'a, X> {
    pub q: Strided<'a, X>,
    pub k: Strided<'a, X>,
    pub v: Strided<'a, X>,
    /// With the stride of its columns, 0 or 1.
    pub mask: Option<(Strided<'a, f32>, usize)>,
    pub rows: usize,
    pub keys: usize,
    pub head_dim: usize,
    pub value_dim: usize,
    pub scale: f32,
}

impl<X: Operand> Head<'_, X> {
    pub fn run<O: Stored>(
        &self,
        set: KernelSet,
        factors: Factors,
        out: &mut [O],
        out_stride: usize,
        scratch: &mut [f32],
    ) -> Result<()> {
        let &Self { q, k, v, mask, rows, keys, head_dim, value_dim, .. } = self;
        check("the result", out.len(), rows, value_dim, out_stride)?;
        check("q", q.data.len(), rows, head_dim, q.row_stride)?;
        check("k", k.data.len(), keys, head_dim, k.row_stride)?;
        check("v", v.data.len(), keys, value_dim, v.row_stride)?;
        if let Some((mask, column_stride)) = mask {
            let columns = if column_stride == 0 { keys.min(1) } else { keys };
            check("the mask", mask.data.len(), rows, columns, mask.row_stride)?;
        }
        if mask.is_some_and(|(_, column_stride)| column_stride > 1)
            || scratch.len() < attention_len_as(set, factors, keys, head_dim, value_dim)?
        {
            return Err(Error::internal("attention: the mask's columns lie apart, or scratch is short"));
        }
        if keys == 0 || value_dim == 0 {
            for row in 0..rows {
                out[row * out_stride..][..value_dim].fill(O::zeroed());
            }
            return Ok(());
        }
        X::compute(self, set, factors, out, out_stride, scratch)
    }

    /// The head's result, of checked operands.
    pub fn compute<T: Steps, O: Stored>(
        &self,
        set: KernelSet,
        out: &mut [O],
        out_stride: usize,
        scratch: &mut [f32],
    ) -> Result<()>
    where
        X: OperandOf<T>,
    {
        let &Self { q, k, v, mask, rows, keys, head_dim, value_dim, scale } = self;
        let factors = T::FACTORS;
        let width = tile::width(set);
        let scores_stride = keys.next_multiple_of(width);
        let (scores, scratch) = scratch.split_at_mut(MAX_ROWS * scores_stride);
        let (rounded, scratch) = scratch.split_at_mut(left_len(factors, keys, head_dim).unwrap_or_default());
        let (packed_k, packed_v) = scratch.split_at_mut(pack_len_as(set, factors, head_dim, keys)?);
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
            // SAFETY: `run` has checked that all rows of Q lie within its data.
            let (a, a_stride) = unsafe { X::left(set, q.row(span.start), q.row_stride, span.len(), head_dim, rounded) };
            for panel in 0..k.panels() {
                let tile = Tile {
                    a,
                    a_stride,
                    segments: &[Segment { offset: 0, len: head_dim }],
                    skip: 0,
                    k: k.depth(),
                    b: k.panel(panel),
                    b_stride: width,
                    columns: keys - panel * width,
                    c: scores[panel * width..].as_mut_ptr(),
                    c_stride: scores_stride,
                    start: Start::Zero,
                };
                tile::run(set, span.len(), tile);
            }
            set.run(Softmax {
                scores: scores.as_mut_ptr(),
                stride: scores_stride,
                keys,
                scale,
                mask: mask.map(|(mask, column_stride)| (mask.row(span.start), mask.row_stride, column_stride)),
                sums: &mut sums[..span.len()],
            });
            // SAFETY: as many rows of scores, with room for all keys.
            let (a, a_stride) = unsafe { T::left(set, scores.as_ptr(), scores_stride, span.len(), keys, rounded) };
            for column in (0..value_dim).step_by(width) {
                let columns = width.min(value_dim - column);
                let (b, b_stride) = match &values {
                    Values::InPlace(v) => (v.row(0).wrapping_add(column), v.row_stride),
                    Values::Packed(v) => (v.panel(column / width), width),
                };
                let to = out[span.start * out_stride + column..].as_mut_ptr();
                let sums_place = O::sums(to);
                let (c, c_stride) = match sums_place {
                    Some(to) if columns == width => (to, out_stride),
                    _ => (edge.0.as_mut_ptr(), width),
                };
                let tile = Tile {
                    a,
                    a_stride,
                    segments: &[Segment { offset: 0, len: keys }],
                    skip: 0,
                    k: keys.div_ceil(T::STEP),
                    b,
                    b_stride,
                    columns,
                    c,
                    c_stride,
                    start: Start::Zero,
                };
                tile::run(set, span.len(), tile);
                let (divided, stride) = sums_place.map_or((c, c_stride), |to| (to, out_stride));
                let sums = &sums[..span.len()];
                set.run(Divide { from: c, from_stride: c_stride, to: divided, stride, columns, sums });
                if sums_place.is_none() {
                    // SAFETY: from the tile buffer to the part of the result that it stands for.
                    unsafe { O::store(set, c, c_stride, to, out_stride, span.len(), columns) };
                }
            }
        }
        Ok(())
    }
}

/// V as the second product reads it.
enum Values<'a> {
    /// Rows of whole panels: as they lie.
    InPlace(Strided<'a, f32>),
    Packed(PackedRef<'a>),
}

/// Makes rows of scores exponentials, and their sums.
struct Softmax<'a> {
    scores: *mut f32,
    stride: usize,
    keys: usize,
    scale: f32,
    /// The first row's summands, and the strides of rows and columns.
    mask: Option<(*const f32, usize, usize)>,
    sums: &'a mut [f32],
}

impl Kernel for Softmax<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { scores, stride, keys, scale, mask, sums } = self;
        let (factor, zero, lowest) = (s.splat(scale), s.splat(0.0), s.splat(f32::NEG_INFINITY));
        for (row, sum) in sums.iter_mut().enumerate() {
            // SAFETY: `Head::run` gives rows of `keys` scores with room for whole vectors, and of as many summands, or
            // one that repeats.
            unsafe {
                let scores = scores.add(row * stride);
                let largest = match mask {
                    None => fold!(s: S, keys, lowest, max, |at, count| {
                        s.head(s.mul(s.load(scores.add(at)), factor), count, lowest)
                    }),
                    Some((mask, row_stride, column_stride)) => {
                        let mask = mask.add(row * row_stride);
                        fold!(s: S, keys, lowest, max, |at, count| {
                            let summand = if column_stride == 0 { s.splat(*mask) } else { load_or(s, mask, at, count, zero) };
                            let x = s.head(s.fma(s.load(scores.add(at)), factor, summand), count, lowest);
                            s.store(scores.add(at), x);
                            x
                        })
                    }
                };
                // What was stored has the factor already.
                let factor = if mask.is_some() { s.splat(1.0) } else { factor };
                let offset = s.splat(-s.largest(largest));
                let total = fold!(s: S, keys, zero, add, |at, count| {
                    let e = s.head(math::exp(s, s.fma(s.load(scores.add(at)), factor, offset)), count, zero);
                    s.store(scores.add(at), e);
                    e
                });
                *sum = s.sum(total);
            }
        }
    }
}

/// Divides rows by their sums.
struct Divide<'a> {
    from: *const f32,
    from_stride: usize,
    to: *mut f32,
    stride: usize,
    columns: usize,
    sums: &'a [f32],
}

impl Kernel for Divide<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { from, from_stride, to, stride, columns, sums } = self;
        for (row, sum) in sums.iter().enumerate() {
            // SAFETY: `Head::run` gives as many rows of `columns` numbers as there are sums.
            unsafe {
                scale(s, from.add(row * from_stride), to.add(row * stride), columns, 1.0 / sum);
            }
        }
    }
}
