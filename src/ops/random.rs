//! Operators that draw random numbers.
//!
//! Numbers depend on the node's seed and an element's place alone, so a model gives each item the same ones in every run,
//! whatever stands beside it. A node without a seed has its place in the graph for one.

pub mod bernoulli;
pub mod draw;
pub mod multinomial;

use crate::{
    error::{Error, Result},
    graph::{Graph, Node},
    op::{OnnxNode, OpDef},
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

/// The first node of a graph, or of one within it, that draws numbers.
pub(crate) fn find(graph: &Graph) -> Option<&Node> {
    graph.nodes().iter().find_map(|node| match operators().any(|def| def.name == node.op.def().name) {
        true => Some(node),
        false => node.op.bodies().iter().find_map(|body| find(&body.graph)),
    })
}

/// Refuses a graph that runs again and again and draws numbers, which would be the same each time.
pub(super) fn refuse_repeated(graph: &Graph) -> Result<()> {
    match find(graph) {
        Some(node) => {
            let (name, op) = (&node.name, node.op.def().name);
            Err(Error::unsupported(format!("random numbers in a loop, which would be alike (node `{name}`, {op})")))
        }
        None => Ok(()),
    }
}
