//! Matrix products and attention.

pub mod attention;
pub mod gemm;
pub mod linear;
pub mod matmul;

use crate::op::OpDef;

/// The operators of this family.
pub(super) fn operators() -> impl Iterator<Item = &'static OpDef> {
    [&attention::ATTENTION, &gemm::GEMM, &linear::LINEAR, &linear::LINEAR_IN_PLACE, &matmul::DEF, &attention::PACKED]
        .into_iter()
}
