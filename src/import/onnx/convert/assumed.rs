//! What a conversion assumes of numbers of dimensions that depend on sizes.
//!
//! ONNX Runtime lets them depend on the run. Here they are those that the file declares of its
//! results: of a `Squeeze` without axes the first axes of unknown size are 1, and the others are
//! not; of an `If` one graph is taken. Runs of other sizes are refused.

use std::cell::Cell;

use crate::{
    error::Result,
    graph::Graph,
    import::onnx::{
        budget::Budget,
        proto::{GraphProto, ValueInfoProto},
    },
};

/// The most axes of unknown size that may go at once.
const MAX_DROPPED: usize = 4;

/// What a conversion assumes where a number of dimensions depends on sizes.
#[derive(Debug, Default)]
pub(super) struct OpenRanks {
    /// The axes of unknown size that go, the first ones of each node.
    pub(super) drops: Option<usize>,
    /// Whether the first graph of an `If` is taken.
    pub(super) first: Option<bool>,
    /// Whether there is such a node.
    pub(super) met: Cell<bool>,
}

/// Converts a graph, with numbers of dimensions that its declared results tell.
pub(super) fn settled(
    proto: &GraphProto<'_>,
    budget: &Budget,
    mut convert: impl FnMut(&OpenRanks) -> Result<(Graph, Vec<String>)>,
) -> Result<(Graph, Vec<String>)> {
    let open = OpenRanks::default();
    let first = convert(&open);
    if !open.met.get() {
        return first;
    }
    for (drops, taken) in (0..=MAX_DROPPED).flat_map(|drops| [(drops, true), (drops, false)]) {
        let open = OpenRanks { drops: Some(drops), first: Some(taken), ..OpenRanks::default() };
        if let Ok(made) = convert(&open)
            && ranks_fit(proto, budget, &made.0)?
        {
            return Ok(made);
        }
    }
    first
}

/// Whether the results have as many dimensions as the file declares.
fn ranks_fit(proto: &GraphProto<'_>, budget: &Budget, graph: &Graph) -> Result<bool> {
    for (bytes, &id) in proto.outputs.iter().zip(graph.outputs()) {
        let declared = ValueInfoProto::parse(bytes, budget)?;
        if declared.dims.is_none_or(|dims| dims.len() != graph.fact(id).shape.rank()) {
            return Ok(false);
        }
    }
    Ok(true)
}
