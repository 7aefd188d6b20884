//! Recurrent layers whose gates have their usual functions, sigmoid and tanh.
//!
//! A group of state columns, as many as a register tile has, takes a step at once: the products of its
//! gates go to a buffer in the first-level cache, whose sums then become the next states. Each sum is
//! one chain of multiply-adds over the input and then the state, to which the bias is added last, so
//! an item's bits depend on neither its neighbours nor the number of steps computed at a time.

mod gates;
mod layer;
mod product;
#[cfg(test)]
mod tests;

pub(crate) use gates::Cell;
pub(crate) use layer::{Ahead, Layer, States, sums_len};
pub(crate) use product::pack;

/// The rows that one worker takes through the steps at a time: their states stay in the second-level cache.
pub(crate) const ROWS: usize = 48;
