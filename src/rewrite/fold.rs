//! Constant folding: evaluates at load what does not depend on the inputs.

mod budget;

use std::sync::Arc;

use crate::{
    error::{Context, ErrorKind, Result},
    graph::{Graph, Node},
    op::{CpuState, evaluate},
    ops::{deferred::Deferred, generate::constant::Constant, tracked},
    rewrite::fold::budget::Budget,
    tensor::Tensor,
};

pub(super) fn run(graph: &mut Graph) -> Result<()> {
    let mut left = Budget::of(graph);
    let nodes = std::mem::take(&mut graph.nodes);
    let mut kept = Vec::with_capacity(nodes.len());
    // Operands that have become constant may tell more of a result than was known when it was inferred.
    let mut changed = false;
    for mut node in nodes {
        if let Some((op, inputs)) = Deferred::settled(graph, &node) {
            let new = Node { op, inputs, ..node.clone() };
            if graph.settle(&node, &new)? {
                (node, changed) = (new, true);
            }
        }
        if changed {
            graph.infer_again(&node)?;
        }
        match known(graph, &node, &mut left)? {
            Some(tensors) => {
                changed = true;
                for (&id, tensor) in node.outputs.iter().zip(tensors) {
                    graph.set_constant(id, tensor);
                }
            }
            None => kept.push(node),
        }
    }
    graph.nodes = kept;
    Ok(())
}

/// Turns the last node's results into constants, if they are small and its operands are constant.
#[cfg(feature = "onnx")]
pub(crate) fn last(graph: &mut Graph) -> Result<()> {
    use crate::{graph::MAX_TRACKED, ops::random};
    let Some(node) = graph.nodes.pop() else { return Ok(()) };
    let constant = node.inputs.iter().flatten().all(|&id| graph.constant_of(id).is_some());
    let small = |id| matches!(graph.fact(id).shape.fixed_elements(), Ok(Some(count)) if count <= MAX_TRACKED);
    // A draw stays a node, so that a loop around it is seen.
    if constant && node.outputs.iter().copied().all(small) && !node.inputs.is_empty() && !random::draws(&*node.op) {
        let mut left = Budget::of(graph);
        if let Some(tensors) = known(graph, &node, &mut left)? {
            for (&id, tensor) in node.outputs.iter().zip(tensors) {
                graph.set_constant(id, tensor);
            }
            return Ok(());
        }
    }
    graph.nodes.push(node);
    Ok(())
}

/// The node's results, if they are constant; takes them from `left`.
fn known(graph: &Graph, node: &Node, left: &mut Budget) -> Result<Option<Vec<Arc<Tensor>>>> {
    // Integers that depend on fixed shapes alone need no operand.
    if let Some(tensors) = node.outputs.iter().map(|&id| tracked::tensor(graph.fact(id)).map(Arc::new)).collect() {
        return Ok(Some(tensors));
    }
    if let Some(Constant { value }) = node.op() {
        return Ok(Some(vec![value.clone()]));
    }
    if let CpuState::Session | CpuState::Values(_) = node.op.def().cpu {
        return Ok(None);
    }
    let mut operands = 0usize;
    for id in node.inputs.iter().flatten() {
        match graph.constant_of(*id) {
            Some(tensor) => operands = operands.saturating_add(tensor.len()),
            None => return Ok(None),
        }
    }
    let mut results = 0usize;
    for id in &node.outputs {
        match graph.fact(*id).shape.fixed_elements()? {
            Some(elements) => results = results.saturating_add(elements),
            None => return Ok(None),
        }
    }
    if let CpuState::View = node.op.def().cpu {
        let operand = node.inputs.first().copied().flatten().and_then(|id| graph.constant_of(id));
        let shape = graph.fact(node.outputs[0]).shape.as_fixed();
        return match (operand, shape) {
            (Some(tensor), Some(shape)) => Ok(Some(vec![Arc::new((**tensor).clone().reshape(shape)?)])),
            _ => Ok(None),
        };
    }
    left.take(graph, node, operands, results)?;
    match evaluate(graph, node).context(|| format!("folding {}", node.describe())) {
        Ok(tensors) => Ok(Some(tensors)),
        // Sizes that are known at run time alone, and values that may not be needed: the node's own
        // run-time check says so.
        Err(error) if error.kind() == ErrorKind::InvalidInput => Ok(None),
        Err(error) => Err(error),
    }
}
