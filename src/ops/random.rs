//! Operators that draw random numbers.
//!
//! Numbers depend on the node's seed and an element's place alone, so a model gives each item the same ones in every run,
//! whatever stands beside it. A node without a seed has its place in the graph for one.

pub mod bernoulli;
pub mod draw;
pub mod multinomial;

use crate::{
    error::Result,
    graph::{Graph, Node},
    op::{OnnxNode, OpDef, Operator},
};

/// The operators of this family.
pub(super) fn operators() -> impl Iterator<Item = &'static OpDef> {
    [&bernoulli::DEF, &draw::NORMAL, &draw::NORMAL_LIKE, &draw::UNIFORM, &draw::UNIFORM_LIKE, &multinomial::DEF]
        .into_iter()
}

/// The seed of a node.
fn seed(node: &mut OnnxNode<'_>) -> Result<u64> {
    let own = node.float("seed")?.map(|seed| u64::from(seed.to_bits()) | 1 << 32);
    Ok(own.unwrap_or_else(|| node.graph().nodes().len() as u64))
}

/// Whether an operator draws numbers.
pub(crate) fn draws(op: &dyn Operator) -> bool {
    operators().any(|def| def.name == op.def().name)
}

/// The first node of a graph, or of one within it, that draws numbers.
pub fn find(graph: &Graph) -> Option<&Node> {
    graph.nodes().iter().find_map(|node| match draws(&*node.op) {
        true => Some(node),
        false => node.op.bodies().iter().find_map(|body| find(&body.graph)),
    })
}
