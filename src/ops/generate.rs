//! Operators that make tensors from attributes, sizes or a few numbers.

pub mod constant;
pub mod constant_of_shape;
pub mod range;
pub mod shape_of;
pub mod trilu;
