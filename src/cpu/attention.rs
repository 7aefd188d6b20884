//! `softmax(scale Q K^T + mask) V`, head by head, over packed sequences and over strided views.
//!
//! A tile of queries is taken through the whole of it at once: its scores against all keys lie in scratch, are made
//! exponentials in place, multiplied by V, and divided by their sums last. Keys are packed once a head. Where products
//! are of bf16, queries, keys, exponentials and values are rounded; the sums of exponentials are of what they were.

use crate::cpu::KernelSet;
use crate::cpu::gemm::tile::{self, MAX_ROWS, Start, Tile, TileBuffer};
use crate::cpu::gemm::{
    Factors, Matrix, PackedRef, Segment, Spans, Steps, Stored, pack_into_as, pack_len_as, pack_rounded_into,
};
use crate::cpu::simd::{
    Kernel, Simd, math,
    reduce::{fold, load_or},
};
use crate::cpu::softmax::scale;
use crate::error::{Error, Result};
use half::bf16;

/// Self-attention inside each sequence of a packed batch.
#[derive(Clone, Copy, Debug)]
pub struct PackedAttention<'a, X = f32> {
    /// A row for each token: its query, key and value, each of `heads * head_dim` numbers.
    pub qkv: &'a [X],
    /// Where the sequences begin: ascending from 0 to the number of rows.
    pub offsets: &'a [i32],
    /// How many heads.
    pub heads: usize,
    /// Numbers of a head.
    pub head_dim: usize,
    /// The factor of the scores.
    pub scale: f32,
}

/// Numbers of scratch for packed attention whose longest sequence has at most `longest` rows.
///
/// # Errors
///
/// `Limit` if that overflows.
pub fn packed_attention_len(set: KernelSet, longest: usize, head_dim: usize) -> Result<usize> {
    attention_len(set, longest, head_dim, head_dim)
}

/// Writes the heads' results, `[rows, heads * head_dim]`, to `out`.
///
/// # Errors
///
/// As [`packed_attention_as`].
pub fn packed_attention(
    set: KernelSet,
    attention: &PackedAttention<'_>,
    out: &mut [f32],
    scratch: &mut [f32],
) -> Result<()> {
    packed_attention_as(set, Factors::F32, attention, out, scratch)
}

/// [`packed_attention`] with products of `factors`, of `f32` or of `bf16`, to either; scratch is [`attention_len_as`] for
/// the longest sequence.
///
/// # Errors
///
/// `InvalidInput` if the offsets do not ascend from 0 to the rows; `Internal` if a length does not fit, or if operands
/// of bf16 are to be multiplied as f32.
pub fn packed_attention_as<X: Given, O: Stored>(
    set: KernelSet,
    factors: Factors,
    attention: &PackedAttention<'_, X>,
    out: &mut [O],
    scratch: &mut [f32],
) -> Result<()> {
    let &PackedAttention { qkv, offsets, heads, head_dim, scale } = attention;
    let misfit = || Error::internal(format!("attention of {} numbers in {heads} heads of {head_dim}", qkv.len()));
    let width = heads.checked_mul(head_dim).filter(|&width| width <= usize::MAX / 3).ok_or_else(misfit)?;
    if width == 0 {
        return if qkv.is_empty() && out.is_empty() { Ok(()) } else { Err(misfit()) };
    }
    let rows = out.len() / width;
    if rows * width != out.len() || rows.checked_mul(3 * width) != Some(qkv.len()) {
        return Err(misfit());
    }
    for sequence in segments(offsets, rows)? {
        let len = sequence.len();
        let first = sequence.start;
        let part = |part: usize, head: usize| Strided {
            data: rest(qkv, (first * 3 + part) * width + head * head_dim),
            row_stride: 3 * width,
        };
        for head in 0..heads {
            let out_start = first * width + head * head_dim;
            Head {
                q: part(0, head),
                k: part(1, head),
                v: part(2, head),
                mask: None,
                rows: len,
                keys: len,
                head_dim,
                value_dim: head_dim,
                scale,
            }
            .run(set, factors, out.get_mut(out_start..).unwrap_or_default(), width, scratch)?;
        }
    }
    Ok(())
}

/// The sequences that `offsets` cut `rows` rows into: from 0, ascending, to `rows`.
///
/// # Errors
///
/// `InvalidInput` that names the first offset that is wrong.
pub(crate) fn segments(
    offsets: &[i32],
    rows: usize,
) -> Result<impl ExactSizeIterator<Item = std::ops::Range<usize>> + '_> {
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

/// A `[batch, heads, rows, columns]` tensor seen in a slice; the columns lie together.
#[derive(Clone, Copy, Debug)]
pub struct HeadsView<'a> {
    /// What it lies in.
    pub data: &'a [f32],
    /// From one batch item to the next.
    pub batch_stride: usize,
    /// From one head to the next.
    pub head_stride: usize,
    /// From one row to the next.
    pub row_stride: usize,
}

/// A summand of the scores seen in a slice: element `(b, h, i, j)` at the product of the indices with the strides; a
/// stride of 0 repeats.
#[derive(Clone, Copy, Debug)]
pub struct MaskView<'a> {
    /// What it lies in.
    pub data: &'a [f32],
    /// Of the batch, the heads, the queries and the keys; that of the keys is 0 or 1.
    pub strides: [usize; 4],
}

/// Attention over strided views.
#[derive(Clone, Copy, Debug)]
pub struct Attention<'a> {
    /// Items of the batch.
    pub batch: usize,
    /// Heads.
    pub heads: usize,
    /// Rows of Q, and of the result.
    pub queries: usize,
    /// Rows of K and V.
    pub keys: usize,
    /// Columns of Q and K.
    pub head_dim: usize,
    /// Columns of V, and of the result.
    pub value_dim: usize,
    /// The factor of the scores.
    pub scale: f32,
    /// `[batch, heads, queries, head_dim]`
    pub q: HeadsView<'a>,
    /// `[batch, heads, keys, head_dim]`
    pub k: HeadsView<'a>,
    /// `[batch, heads, keys, value_dim]`
    pub v: HeadsView<'a>,
    /// Added to the scores after the factor.
    pub mask: Option<MaskView<'a>>,
}

/// Numbers of scratch for [`attention`].
///
/// # Errors
///
/// `Limit` if that overflows.
pub fn attention_len(set: KernelSet, keys: usize, head_dim: usize, value_dim: usize) -> Result<usize> {
    attention_len_as(set, Factors::F32, keys, head_dim, value_dim)
}

/// Numbers of scratch for [`attention_as`].
///
/// # Errors
///
/// `Limit` if that overflows.
pub fn attention_len_as(
    set: KernelSet,
    factors: Factors,
    keys: usize,
    head_dim: usize,
    value_dim: usize,
) -> Result<usize> {
    let scores = keys.checked_next_multiple_of(tile::width(set)).and_then(|keys| keys.checked_mul(MAX_ROWS));
    let parts = [
        Ok(scores),
        Ok(left_len(factors, keys, head_dim)),
        pack_len_as(set, factors, head_dim, keys).map(Some),
        pack_len_as(set, factors, keys, value_dim).map(Some),
    ];
    let mut sum = Some(0_usize);
    for part in parts {
        sum = sum.zip(part?).and_then(|(sum, part)| sum.checked_add(part));
    }
    sum.ok_or_else(|| Error::limit(format!("attention over {keys} keys needs too much scratch")))
}

/// Numbers of scratch that a tile's queries and exponentials are rounded into.
fn left_len(factors: Factors, keys: usize, head_dim: usize) -> Option<usize> {
    match factors {
        Factors::F32 => Some(0),
        Factors::Bf16 => keys.max(head_dim).div_ceil(2).checked_mul(MAX_ROWS)?.checked_next_multiple_of(16),
    }
}

/// Writes the result of head `h` of item `b`, row `i`, to
/// `out[b * strides[0] + h * strides[1] + i * strides[2]..][..value_dim]`. Without keys that is zeros.
///
/// # Errors
///
/// `Internal` if a view leaves its data, or `scratch` is shorter than [`attention_len`].
pub fn attention(
    set: KernelSet,
    attention: &Attention<'_>,
    out: &mut [f32],
    strides: [usize; 3],
    scratch: &mut [f32],
) -> Result<()> {
    attention_as(set, Factors::F32, attention, out, strides, scratch)
}

/// [`attention`] with products of `factors`; scratch is [`attention_len_as`].
///
/// # Errors
///
/// As there.
pub fn attention_as<'a>(
    set: KernelSet,
    factors: Factors,
    attention: &Attention<'a>,
    out: &mut [f32],
    strides: [usize; 3],
    scratch: &mut [f32],
) -> Result<()> {
    let &Attention { batch, heads, queries, keys, head_dim, value_dim, scale, q, k, v, mask } = attention;
    for item in 0..batch {
        for head in 0..heads {
            let start = |batch_stride: usize, head_stride: usize| {
                batch_stride.saturating_mul(item).saturating_add(head_stride.saturating_mul(head))
            };
            let part = |view: HeadsView<'a>| Strided {
                data: rest(view.data, start(view.batch_stride, view.head_stride)),
                row_stride: view.row_stride,
            };
            let mask = mask.map(|MaskView { data, strides: [batch, head, row_stride, column_stride] }| {
                (Strided { data: rest(data, start(batch, head)), row_stride }, column_stride)
            });
            let out = out.get_mut(start(strides[0], strides[1])..).unwrap_or_default();
            Head { q: part(q), k: part(k), v: part(v), mask, rows: queries, keys, head_dim, value_dim, scale }
                .run(set, factors, out, strides[2], scratch)?;
        }
    }
    Ok(())
}

fn rest<X>(data: &[X], start: usize) -> &[X] {
    data.get(start..).unwrap_or_default()
}

/// Rows of a slice whose columns lie together.
#[derive(Clone, Copy)]
struct Strided<'a, X> {
    data: &'a [X],
    row_stride: usize,
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
struct Head<'a, X> {
    q: Strided<'a, X>,
    k: Strided<'a, X>,
    v: Strided<'a, X>,
    /// With the stride of its columns, 0 or 1.
    mask: Option<(Strided<'a, f32>, usize)>,
    rows: usize,
    keys: usize,
    head_dim: usize,
    value_dim: usize,
    scale: f32,
}

/// What Q, K and V are given as: `f32` or `bf16`.
#[expect(private_bounds, reason = "sealed: how kernels take a number is their own")]
pub trait Given: Operand {}

impl Given for f32 {}
impl Given for bf16 {}

/// How heads take a number.
trait Operand: bytemuck::Pod {
    /// [`Head::compute`] with products of `factors`.
    fn compute<O: Stored>(
        head: &Head<'_, Self>,
        set: KernelSet,
        factors: Factors,
        out: &mut [O],
        out_stride: usize,
        scratch: &mut [f32],
    ) -> Result<()>;
}

impl Operand for f32 {
    fn compute<O: Stored>(
        head: &Head<'_, f32>,
        set: KernelSet,
        factors: Factors,
        out: &mut [O],
        out_stride: usize,
        scratch: &mut [f32],
    ) -> Result<()> {
        match factors {
            Factors::F32 => head.compute::<f32, O>(set, out, out_stride, scratch),
            Factors::Bf16 => head.compute::<bf16, O>(set, out, out_stride, scratch),
        }
    }
}

impl Operand for bf16 {
    fn compute<O: Stored>(
        head: &Head<'_, bf16>,
        set: KernelSet,
        factors: Factors,
        out: &mut [O],
        out_stride: usize,
        scratch: &mut [f32],
    ) -> Result<()> {
        match factors {
            Factors::F32 => Err(Error::internal("attention of bf16 with products of f32")),
            Factors::Bf16 => head.compute::<bf16, O>(set, out, out_stride, scratch),
        }
    }
}

/// A number as products of `T` take it.
trait OperandOf<T: Steps>: bytemuck::Pod {
    /// As [`Steps::left`].
    ///
    /// # Safety
    /// The rows can be read.
    unsafe fn left(
        set: KernelSet,
        from: *const Self,
        stride: usize,
        rows: usize,
        columns: usize,
        scratch: &mut [f32],
    ) -> (*const T, usize);
    /// The right operand of a product, packed into `scratch`.
    fn pack<'s>(set: KernelSet, b: &Matrix<'_, Self>, scratch: &'s mut [f32]) -> Result<PackedRef<'s>>;
    /// Rows of whole panels as the right operand of a product, if they can be one where they lie.
    fn in_place(rows: Strided<'_, Self>) -> Option<Strided<'_, f32>>;
}

impl<T: Steps> OperandOf<T> for f32 {
    unsafe fn left(
        set: KernelSet,
        from: *const f32,
        stride: usize,
        rows: usize,
        columns: usize,
        scratch: &mut [f32],
    ) -> (*const T, usize) {
        // SAFETY: as the caller vouches.
        unsafe { T::left(set, from, stride, rows, columns, scratch) }
    }
    fn pack<'s>(set: KernelSet, b: &Matrix<'_, f32>, scratch: &'s mut [f32]) -> Result<PackedRef<'s>> {
        pack_into_as(set, T::FACTORS, b, scratch)
    }
    fn in_place(rows: Strided<'_, f32>) -> Option<Strided<'_, f32>> {
        (T::FACTORS == Factors::F32).then_some(rows)
    }
}

impl OperandOf<bf16> for bf16 {
    unsafe fn left(
        _: KernelSet,
        from: *const bf16,
        stride: usize,
        _: usize,
        _: usize,
        _: &mut [f32],
    ) -> (*const bf16, usize) {
        (from, stride)
    }
    fn pack<'s>(set: KernelSet, b: &Matrix<'_, bf16>, scratch: &'s mut [f32]) -> Result<PackedRef<'s>> {
        pack_rounded_into(set, b, scratch)
    }
    fn in_place(_: Strided<'_, bf16>) -> Option<Strided<'_, f32>> {
        None
    }
}

impl<X: Operand> Head<'_, X> {
    fn run<O: Stored>(
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
    fn compute<T: Steps, O: Stored>(
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

#[cfg(test)]
mod tests {
    use super::segments;

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
