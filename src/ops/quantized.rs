//! Numbers stored as integers with a scale and a zero point, and products of such.

mod centered;
pub mod conv;
pub mod dequantize;
pub mod dynamic;
mod grouping;
pub mod matmul;
pub mod quantize;
mod requantize;
mod small;

use crate::op::OpDef;

/// The operators of this family.
pub(super) fn operators() -> impl Iterator<Item = &'static OpDef> {
    [&conv::INTEGER, &conv::LINEAR, &dequantize::DEF, &dynamic::DEF, &matmul::INTEGER, &matmul::LINEAR, &quantize::DEF]
        .into_iter()
}
