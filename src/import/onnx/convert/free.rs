//! The names that graphs within a node use of the graphs around it.

use std::collections::HashSet;

use crate::{
    error::{Error, Result},
    import::onnx::{
        MAX_DEPTH, attribute,
        budget::Budget,
        convert::Converter,
        proto::{GraphProto, NodeProto, TensorProto, ValueInfoProto},
    },
    ops::control::is_control,
};

impl<'a> Converter<'a, '_, '_> {
    /// The names that the graphs within a node use but do not define.
    pub(super) fn free_names(&self, node: &NodeProto<'a>) -> Result<Vec<&'a str>> {
        let mut free = Vec::new();
        if is_control(node.op_type()) {
            for (_, bytes) in attribute::graphs(node, self.file.budget)? {
                free.extend(of_graph(bytes, self.file.budget, self.depth + 1)?);
            }
        }
        Ok(free)
    }
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
        if is_control(node.op_type()) {
            for (_, bytes) in attribute::graphs(&node, budget)? {
                used.extend(of_graph(bytes, budget, depth + 1)?);
            }
        }
    }
    for bytes in &proto.outputs {
        used.push(ValueInfoProto::parse(bytes, budget)?.name());
    }
    let mut seen = HashSet::new();
    used.retain(|name| !name.is_empty() && !defined.contains(name) && seen.insert(*name));
    Ok(used)
}

/// Refuses a graph within too many others.
pub(super) fn check_depth(depth: usize) -> Result<()> {
    if depth > MAX_DEPTH {
        return Err(Error::limit(format!("graphs are nested more than {MAX_DEPTH} deep")));
    }
    Ok(())
}
