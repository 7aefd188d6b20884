//! Operators that hold graphs: their nodes one after another, by their own oracles.

use std::collections::HashMap;

use gristmill::{
    Tensor,
    testing::{
        op::{Body, Operator},
        ops::control::{conditional::If, repeat::Loop, scan::Scan},
    },
};

use super::{Oracle, find, flat, input, op, pick};

/// The operators that this file speaks for.
pub const ORACLES: &[(&str, Oracle)] = &[("If", conditional), ("Loop", repeat), ("Scan", scan)];

/// What a graph makes of what it is given, and of the operands that it captures.
fn interpret(body: &Body, given: &[Tensor], operands: &[Option<Tensor>]) -> Vec<Tensor> {
    let graph = &body.graph;
    let captured = body.captured.iter().map(|&operand| operands[operand].clone().unwrap());
    let inputs = given.iter().cloned().chain(captured);
    let mut values: HashMap<_, Tensor> = graph.inputs().iter().copied().zip(inputs).collect();
    let value = |values: &HashMap<_, Tensor>, id| {
        values.get(&id).cloned().or_else(|| graph.constant_of(id).map(|tensor| (**tensor).clone())).unwrap()
    };
    for node in graph.nodes() {
        let inputs: Vec<_> = node.inputs.iter().map(|id| id.map(|id| value(&values, id))).collect();
        let oracle = find(node.op.def().name).expect("the operator has an oracle");
        values.extend(node.outputs.iter().copied().zip(oracle(&*node.op, &inputs)));
    }
    graph.outputs().iter().map(|&id| value(&values, id)).collect()
}

fn is_true(tensor: &Tensor) -> bool {
    tensor.bytes() == [1]
}

fn conditional(operator: &dyn Operator, inputs: &[Option<Tensor>]) -> Vec<Tensor> {
    let [then, other] = &op::<If>(operator).branches;
    interpret(if is_true(input(inputs, 0)) { then } else { other }, &[], inputs)
}

/// Tensors along a new axis.
fn stacked(tensors: &[Tensor], axis: usize, none: &[usize]) -> Tensor {
    let one = tensors.first().map_or(none, Tensor::shape);
    let all = Tensor::from_bytes(
        tensors.first().map_or(gristmill::DType::F32, Tensor::dtype),
        [&[tensors.len()], one].concat(),
        &tensors.iter().flat_map(|tensor| tensor.bytes().to_vec()).collect::<Vec<u8>>(),
    )
    .unwrap();
    let mut shape = one.to_vec();
    shape.insert(axis, tensors.len());
    pick(&all, &shape, |index| {
        let mut from = index.to_vec();
        let which = from.remove(axis);
        flat(all.shape(), &[&[which], &from[..]].concat())
    })
}

fn repeat(operator: &dyn Operator, inputs: &[Option<Tensor>]) -> Vec<Tensor> {
    let Loop { body: [body], carried } = op::<Loop>(operator);
    let most = inputs[0].as_ref().map_or(i64::MAX, |most| most.to_i64().unwrap()[0]);
    let mut condition = inputs[1].clone().unwrap_or(Tensor::from_bools([], &[true]).unwrap());
    let mut state: Vec<Tensor> = inputs[2..2 + carried].iter().map(|value| value.clone().unwrap()).collect();
    let outputs = body.graph.outputs();
    let mut stacks: Vec<Vec<Tensor>> = vec![Vec::new(); outputs.len() - 1 - carried];
    let mut iteration = 0;
    while is_true(&condition) && iteration < most {
        let given = [vec![Tensor::scalar(iteration), condition], state].concat();
        let mut made = interpret(body, &given, inputs);
        stacks.iter_mut().zip(made.split_off(1 + carried)).for_each(|(stack, made)| stack.push(made));
        state = made.split_off(1);
        condition = made.remove(0);
        iteration += 1;
    }
    let shape = |index: usize| body.graph.fact(outputs[1 + carried + index]).shape.as_fixed().unwrap();
    state.extend(stacks.iter().enumerate().map(|(index, stack)| stacked(stack, 0, &shape(index))));
    state
}

/// Slice `index` of an axis, without the axis.
fn slice(tensor: &Tensor, axis: usize, index: usize) -> Tensor {
    let mut shape = tensor.shape().to_vec();
    shape.remove(axis);
    pick(tensor, &shape, |own| {
        let mut from = own.to_vec();
        from.insert(axis, index);
        flat(tensor.shape(), &from)
    })
}

fn scan(operator: &dyn Operator, inputs: &[Option<Tensor>]) -> Vec<Tensor> {
    let op = op::<Scan>(operator);
    if op.batched {
        let items = input(inputs, 1).shape()[0];
        let alone = |item: usize| {
            let own = |index: usize| inputs[index].as_ref().map(|tensor| slice(tensor, 0, item));
            let count = 1 + op.states + op.inputs.len();
            // Captured operands keep their places; the lengths of the items are not given.
            let operands: Vec<_> =
                (0..inputs.len()).map(|at| if at < count { own(at) } else { inputs[at].clone() }).collect();
            scanned(op, &operands, 1)
        };
        let made: Vec<Vec<Tensor>> = (0..items).map(alone).collect();
        return (0..made[0].len())
            .map(|index| stacked(&made.iter().map(|made| made[index].clone()).collect::<Vec<_>>(), 0, &[]))
            .collect();
    }
    scanned(op, inputs, 0)
}

/// Scans the operands behind `first` others.
fn scanned(op: &Scan, inputs: &[Option<Tensor>], first: usize) -> Vec<Tensor> {
    let at = |axis: i64, rank: usize| if axis < 0 { (axis + rank as i64) as usize } else { axis as usize };
    let mut state: Vec<Tensor> = (0..op.states).map(|index| input(inputs, first + index).clone()).collect();
    let over: Vec<&Tensor> = (0..op.inputs.len()).map(|index| input(inputs, first + op.states + index)).collect();
    let axis = |index: usize| at(op.inputs[index].0, over[index].shape().len());
    let length = over[0].shape()[axis(0)];
    let mut stacks: Vec<Vec<Tensor>> = vec![Vec::new(); op.outputs.len()];
    for step in 0..length {
        let slices = (0..over.len()).map(|index| {
            let place = if op.inputs[index].1 { length - 1 - step } else { step };
            slice(over[index], axis(index), place)
        });
        let given: Vec<Tensor> = state.iter().cloned().chain(slices).collect();
        let mut made = interpret(&op.body[0], &given, inputs);
        stacks.iter_mut().zip(made.split_off(op.states)).for_each(|(stack, made)| stack.push(made));
        state = made;
    }
    let graph = &op.body[0].graph;
    for (index, stack) in stacks.iter_mut().enumerate() {
        if op.outputs[index].1 {
            stack.reverse();
        }
        let none = graph.fact(graph.outputs()[op.states + index]).shape.as_fixed().unwrap();
        let rank = none.len() + 1;
        state.push(stacked(stack, at(op.outputs[index].0, rank), &none));
    }
    state
}
