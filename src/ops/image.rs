//! Operators on images and other grids of samples.

pub mod affine_grid;
pub mod col2im;
pub mod grid_sample;
pub mod resize;
pub mod roi_align;

use crate::op::OpDef;

/// The operators of this family.
pub(super) fn operators() -> impl Iterator<Item = &'static OpDef> {
    [&affine_grid::DEF, &col2im::DEF, &grid_sample::DEF, &resize::DEF, &roi_align::DEF].into_iter()
}
