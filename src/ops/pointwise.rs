//! Pointwise operators: a result element depends on the operands' elements at its position alone.
//!
//! [`Unary`] and [`Binary`] each have a table of functions; a row is an operator of the list.
//! [`PointwiseChain`] applies several in one pass over memory; a rewrite makes it.

mod binary;
pub(crate) mod broadcast;
pub mod cast;
mod chain;
pub mod select;
mod unary;

pub use binary::{Binary, BinaryFunction};
pub use chain::{ChainStep, PointwiseChain};
pub(crate) use unary::decode_swish;
pub use unary::{Unary, UnaryFunction};

use crate::op::OpDef;

/// The operators of this family.
pub(super) fn operators() -> impl Iterator<Item = &'static OpDef> {
    unary::ROWS.iter().chain(binary::ROWS).chain([&cast::DEF, &cast::small::DEF, &chain::DEF, &select::DEF])
}
