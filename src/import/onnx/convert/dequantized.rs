//! The operands of a `DequantizeLinear`, for the products that follow it.

use crate::graph::ValueId;

/// The bytes that a value stands for.
#[derive(Clone, Copy)]
pub(super) struct Dequantized {
    pub(super) bytes: ValueId,
    pub(super) scale: ValueId,
    pub(super) zero: Option<ValueId>,
    /// The axis along which scales differ, if they do.
    pub(super) axis: i64,
}
