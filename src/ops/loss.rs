//! Losses of classes.

pub mod likelihood;

use crate::op::OpDef;

/// The operators of this family.
pub(super) fn operators() -> impl Iterator<Item = &'static OpDef> {
    [&likelihood::CROSS_ENTROPY, &likelihood::LIKELIHOOD].into_iter()
}
