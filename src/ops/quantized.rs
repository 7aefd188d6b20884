//! Numbers stored as integers with a scale and a zero point, and products of such.

mod centered;
pub mod conv;
pub mod dequantize;
pub mod dynamic;
mod grouping;
pub mod matmul;
pub(in crate::ops) mod product;
pub mod quantize;
mod requantize;
pub mod scaled;
mod small;

use crate::op::OpDef;

/// The operators of this family.
pub(super) fn operators() -> impl Iterator<Item = &'static OpDef> {
    [
        &conv::INTEGER,
        &conv::LINEAR,
        &dequantize::DEF,
        &dynamic::DEF,
        &matmul::INTEGER,
        &matmul::LINEAR,
        &quantize::DEF,
        &scaled::DEF,
    ]
    .into_iter()
}
