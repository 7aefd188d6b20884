//! Constant folding: evaluates at load what does not depend on the inputs.

use std::sync::Arc;

use crate::{
    error::{Context, Error, Result},
    graph::{Graph, Node},
    op::{CpuState, evaluate},
    ops::{deferred::Deferred, generate::constant::Constant, tracked},
    tensor::Tensor,
};

/// The most elements by which a folded constant may exceed its operands together.
///
/// A small file must not become a large model.
const MAX_GROWTH: usize = 1 << 24;

/// The most elements of all folded constants: a sum, and a factor of the file's own constants.
///
/// Without it, repeated doubling of a tensor would grow without bound.
const MAX_TOTAL: (usize, usize) = (1 << 26, 16);

pub(super) fn run(graph: &mut Graph) -> Result<()> {
    let given = graph.values.iter().filter_map(|value| value.constant.as_ref());
    let given = given.fold(0usize, |sum, tensor| sum.saturating_add(tensor.len()));
    let mut left = given.saturating_mul(MAX_TOTAL.1).saturating_add(MAX_TOTAL.0);
    let nodes = std::mem::take(&mut graph.nodes);
    let mut kept = Vec::with_capacity(nodes.len());
    let mut settled = false;
    for mut node in nodes {
        if let Some((op, inputs)) = Deferred::settled(graph, &node) {
            let new = Node { op, inputs, ..node.clone() };
            if graph.settle(&node, &new)? {
                (node, settled) = (new, true);
            }
        }
        if settled {
            graph.infer_again(&node)?;
        }
        match known(graph, &node, &mut left)? {
            Some(tensors) => {
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

/// The node's results, if they are constant; subtracts their elements from `left`.
fn known(graph: &Graph, node: &Node, left: &mut usize) -> Result<Option<Vec<Arc<Tensor>>>> {
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
    let refused = || {
        let what = format!("{} makes a constant of {results} elements, which is refused", node.describe());
        Error::limit(what)
    };
    if results > operands.saturating_add(MAX_GROWTH) {
        return Err(refused());
    }
    *left = left.checked_sub(results).ok_or_else(refused)?;
    evaluate(graph, node).map(Some).context(|| format!("folding {}", node.describe()))
}
