//! Self-attention over a packed batch of sequences.

use crate::{
    error::{Error, Result},
    kernels::{
        KernelSet,
        attention::{
            disentangled::{Disentangled, HeadPositions},
            given::Given,
            head::{Head, Mask},
            operand::Strided,
            reach::{DistanceBias, Reach, distances},
        },
        gemm::{Factors, Stored},
        segments::segments,
    },
};

/// Self-attention within each sequence of a packed batch.
#[derive(Clone, Copy, Debug, Default)]
pub struct PackedAttention<'a, X = f32> {
    /// A row for each token: its queries, `heads * head_dim` numbers, then its keys and its values, each
    /// `key_heads * head_dim`.
    pub qkv: &'a [X],
    /// Row at which each sequence starts, ascending from 0, and last the number of rows.
    pub offsets: &'a [i32],
    /// Number of heads.
    pub heads: usize,
    /// Number of heads of keys and values, each shared by as many heads in a row; 0 for one of its own for every head.
    pub key_heads: usize,
    /// Numbers of a head.
    pub head_dim: usize,
    /// Factor of the scores.
    pub scale: f32,
    /// Added to the scores after the factor.
    pub bias: Option<DistanceBias<'a>>,
    /// The keys that a query sees.
    pub reach: Reach,
    /// For each row the number of its sequence's first keys that its queries see, the same for all rows of a sequence;
    /// without it they see all. The result of a row that sees none is 0.
    pub visible: Option<&'a [i32]>,
    /// Scores with relative positions; in place of a bias and a limited reach.
    pub positions: Option<Disentangled<'a>>,
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

/// [`packed_attention`] from f32 or bf16 to either, with products of `factors`.
///
/// Scratch is [`attention_len_as`](crate::kernels::attention::attention_len_as) for the longest
/// sequence, and with a bias or a limited reach twice the rows of that sequence more; with positions
/// [`disentangled_len`](crate::kernels::attention::disentangled_len) more.
///
/// # Errors
///
/// `InvalidInput` if the offsets do not ascend from 0 to the rows; `Internal` if a length does not
/// fit, or if operands of bf16 are to be multiplied as f32.
pub fn packed_attention_as<X: Given, O: Stored>(
    set: KernelSet,
    factors: Factors,
    attention: &PackedAttention<'_, X>,
    out: &mut [O],
    scratch: &mut [f32],
) -> Result<()> {
    let &PackedAttention { qkv, offsets, heads, head_dim, scale, bias, reach, visible, positions, .. } = attention;
    let key_heads = if attention.key_heads == 0 { heads } else { attention.key_heads };
    let misfit = || Error::internal(format!("attention of {} numbers in {heads} heads of {head_dim}", qkv.len()));
    if key_heads > heads || (heads > 0 && !heads.is_multiple_of(key_heads)) {
        return Err(misfit());
    }
    let width = heads.checked_mul(head_dim).filter(|&width| width <= usize::MAX / 3).ok_or_else(misfit)?;
    if width == 0 {
        return if qkv.is_empty() && out.is_empty() { Ok(()) } else { Err(misfit()) };
    }
    let (rows, key_width) = (out.len() / width, key_heads * head_dim);
    let row_len = width + 2 * key_width;
    if rows * width != out.len() || rows.checked_mul(row_len) != Some(qkv.len()) {
        return Err(misfit());
    }
    let bias_row = bias.map_or(0, |bias| bias.most.saturating_mul(2).saturating_add(1));
    if bias.is_some_and(|bias| bias_row.checked_mul(heads) != Some(bias.table.len())) {
        return Err(misfit());
    }
    if visible.is_some_and(|visible| visible.len() != rows) {
        return Err(misfit());
    }
    if let Some(positions) = &positions {
        positions.check(width)?;
        if key_heads != heads {
            return Err(misfit());
        }
    }
    let by_distance = bias.is_some() || reach != Reach::ALL;
    for sequence in segments(offsets, rows)? {
        let (first, len) = (sequence.start, sequence.len());
        let keys = match visible {
            Some(visible) => visible_keys(&visible[sequence.clone()])?,
            None => len,
        };
        let part = |start: usize| Strided {
            data: qkv.get(first * row_len + start..).unwrap_or_default(),
            row_stride: row_len,
        };
        // Rows further behind than the window reaches see no key.
        let seeing = len.min(keys.saturating_add(reach.before));
        let table_len = if by_distance { (2 * seeing).saturating_sub(1) } else { 0 };
        let at = scratch.len().checked_sub(table_len).ok_or_else(misfit)?;
        let (scratch, table) = scratch.split_at_mut(at);
        for head in 0..heads {
            let key_head = head / (heads / key_heads);
            let row = bias.map(|bias| &bias.table[head * bias_row..][..bias_row]);
            // Without a bias all heads see alike.
            if by_distance && (head == 0 || row.is_some()) {
                distances(table, seeing, row, reach);
            }
            let mask = (by_distance && seeing > 0).then(|| Mask::Distances(&table[..seeing + keys - 1]));
            let out_start = first * width + head * head_dim;
            Head {
                q: part(head * head_dim),
                k: part(width + key_head * head_dim),
                v: part(width + key_width + key_head * head_dim),
                mask,
                positions: positions.map(|all| HeadPositions::of(&all, head * head_dim, width)),
                reach,
                rows: seeing,
                keys,
                head_dim,
                value_dim: head_dim,
                scale,
            }
            .run(set, factors, out.get_mut(out_start..).unwrap_or_default(), width, scratch)?;
            for row in seeing..len {
                out[out_start + row * width..][..head_dim].fill(O::zeroed());
            }
        }
    }
    Ok(())
}

/// The keys that the rows of a sequence see.
fn visible_keys(rows: &[i32]) -> Result<usize> {
    let Some(&first) = rows.first() else { return Ok(0) };
    let keys = usize::try_from(first).ok().filter(|keys| (1..=rows.len()).contains(keys));
    let keys = keys.filter(|_| rows.iter().all(|row| *row == first));
    keys.ok_or_else(|| Error::invalid_input(format!("rows that see {first} keys, of a sequence of {}", rows.len())))
}
