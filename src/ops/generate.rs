//! Operators that generate tensors from attributes, sizes or a few numbers.

pub mod constant;
pub mod constant_of_shape;
pub mod range;
pub mod shape_of;
pub mod trilu;

use crate::op::OpDef;

/// The operators of this family.
pub(super) fn operators() -> impl Iterator<Item = &'static OpDef> {
    [
        &constant::DEF,
        &constant_of_shape::DEF,
        &trilu::EYE_LIKE,
        &range::DEF,
        &shape_of::DEF,
        &shape_of::SIZE,
        &trilu::TRILU,
    ]
    .into_iter()
}
