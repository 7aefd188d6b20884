//! Operators that move elements or change how they are seen, without computing.

pub mod concat;
pub mod depth_to_space;
pub mod expand;
pub mod identity;
pub mod pad;
pub mod reshape;
pub mod slice;
pub mod split;
pub mod squeeze;
pub mod tile;
pub mod transpose;
