//! Operators that move elements or change their shape, without arithmetic.

pub mod bit_cast;
pub mod center_crop_pad;
pub mod concat;
pub mod depth_to_space;
pub mod dropout;
pub mod expand;
pub mod identity;
pub mod pad;
pub mod reshape;
pub mod reverse_sequence;
pub mod segment_windows;
pub mod slice;
pub mod split;
pub mod squeeze;
pub mod tile;
pub mod transpose;

use crate::op::OpDef;

/// The operators of this family.
pub(super) fn operators() -> impl Iterator<Item = &'static OpDef> {
    [
        &bit_cast::DEF,
        &center_crop_pad::DEF,
        &concat::DEF,
        &depth_to_space::DEPTH_TO_SPACE,
        &dropout::DEF,
        &expand::DEF,
        &identity::DEF,
        &pad::DEF,
        &reshape::DEF,
        &reverse_sequence::DEF,
        &segment_windows::DEF,
        &slice::DEF,
        &depth_to_space::SPACE_TO_DEPTH,
        &split::DEF,
        &tile::DEF,
        &transpose::DEF,
    ]
    .into_iter()
}
