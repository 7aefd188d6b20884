//! Operators on images and other grids of samples.

pub mod grid_sample;
pub mod resize;

use crate::op::OpDef;

/// The operators of this family.
pub(super) fn operators() -> impl Iterator<Item = &'static OpDef> {
    [&grid_sample::DEF, &resize::DEF].into_iter()
}
