//! Operators whose operands say sizes: the same operators with those operands known.

use gristmill::{
    Tensor,
    testing::{
        op::Operator,
        ops::{deferred::Deferred, generate::constant::Constant},
    },
};

use super::{Oracle, find, op};

/// The operators that this file speaks for.
pub const ORACLES: &[(&str, Oracle)] = &[("Deferred", deferred)];

fn deferred(operator: &dyn Operator, inputs: &[Option<Tensor>]) -> Vec<Tensor> {
    let graph = op::<Deferred>(operator).resolve(inputs).unwrap();
    let node = &graph.nodes()[0];
    if let Some(Constant { value }) = node.op.downcast_ref() {
        return vec![(**value).clone()];
    }
    let operand = |id: &Option<_>| id.and_then(|id| graph.constant_of(id)).map(|tensor| (**tensor).clone());
    let operands: Vec<_> = node.inputs.iter().map(operand).collect();
    find(node.op.def().name).expect("the operator has an oracle")(&*node.op, &operands)
}
