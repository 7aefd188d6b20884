//! Removes nodes whose results are unused, and constants that no node needs.

use crate::{graph::Graph, shape::Shape};

pub(super) fn run(graph: &mut Graph) {
    let mut needed = vec![false; graph.value_count()];
    for id in graph.outputs() {
        needed[id.index()] = true;
    }
    let sizes = graph.sizes_in_use(&graph.nodes);
    let mut keep = vec![false; graph.nodes.len()];
    for (index, node) in graph.nodes.iter().enumerate().rev() {
        keep[index] = node.outputs.iter().any(|id| needed[id.index()])
            || node.measured.iter().any(|symbol| sizes.contains(symbol));
        if keep[index] {
            for id in node.inputs.iter().flatten() {
                needed[id.index()] = true;
            }
        }
    }
    let mut kept = keep.iter();
    graph.nodes.retain(|_| *kept.next().unwrap_or(&true));
    let mut made = vec![false; graph.value_count()];
    graph.nodes.iter().flat_map(|node| &node.outputs).chain(graph.inputs()).for_each(|id| made[id.index()] = true);
    for (index, value) in graph.values.iter_mut().enumerate() {
        if !needed[index] {
            value.constant = None;
            if !made[index] {
                // No run has to know the sizes of what nothing makes.
                value.fact.shape = Shape::scalar();
                value.fact.elements = None;
            }
        }
    }
}
