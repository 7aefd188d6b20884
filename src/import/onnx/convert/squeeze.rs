//! `Squeeze` without axes, where only a run tells which axes are 1.
//!
//! ONNX Runtime lets the number of dimensions depend on the run. Here it is that which the file
//! declares of its results: the first axes of unknown size are 1, and the others are not.

use std::cell::Cell;

use crate::{
    error::{Context, Result},
    graph::Graph,
    import::onnx::{
        budget::Budget,
        convert::{Converter, node::Call},
        proto::{GraphProto, ValueInfoProto},
    },
    op::Attribute,
    shape::{Condition, Dim},
};

/// The most axes of unknown size that may go at once.
const MAX_DROPPED: usize = 4;

/// What a conversion assumes of `Squeeze` without axes.
#[derive(Debug, Default)]
pub(super) struct OpenSqueeze {
    /// The axes of unknown size that go, the first ones of each node.
    drops: Option<usize>,
    /// Whether there is such a node.
    met: Cell<bool>,
}

/// Converts a graph, with as many axes dropped as its declared results tell.
pub(super) fn settled(
    proto: &GraphProto<'_>,
    budget: &Budget,
    mut convert: impl FnMut(&OpenSqueeze) -> Result<(Graph, Vec<String>)>,
) -> Result<(Graph, Vec<String>)> {
    let open = OpenSqueeze::default();
    let first = convert(&open);
    if !open.met.get() {
        return first;
    }
    for drops in 0..=MAX_DROPPED {
        let open = OpenSqueeze { drops: Some(drops), ..OpenSqueeze::default() };
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

impl Converter<'_, '_, '_> {
    /// Names the axes of a `Squeeze` that has none.
    pub(super) fn settle_squeeze(&mut self, call: &mut Call<'_>, place: &dyn Fn() -> String) -> Result<()> {
        let named = call.attributes.iter().any(|(name, _)| name == "axes");
        let &[Some(x), ref axes @ ..] = call.inputs.as_slice() else { return Ok(()) };
        if call.op_type != "Squeeze" || named || axes.first().is_some_and(Option::is_some) {
            return Ok(());
        }
        let shape = self.graph.fact(x).shape.clone();
        let open: Vec<usize> = (0..shape.rank()).filter(|&axis| shape[axis].as_fixed().is_none()).collect();
        if open.is_empty() {
            return Ok(());
        }
        let settings = self.file.open;
        settings.met.set(true);
        let Some(drops) = settings.drops else { return Ok(()) };
        let (dropped, kept) = open.split_at(drops.min(open.len()));
        let one = Dim::from(1);
        let axes = (0..shape.rank()).filter(|axis| dropped.contains(axis) || shape[*axis] == one);
        call.attributes.push(("axes".to_owned(), Attribute::Ints(axes.map(|axis| axis as i64).collect())));
        let two = Dim::from(2);
        for &axis in kept {
            let condition = Condition::at_least("an axis that is kept", &shape[axis], &two);
            self.graph.assume(place(), vec![condition]).context(place)?;
        }
        let told = |axes: &[usize]| axes.iter().map(|&axis| shape[axis].to_string()).collect::<Vec<_>>().join(", ");
        for (axes, what) in [(dropped, "is 1"), (kept, "is not 1")] {
            if !axes.is_empty() {
                self.notes.push(format!(
                    "{}: without `axes`, {} {what} by what the file declares",
                    place(),
                    told(axes)
                ));
            }
        }
        Ok(())
    }
}
