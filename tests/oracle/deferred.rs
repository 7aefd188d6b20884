//! Operators whose sizes only a run tells: the same operators with their operands known.

use gristmill::{
    Tensor,
    testing::{
        graph::Graph,
        ops::{deferred::Deferred, generate::constant::Constant, measured::Measured},
    },
};

use super::{Oracle, find, op};

/// The operators that this file speaks for.
pub const ORACLES: &[(&str, Oracle)] = &[
    ("Deferred", |operator, inputs| known(&op::<Deferred>(operator).resolve(inputs).unwrap())),
    ("Measured", |operator, inputs| known(&op::<Measured>(operator).resolve(inputs).unwrap())),
];

/// The results of a graph of one node, whose operands are constants.
fn known(graph: &Graph) -> Vec<Tensor> {
    let node = &graph.nodes()[0];
    if let Some(Constant { value }) = node.op.downcast_ref() {
        return vec![(**value).clone()];
    }
    let operand = |id: &Option<_>| id.and_then(|id| graph.constant_of(id)).map(|tensor| (**tensor).clone());
    let operands: Vec<_> = node.inputs.iter().map(operand).collect();
    find(node.op.def().name).expect("the operator has an oracle")(&*node.op, &operands)
}
