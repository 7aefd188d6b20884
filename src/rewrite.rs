//! Passes that make a graph cheaper with the same results.
//!
//! Only the rounding of sums in another order may differ.

mod attention;
mod bodies;
mod channels_last;
mod conv;
mod conv_chain;
mod dead;
mod fold;
mod gather;
mod gelu;
mod heads_last;
mod integers;
mod layer_norm;
mod linear;
mod looked_up;
mod one_hot;
mod open_batch;
mod pattern;
mod pointwise_chain;
mod requantized;
mod rewriter;
mod rounded;
mod simplify;
mod softmax;
mod swish;

use crate::{error::Result, graph::Graph};
#[cfg(feature = "onnx")]
pub(crate) use fold::last as fold_last;
pub(crate) use open_batch::run as open_batch;
use rewriter::Rule;
pub(crate) use rounded::store_rounded;

/// Removal of redundant moves, before and between the other rules.
const SIMPLIFY: &[Rule] = &[
    simplify::no_op,
    simplify::max_with_infinity,
    simplify::expanded_operand,
    simplify::view_of_view,
    simplify::thin_transpose,
    simplify::view_of_view,
    simplify::transposed_twice,
    simplify::no_op,
];

/// Composition of operators that exporters decompose.
const COMPOSE: &[Rule] = &[
    simplify::mean,
    gelu::rule,
    swish::rule,
    softmax::rule,
    layer_norm::rule,
    layer_norm::scale_and_bias,
    layer_norm::scale_and_bias,
];

/// Look-ups; new nodes on constants are folded afterwards.
const LOOK_UP: &[Rule] = &[one_hot::rule, gather::rule];

/// Products and their epilogues.
const PRODUCTS: &[Rule] = &[
    attention::rule,
    simplify::transposed_twice,
    simplify::no_op,
    requantized::rule,
    integers::scaled_product,
    linear::product,
    linear::bias,
    linear::activation,
    linear::residual,
    linear::layer_norm,
    conv::thin,
    simplify::view_of_view,
    simplify::no_op,
    conv::constants::batch_norm,
    conv::constants::factor_or_bias,
    conv::constants::factor_or_bias,
    conv::constants::operand,
    conv::constants::operand,
    conv::activation,
    conv::affine,
    conv::global_max,
    simplify::view_of_view,
    simplify::thin_transpose,
    simplify::view_of_view,
    channels_last::direct,
    simplify::transposed_twice,
];

/// Gives operators the operands and layouts that the CPU's kernels read fastest.
///
/// # Errors
/// When a pass leaves an inconsistent graph.
pub(crate) fn lay_out_for_cpu(graph: &mut Graph) -> Result<()> {
    heads_last::run(graph)?;
    looked_up::run(graph)?;
    channels_last::run(graph)?;
    conv_chain::run(graph)
}

/// Runs every pass; each works on the results of the ones before.
///
/// # Errors
/// When a pass leaves an inconsistent graph.
pub fn optimize(graph: &mut Graph) -> Result<()> {
    fold::run(graph)?;
    rewriter::apply(graph, SIMPLIFY)?;
    rewriter::apply(graph, COMPOSE)?;
    rewriter::apply(graph, SIMPLIFY)?;
    rewriter::apply(graph, LOOK_UP)?;
    fold::run(graph)?;
    rewriter::apply(graph, PRODUCTS)?;
    rewriter::apply(graph, SIMPLIFY)?;
    fold::run(graph)?;
    bodies::run(graph)?;
    dead::run(graph);
    pointwise_chain::run(graph)?;
    graph.verify()
}
