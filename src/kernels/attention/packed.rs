//! Self-attention over a packed batch of sequences.

use crate::{
    error::{Error, Result},
    kernels::{
        KernelSet,
        attention::{given::Given, head::Head, operand::Strided},
        gemm::{Factors, Stored},
        segments::segments,
    },
};

/// Self-attention within each sequence of a packed batch.
#[derive(Clone, Copy, Debug)]
pub struct PackedAttention<'a, X = f32> {
    /// A row for each token: its query, key and value, each of `heads * head_dim` numbers.
    pub qkv: &'a [X],
    /// Row at which each sequence starts, ascending from 0, and last the number of rows.
    pub offsets: &'a [i32],
    /// Number of heads.
    pub heads: usize,
    /// Numbers of a head.
    pub head_dim: usize,
    /// Factor of the scores.
    pub scale: f32,
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
/// sequence.
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
            data: qkv.get((first * 3 + part) * width + head * head_dim..).unwrap_or_default(),
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
