//! Removes nodes whose results are unused, and constants that no node needs.

use crate::graph::Graph;

pub(super) fn run(graph: &mut Graph) {
    let mut needed = vec![false; graph.value_count()];
    for id in graph.outputs() {
        needed[id.index()] = true;
    }
    let mut keep = vec![false; graph.nodes.len()];
    for (index, node) in graph.nodes.iter().enumerate().rev() {
        keep[index] = node.outputs.iter().any(|id| needed[id.index()]);
        if keep[index] {
            for id in node.inputs.iter().flatten() {
                needed[id.index()] = true;
            }
        }
    }
    let mut kept = keep.iter();
    graph.nodes.retain(|_| *kept.next().unwrap_or(&true));
    for (value, needed) in graph.values.iter_mut().zip(needed) {
        if !needed {
            value.constant = None;
        }
    }
}
