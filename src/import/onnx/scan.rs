//! The first passes over the nodes, which find producers of values and unsupported operators.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::{
    error::{Context, Error, Result},
    import::onnx::{
        attribute,
        budget::Budget,
        convert::composed::is_composed,
        lowered::{Lowered, holds_graphs},
        proto::{FunctionKey, FunctionProto, GraphProto, NodeProto},
    },
    ops::{self, control::is_control},
};

/// The deepest nesting of graphs within nodes.
const MAX_DEPTH: usize = 24;

/// The maximum number of unsupported operators that an error lists.
const MAX_LISTED: usize = 64;

/// Parses a node that [`makers`] has charged to the budget already.
pub(super) fn parse<'a>(proto: &GraphProto<'a>, index: u32) -> Result<NodeProto<'a>> {
    NodeProto::parse(proto.nodes[index as usize], &Budget::unlimited())
}

/// The functions of a file, by the names that nodes call.
pub(super) type Functions<'a> = HashMap<FunctionKey<'a>, FunctionProto<'a>>;

/// Reads the functions of a file.
pub(super) fn functions<'a>(all: &[&'a [u8]], budget: &Budget) -> Result<Functions<'a>> {
    let mut functions = HashMap::new();
    for bytes in all {
        let function = FunctionProto::parse(bytes, budget)?;
        let key = function.key();
        if functions.insert(key, function).is_some() {
            return Err(Error::invalid_model(format!("the function {} is given twice", shown(key.0, key.1))));
        }
    }
    Ok(functions)
}

/// Whether a node is an operator that is built here.
///
/// Outside the default domain, a function of the file says what its name means.
pub(super) fn is_built<'a>(node: &NodeProto<'a>, functions: &Functions<'a>) -> bool {
    let is_own = !node.domain().is_empty() && functions.contains_key(&node.function());
    let is_control = node.domain().is_empty() && is_control(node.op_type());
    let is_made = is_composed(node.domain(), node.op_type());
    let is_lowered = Lowered::find(node.domain(), node.op_type()).is_some();
    let is_known = || ops::find_onnx(node.domain(), node.op_type()).is_some();
    !is_own && (is_control || is_made || is_lowered || is_known())
}

/// Maps the name of each value to the index of the node that produces it.
pub(super) fn makers<'a>(proto: &GraphProto<'a>, budget: &Budget) -> Result<HashMap<&'a str, u32>> {
    let mut makers = HashMap::new();
    for (index, bytes) in proto.nodes.iter().enumerate() {
        let node = NodeProto::parse(bytes, budget).context(|| format!("node number {index}"))?;
        for name in node.outputs.iter().copied().filter(|name| !name.is_empty()) {
            if let Some(other) = makers.insert(name, index as u32) {
                let other = parse(proto, other)?.describe();
                let own = node.describe();
                return Err(Error::invalid_model(format!("value `{name}` is made twice: by {other} and by {own}")));
            }
        }
    }
    Ok(makers)
}

/// The operators that are not built here, with the number of their nodes and the first node's name.
type Missing<'a> = BTreeMap<(&'a str, &'a str), (usize, String)>;

/// Fails if the graph, a graph within it, or a function that these need, has operators that are not built here.
///
/// # Errors
/// Lists all operators that are not supported.
pub(super) fn check_operators<'a>(proto: &GraphProto<'a>, functions: &Functions<'a>, budget: &Budget) -> Result<()> {
    let mut missing = Missing::new();
    let mut called: HashSet<FunctionKey<'a>> = HashSet::new();
    let mut pending = vec![proto];
    while let Some(proto) = pending.pop() {
        for key in unbuilt(proto, functions, budget, 0, &mut missing)? {
            if called.insert(key) {
                pending.extend(functions.get(&key).map(|function| &function.body));
            }
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    let listed = missing.iter().take(MAX_LISTED).map(|(&(domain, op), (count, first))| {
        let nodes = if *count == 1 { format!("node `{first}`") } else { format!("{count} nodes, first `{first}`") };
        format!("{} ({nodes})", shown(domain, op))
    });
    let mut listed = listed.collect::<Vec<_>>().join(", ");
    if missing.len() > MAX_LISTED {
        listed += &format!(" and {} more", missing.len() - MAX_LISTED);
    }
    // Layouts of one processor, which are written at the highest level of optimization only.
    let of_layout = missing.keys().any(|(domain, _)| *domain == "com.microsoft.nchwc");
    let remedy = if of_layout {
        "; have ONNX Runtime save it with ORT_ENABLE_EXTENDED, or take the model it was made from"
    } else {
        ""
    };
    Err(Error::unsupported(format!("the model needs operators that are not built here: {listed}{remedy}")))
}

/// The functions that the nodes of a graph and of those within it call; operators that are neither functions nor built
/// are added to `missing`.
fn unbuilt<'a>(
    proto: &GraphProto<'a>,
    functions: &Functions<'a>,
    budget: &Budget,
    depth: usize,
    missing: &mut Missing<'a>,
) -> Result<Vec<FunctionKey<'a>>> {
    check_depth(depth)?;
    let mut called = Vec::new();
    for (index, bytes) in proto.nodes.iter().enumerate() {
        let node = NodeProto::parse(bytes, budget).context(|| format!("node number {index}"))?;
        if holds_graphs(node.op_type()) {
            for (_, bytes) in attribute::graphs(&node, budget)? {
                called.extend(unbuilt(&GraphProto::parse(bytes, budget)?, functions, budget, depth + 1, missing)?);
            }
        }
        if is_built(&node, functions) {
            continue;
        }
        if functions.contains_key(&node.function()) {
            called.push(node.function());
            continue;
        }
        let first = || (0, node.name().to_owned());
        missing.entry((node.domain(), node.op_type())).or_insert_with(first).0 += 1;
    }
    Ok(called)
}

/// Refuses a graph within too many others.
pub(super) fn check_depth(depth: usize) -> Result<()> {
    if depth > MAX_DEPTH {
        return Err(Error::limit(format!("graphs are nested more than {MAX_DEPTH} deep")));
    }
    Ok(())
}

/// An operator with its domain.
pub(super) fn shown(domain: &str, op: &str) -> String {
    let dot = if domain.is_empty() { "" } else { "." };
    format!("{domain}{dot}{op}")
}
