//! Matrix products and attention.

pub mod attention;
pub mod det;
pub mod einsum;
pub mod experts;
pub mod gemm;
pub mod linear;
pub mod linear_attention;
pub mod matmul;
pub mod rotary;

use crate::op::OpDef;

/// The operators of this family.
pub(super) fn operators() -> impl Iterator<Item = &'static OpDef> {
    [
        &attention::DEF,
        &det::DEF,
        &einsum::DEF,
        &experts::DEF,
        &gemm::GEMM,
        &linear::DEF,
        &linear::in_place::DEF,
        &linear_attention::DEF,
        &matmul::DEF,
        &attention::disentangled::DEF,
        &attention::heads_last::DEF,
        &attention::packed::DEF,
        &attention::rotary::DEF,
        &rotary::DEF,
    ]
    .into_iter()
}
