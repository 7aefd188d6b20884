//! The first pass over the nodes, which finds producers of values and unsupported operators.

use std::collections::{BTreeMap, HashMap};

use crate::{
    error::{Context, Error, Result},
    import::onnx::{
        budget::Budget,
        proto::{self, GraphProto, NodeProto, default_domain},
    },
    ops,
};

/// The maximum number of unsupported operators that an error lists.
const MAX_LISTED: usize = 64;

/// Parses a node that [`scan`] has charged to the budget already.
pub(super) fn parse<'a>(proto: &GraphProto<'a>, index: u32) -> Result<NodeProto<'a>> {
    NodeProto::parse(proto.nodes[index as usize], &Budget::unlimited())
}

/// Maps the name of each value to the index of the node that produces it.
///
/// # Errors
/// Lists all operators that are not supported.
pub(super) fn scan<'a>(
    proto: &GraphProto<'a>,
    functions: &[&'a [u8]],
    budget: &Budget,
) -> Result<HashMap<&'a str, u32>> {
    let mut makers = HashMap::new();
    let mut missing: BTreeMap<(&str, &str), (usize, String)> = BTreeMap::new();
    for (index, bytes) in proto.nodes.iter().enumerate() {
        let node = NodeProto::parse(bytes, budget).context(|| format!("node number {index}"))?;
        for name in node.outputs.iter().copied().filter(|name| !name.is_empty()) {
            if let Some(other) = makers.insert(name, index as u32) {
                let other = parse(proto, other)?.describe();
                let own = node.describe();
                return Err(Error::invalid_model(format!("value `{name}` is made twice: by {other} and by {own}")));
            }
        }
        let built = ops::find_onnx(node.domain(), node.op_type()).is_some();
        if !built {
            missing.entry((node.domain(), node.op_type())).or_insert_with(|| (0, node.name().to_owned())).0 += 1;
        }
    }
    if missing.is_empty() {
        return Ok(makers);
    }
    let functions = functions.iter().map(|bytes| proto::function(bytes, budget)).collect::<Result<Vec<_>>>()?;
    let listed = missing.iter().take(MAX_LISTED).map(|(&(domain, op), (count, first))| {
        let nodes = if *count == 1 { format!("node `{first}`") } else { format!("{count} nodes, first `{first}`") };
        let kind = match functions.iter().any(|&(other, name)| name == op && default_domain(other) == domain) {
            true => ", a function of the file, which is not inlined here",
            false => "",
        };
        let dot = if domain.is_empty() { "" } else { "." };
        format!("{domain}{dot}{op} ({nodes}{kind})")
    });
    let mut listed = listed.collect::<Vec<_>>().join(", ");
    if missing.len() > MAX_LISTED {
        listed += &format!(" and {} more", missing.len() - MAX_LISTED);
    }
    Err(Error::unsupported(format!("the model needs operators that are not built here: {listed}")))
}
