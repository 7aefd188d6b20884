//! Sizes of the scratch memory of attention.

use crate::{
    error::{Error, Result},
    kernels::{
        KernelSet,
        gemm::{
            Factors, pack_len_as,
            tile::{self, MAX_ROWS},
        },
    },
};

/// Scratch numbers for packed attention in f32 whose longest sequence has at most `longest` rows.
///
/// # Errors
///
/// `Limit` if the count overflows.
pub fn packed_attention_len(set: KernelSet, longest: usize, head_dim: usize) -> Result<usize> {
    attention_len(set, longest, head_dim, head_dim)
}

/// Scratch numbers for [`attention`](crate::kernels::attention::attention).
///
/// # Errors
///
/// `Limit` if the count overflows.
pub fn attention_len(set: KernelSet, keys: usize, head_dim: usize, value_dim: usize) -> Result<usize> {
    attention_len_as(set, Factors::F32, keys, head_dim, value_dim)
}

/// Scratch numbers for [`attention_as`](crate::kernels::attention::attention_as).
///
/// # Errors
///
/// `Limit` if the count overflows.
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

/// Scratch numbers that a tile's queries and exponentials are rounded into.
pub(super) fn left_len(factors: Factors, keys: usize, head_dim: usize) -> Option<usize> {
    match factors {
        Factors::F32 | Factors::Bytes | Factors::Words => Some(0),
        Factors::Bf16 => keys.max(head_dim).div_ceil(2).checked_mul(MAX_ROWS)?.checked_next_multiple_of(16),
    }
}
