//! Lists of tokens as values of a graph.
//!
//! ONNX's `Tokenizer` fills rows up to the length of the longest, which only a run tells. Here its
//! last axis is 1, and an element there is the whole list of one string: the numbers of its tokens,
//! as a string. `TfIdfVectorizer` alone reads such lists; [`check`] refuses any other use.

#[cfg(feature = "onnx")]
use crate::graph::Graph;
use crate::{
    error::{Error, Result},
    graph::Node,
    op::OnnxNode,
    tensor::{DType, RunStrings},
};

/// The operator that makes lists of tokens.
pub(crate) const TOKENIZER: &str = "com.microsoft.Tokenizer";
/// The operator that reads them.
#[cfg(feature = "onnx")]
pub(crate) const READER: &str = "TfIdfVectorizer";
/// The operators that hand them on.
const PASSES: [&str; 2] = ["Identity", "Reshape"];

/// The node that makes operand 0 of an ONNX node, if it is of lists of tokens.
pub(crate) fn maker<'a>(node: &OnnxNode<'a>) -> Option<&'a Node> {
    if node.inputs().fact(0).is_none_or(|fact| fact.dtype != DType::String) {
        return None;
    }
    let mut id = node.inputs().id(0);
    while let Some(maker) = id.and_then(|id| node.maker(id)) {
        let name = maker.op.def().name;
        if name == TOKENIZER {
            return Some(maker);
        }
        id = maker.inputs.first().copied().flatten().filter(|_| PASSES.contains(&name));
    }
    None
}

/// Refuses lists of tokens where ONNX's padded rows would be something else.
pub(crate) fn refuse(node: &OnnxNode<'_>) -> Result<()> {
    match maker(node) {
        Some(_) => Err(Error::unsupported("the number of tokens depends on the data; only TfIdfVectorizer takes them")),
        None => Ok(()),
    }
}

/// Refuses a graph that uses lists of tokens otherwise than for `TfIdfVectorizer`.
///
/// # Errors
/// `Unsupported` with the first such use.
#[cfg(feature = "onnx")]
pub(crate) fn check(graph: &Graph) -> Result<()> {
    let mut lists = vec![false; graph.value_count()];
    for node in graph.nodes() {
        let name = node.op.def().name;
        let uses = node.inputs.iter().flatten().any(|id| lists[id.index()]);
        let passes = PASSES.contains(&name);
        if uses && !passes && name != READER {
            let what = format!("{} uses tokens, whose number depends on the data", node.describe());
            return Err(Error::unsupported(what));
        }
        if name == TOKENIZER || (uses && passes) {
            node.outputs.iter().for_each(|id| lists[id.index()] = true);
        }
    }
    match graph.outputs().iter().find(|id| lists[id.index()]) {
        Some(&id) => {
            let name = &graph.value(id).name;
            Err(Error::unsupported(format!("output `{name}` is of tokens, whose number depends on the data")))
        }
        None => Ok(()),
    }
}

/// The numbers of a list's tokens.
pub(crate) fn numbers(strings: &RunStrings, list: u64, tokens: &mut Vec<u64>) {
    let text = strings.get(list).map_or("", |text| text);
    tokens.extend(text.split(' ').filter_map(|number| number.parse::<u64>().ok()));
}
