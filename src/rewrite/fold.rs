//! Constant folding: evaluates at load what does not depend on the inputs.

mod budget;

use std::sync::Arc;

use crate::{
    error::{Context, ErrorKind, Result},
    graph::{Fact, Graph, Node},
    op::{CpuState, evaluate},
    ops::generate::constant::Constant,
    rewrite::fold::budget::Budget,
    shape::Dim,
    tensor::{DType, Tensor},
};

pub(super) fn run(graph: &mut Graph) -> Result<()> {
    let mut left = Budget::of(graph);
    let nodes = std::mem::take(&mut graph.nodes);
    let mut kept = Vec::with_capacity(nodes.len());
    for node in nodes {
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

/// The node's results, if they are constant; takes them from `left`.
fn known(graph: &Graph, node: &Node, left: &mut Budget) -> Result<Option<Vec<Arc<Tensor>>>> {
    // Integers that depend on fixed shapes alone need no operand.
    if let Some(tensors) = node.outputs.iter().map(|&id| tracked(graph.fact(id))).collect() {
        return Ok(Some(tensors));
    }
    if let Some(Constant { value }) = node.op() {
        return Ok(Some(vec![value.clone()]));
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

/// The tensor of a value whose elements are all tracked, fixed, and fit their type.
fn tracked(fact: &Fact) -> Option<Arc<Tensor>> {
    let integers = fact.elements.as_ref()?.iter().map(Dim::as_fixed).collect::<Option<Vec<_>>>()?;
    let shape = fact.shape.as_fixed()?;
    let tensor = match fact.dtype {
        DType::I64 => Tensor::new(shape, &integers),
        DType::I32 => {
            let narrow = integers.iter().map(|&integer| i32::try_from(integer).ok()).collect::<Option<Vec<_>>>()?;
            Tensor::new(shape, &narrow)
        }
        DType::Bool => Tensor::from_bools(shape, &integers.iter().map(|&integer| integer != 0).collect::<Vec<_>>()),
        _ => return None,
    };
    tensor.ok().map(Arc::new)
}
