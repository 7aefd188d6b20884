//! Attention over strided views.

use std::ops::Range;

use crate::{
    error::Result,
    kernels::{
        KernelSet,
        attention::{
            head::{Head, Mask},
            operand::Strided,
            reach::Reach,
            scratch::attention_len_as,
        },
        gemm::Factors,
    },
    threads::split,
};

/// A `[batch, heads, rows, columns]` tensor over a slice; the columns are contiguous.
#[derive(Clone, Copy, Debug)]
pub struct HeadsView<'a> {
    /// The slice that holds the elements.
    pub data: &'a [f32],
    /// Distance between batch items.
    pub batch_stride: usize,
    /// Distance between heads.
    pub head_stride: usize,
    /// Distance between rows.
    pub row_stride: usize,
}

/// A summand of the scores over a slice.
///
/// Batch, head, query and key have a stride each; a stride of 0 repeats.
#[derive(Clone, Copy, Debug)]
pub struct MaskView<'a> {
    /// The slice that holds the elements.
    pub data: &'a [f32],
    /// Distances between batch items, heads, queries and keys; that of the keys is 0 or 1.
    pub strides: [usize; 4],
}

/// Attention over strided views.
#[derive(Clone, Copy, Debug)]
pub struct Attention<'a> {
    /// Number of batch items.
    pub batch: usize,
    /// Number of heads.
    pub heads: usize,
    /// Rows of Q, and of the result.
    pub queries: usize,
    /// Rows of K and V.
    pub keys: usize,
    /// Columns of Q and K.
    pub head_dim: usize,
    /// Columns of V, and of the result.
    pub value_dim: usize,
    /// Factor of the scores.
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

/// Writes the result of every item, head and query to `out`.
///
/// Row `i` of head `h` of item `b` goes to
/// `out[b * strides[0] + h * strides[1] + i * strides[2]..][..value_dim]`. Without keys it is
/// zeros.
///
/// # Errors
///
/// `Internal` if a view leaves its data, or `scratch` is shorter than
/// [`attention_len`](crate::kernels::attention::attention_len).
pub fn attention(
    set: KernelSet,
    attention: &Attention<'_>,
    out: &mut [f32],
    strides: [usize; 3],
    scratch: &mut [f32],
) -> Result<()> {
    attention_as(set, Factors::F32, attention, out, strides, scratch)
}

/// [`attention`] with products of `factors`; items are split over as many workers as `scratch` has room for.
///
/// # Errors
///
/// `Internal` if a view leaves its data, or `scratch` is shorter than
/// [`attention_len_as`](crate::kernels::attention::attention_len_as).
pub fn attention_as<'a>(
    set: KernelSet,
    factors: Factors,
    attention: &Attention<'a>,
    out: &mut [f32],
    strides: [usize; 3],
    scratch: &mut [f32],
) -> Result<()> {
    let &Attention { batch, heads, queries, keys, head_dim, value_dim, .. } = attention;
    let need = attention_len_as(set, factors, keys, head_dim, value_dim)?.max(1);
    let room = scratch.len() / need;
    let size = strides[0];
    let apart = batch.checked_mul(size).is_some_and(|len| len <= out.len())
        && [(heads, strides[1]), (queries, strides[2]), (value_dim, 1)]
            .into_iter()
            .try_fold(1_usize, |end, (count, stride)| end.checked_add(count.saturating_sub(1).checked_mul(stride)?))
            .is_some_and(|end| end <= size);
    let parts = if apart { split::parts(operations(attention)).min(batch).min(room) } else { 1 };
    if parts < 2 {
        return items(set, factors, attention, 0..batch, out, strides, scratch);
    }
    let share = batch.div_ceil(parts);
    let parts = out[..batch * size].chunks_mut(share * size).zip(scratch.chunks_exact_mut(need)).enumerate();
    let mut parts: Vec<_> =
        parts.map(|(at, (out, scratch))| Part { first: at * share, out, scratch, result: Ok(()) }).collect();
    let count = parts.len();
    split::each_of(&mut parts, 1, count, &|_, parts: &mut [Part<'_>]| {
        for Part { first, out, scratch, result } in parts {
            let own = *first..*first + out.len() / size;
            *result = items(set, factors, attention, own, out, strides, scratch);
        }
    });
    parts.into_iter().try_for_each(|part| part.result)
}

/// The items from `first` on, as many as `out` has room for.
struct Part<'o> {
    first: usize,
    out: &'o mut [f32],
    scratch: &'o mut [f32],
    result: Result<()>,
}

/// Multiplications and additions of the two products.
fn operations(attention: &Attention<'_>) -> usize {
    let &Attention { batch, heads, queries, keys, head_dim, value_dim, .. } = attention;
    let sizes = [batch, heads, queries, keys, 2, head_dim.saturating_add(value_dim)];
    sizes.into_iter().fold(1, usize::saturating_mul)
}

/// Writes the results of the items `own` to `out`.
fn items<'a>(
    set: KernelSet,
    factors: Factors,
    attention: &Attention<'a>,
    own: Range<usize>,
    out: &mut [f32],
    strides: [usize; 3],
    scratch: &mut [f32],
) -> Result<()> {
    let &Attention { heads, queries, keys, head_dim, value_dim, scale, q, k, v, mask, .. } = attention;
    let first = own.start;
    for item in own {
        for head in 0..heads {
            let start = |batch_stride: usize, head_stride: usize| {
                batch_stride.saturating_mul(item).saturating_add(head_stride.saturating_mul(head))
            };
            let part = |view: HeadsView<'a>| Strided {
                data: view.data.get(start(view.batch_stride, view.head_stride)..).unwrap_or_default(),
                row_stride: view.row_stride,
            };
            let mask = mask.map(|MaskView { data, strides: [batch, head, row_stride, column_stride] }| {
                let data = data.get(start(batch, head)..).unwrap_or_default();
                Mask::Rows(Strided { data, row_stride }, column_stride)
            });
            let out_start = (strides[0].saturating_mul(item - first)).saturating_add(strides[1].saturating_mul(head));
            let out = out.get_mut(out_start..).unwrap_or_default();
            Head {
                q: part(q),
                k: part(k),
                v: part(v),
                mask,
                positions: None,
                reach: Reach::ALL,
                rows: queries,
                keys,
                head_dim,
                value_dim,
                scale,
            }
            .run(set, factors, out, strides[2], scratch)?;
        }
    }
    Ok(())
}
