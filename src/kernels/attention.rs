//! `softmax(scale Q K^T + mask) V`, head by head, over packed sequences and over strided views.
//!
//! A tile of queries goes through all steps at once: its scores against all keys are computed in
//! scratch, turned into exponentials in place, multiplied by V, and divided by their sums last.
//! Keys are packed once per head. In products of bf16, queries, keys, exponentials and values are
//! rounded; the sums are of the unrounded exponentials.

mod disentangled;
mod given;
mod head;
mod operand;
mod packed;
mod reach;
mod scratch;
mod views;
mod weights;

pub use disentangled::{Disentangled, disentangled_len};
pub use given::Given;
pub use packed::{PackedAttention, packed_attention, packed_attention_as};
pub use reach::{DistanceBias, Reach};
pub use scratch::{attention_len, attention_len_as, packed_attention_len};
pub use views::{Attention, HeadsView, MaskView, attention, attention_as};
