//! Constant folding: evaluates at load what does not depend on the inputs.

use std::sync::Arc;

use crate::{
    error::{Context, Error, ErrorKind, Result},
    graph::{Fact, Graph, Node},
    op::{CpuState, evaluate},
    ops::generate::constant::Constant,
    shape::Dim,
    tensor::{DType, Tensor},
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

/// Turns the last node's results into constants, if they are small and its operands are constant.
#[cfg(feature = "onnx")]
pub(crate) fn last(graph: &mut Graph) -> Result<()> {
    use crate::graph::MAX_TRACKED;
    let Some(node) = graph.nodes.pop() else { return Ok(()) };
    let constant = node.inputs.iter().flatten().all(|&id| graph.constant_of(id).is_some());
    let small = |id| matches!(graph.fact(id).shape.fixed_elements(), Ok(Some(count)) if count <= MAX_TRACKED);
    if constant && node.outputs.iter().copied().all(small) && !node.inputs.is_empty() {
        let mut left = MAX_TRACKED * node.outputs.len();
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

/// The node's results, if they are constant; subtracts their elements from `left`.
fn known(graph: &Graph, node: &Node, left: &mut usize) -> Result<Option<Vec<Arc<Tensor>>>> {
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
    let refused = || {
        let what = format!("{} makes a constant of {results} elements, which is refused", node.describe());
        Error::limit(what)
    };
    if results > operands.saturating_add(MAX_GROWTH) {
        return Err(refused());
    }
    *left = left.checked_sub(results).ok_or_else(refused)?;
    match evaluate(graph, node) {
        // The result depends on a run's sizes, or the run is wrong; it will tell.
        Err(error) if error.kind() == ErrorKind::InvalidInput => Ok(None),
        result => result.map(Some).context(|| format!("folding {}", node.describe())),
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
