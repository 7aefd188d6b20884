//! A graph that its file fixes at one item, for any number of items.

use std::sync::Arc;

use crate::{
    graph::{Batching, Graph, Node},
    ops::moves::reshape::Reshape,
    shape::{Dim, Shape},
};

/// The graph with the number of items open, if the file fixes it at 1 without need.
///
/// Every input must have a first dimension of 1, and no node may mix the rows of the opened graph: then each row is
/// what the file's graph makes of the item alone. A reshape to a first dimension of 1 gets the open one.
pub(crate) fn run(graph: &Graph) -> Option<Graph> {
    let has_one = |shape: &Shape| shape.dims().first().and_then(Dim::as_fixed) == Some(1);
    let ports = || graph.inputs().iter().chain(graph.outputs()).map(|&id| graph.fact(id));
    let is_plain = |node: &Node| node.measured.is_empty() && node.op.bodies().is_empty();
    let fixed = !graph.inputs().is_empty() && ports().all(|fact| fact.is_tensor() && has_one(&fact.shape));
    if !fixed || *graph.batching() != Batching::Unknown || !graph.nodes().iter().all(is_plain) {
        return None;
    }
    let mut open = graph.clone();
    let mut name = "batch".to_owned();
    while open.symbols().contains(&name) {
        name.push('\'');
    }
    let batch = Dim::symbol(open.symbol(&name));
    open.open_first_dimensions(&batch);
    let mut nodes = std::mem::take(&mut open.nodes);
    for node in &mut nodes {
        carry(&open, node, &batch);
        open.infer_again(node).ok()?;
    }
    open.nodes = nodes;
    let mut proof = open.clone();
    proof.find_batching();
    matches!(proof.batching(), Batching::Rows { .. }).then_some(open)
}

/// Lets a reshape of rows to a first dimension of 1 carry their number instead.
fn carry(graph: &Graph, node: &mut Node, batch: &Dim) {
    let (Some(reshape), Some(Some(input))) = (node.op::<Reshape>(), node.inputs.first()) else { return };
    let is_first = |dims: &[Dim]| dims.first() == Some(batch);
    if is_first(graph.fact(*input).shape.dims()) && reshape.shape.first().and_then(Dim::as_fixed) == Some(1) {
        let mut reshape = reshape.clone();
        reshape.shape[0] = batch.clone();
        node.op = Arc::new(reshape);
    }
}
