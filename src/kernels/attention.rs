//! `softmax(scale Q K^T + mask) V`, head by head, over packed sequences and over strided views.
//!
//! A tile of queries is taken through the whole of it at once: its scores against all keys lie in scratch, are made
//! exponentials in place, multiplied by V, and divided by their sums last. Keys are packed once a head. Where products
//! are of bf16, queries, keys, exponentials and values are rounded; the sums of exponentials are of what they were.

mod head;
mod operand;

use crate::{
    error::{Error, Result},
    kernels::{
        KernelSet,
        gemm::{
            Factors, Stored, pack_len_as,
            tile::{self, MAX_ROWS},
        },
    },
};
use head::{Head, Strided};
pub use operand::Given;

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

#[cfg(test)]
mod tests {
    use crate::kernels::attention::segments;

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
