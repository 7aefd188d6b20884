//! Operators on images and other grids of samples.

pub mod resize;

use crate::op::OpDef;

/// The operators of this family.
pub(super) fn operators() -> impl Iterator<Item = &'static OpDef> {
    [&resize::DEF].into_iter()
}
