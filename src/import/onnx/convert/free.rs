//! The names that graphs within a node use of the graphs around it.

use std::collections::HashSet;

use crate::{
    error::Result,
    import::onnx::{
        attribute,
        budget::Budget,
        lowered::holds_graphs,
        proto::{GraphProto, NodeProto, TensorProto, ValueInfoProto},
        scan::check_depth,
    },
};

/// The names that the graphs within a node, at this depth, use but do not define.
pub(super) fn free_names<'a>(node: &NodeProto<'a>, budget: &Budget, depth: usize) -> Result<Vec<&'a str>> {
    let mut free = Vec::new();
    if holds_graphs(node.op_type()) {
        for (_, bytes) in attribute::graphs(node, budget)? {
            free.extend(of_graph(bytes, budget, depth)?);
        }
    }
    Ok(free)
}

/// The names that a graph uses but does not define.
fn of_graph<'a>(bytes: &'a [u8], budget: &Budget, depth: usize) -> Result<Vec<&'a str>> {
    check_depth(depth)?;
    let proto = GraphProto::parse(bytes, budget)?;
    let (mut used, mut defined) = (Vec::new(), HashSet::new());
    for bytes in &proto.inputs {
        defined.insert(ValueInfoProto::parse(bytes, budget)?.name());
    }
    for bytes in &proto.initializers {
        defined.insert(TensorProto::parse(bytes, budget)?.name());
    }
    for bytes in &proto.nodes {
        let node = NodeProto::parse(bytes, budget)?;
        used.extend(node.inputs.iter().copied());
        defined.extend(node.outputs.iter().copied());
        used.extend(free_names(&node, budget, depth + 1)?);
    }
    for bytes in &proto.outputs {
        used.push(ValueInfoProto::parse(bytes, budget)?.name());
    }
    let mut seen = HashSet::new();
    used.retain(|name| !name.is_empty() && !defined.contains(name) && seen.insert(*name));
    Ok(used)
}
