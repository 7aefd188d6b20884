//! Nodes that hold graphs: each graph has a session of its own, whose values move in and out.

use crate::{
    backend::cpu::dynamic::{
        DynamicSession,
        run::{Run, bind},
        slices::{slice, stack},
    },
    error::{Error, Result},
    graph::Fact,
    op::Body,
    ops::control::scan::Scan,
    shape::{Bindings, Symbol, normalize_axis},
    tensor::{Tensor, Value},
};

/// The graph of a node, loaded.
pub(super) struct BodySession {
    pub session: Box<DynamicSession>,
    /// The operands of the node that are its last inputs.
    captured: Vec<usize>,
    outer_symbols: usize,
}

impl BodySession {
    pub(super) fn new(body: &Body, session: DynamicSession) -> Self {
        Self { session: Box::new(session), captured: body.captured.clone(), outer_symbols: body.outer_symbols }
    }

    /// Runs the graph on what the operator gives it, and the operands that it captures.
    fn run(
        &self,
        run: &mut Run,
        outer: &Bindings,
        given: Vec<Value>,
        operands: &[Option<Value>],
    ) -> Result<Vec<Value>> {
        let graph = &self.session.graph;
        let mut bindings = Bindings::default();
        for symbol in (0..self.outer_symbols as u32).map(Symbol) {
            if let Some(size) = outer.get(symbol) {
                bindings.bind(symbol, size);
            }
        }
        bindings.extend(graph.fixed_symbols());
        let mut inputs = given;
        for &operand in &self.captured {
            let value = operands.get(operand).cloned().flatten();
            inputs.push(value.ok_or_else(|| Error::internal("a captured value is missing"))?);
        }
        for (&id, input) in graph.inputs().iter().zip(&inputs) {
            bind(graph.fact(id), input, &mut bindings)
                .map_err(|error| error.context(format!("`{}` of a graph within", graph.value(id).name)))?;
        }
        self.session.execute(run, &mut bindings, inputs)
    }
}

/// A node that holds graphs.
pub(super) enum Control {
    If([BodySession; 2]),
    Loop { body: BodySession, carried: usize },
    Scan { body: BodySession, op: Scan },
    Map { body: BodySession, operands: usize },
}

impl Control {
    /// The sessions of the graphs.
    pub(super) fn sessions(&self) -> Vec<&DynamicSession> {
        match self {
            Self::If(branches) => branches.iter().map(|body| &*body.session).collect(),
            Self::Loop { body, .. } | Self::Scan { body, .. } | Self::Map { body, .. } => vec![&*body.session],
        }
    }

    /// Runs the node on its operands.
    pub(super) fn run(&self, run: &mut Run, outer: &Bindings, operands: Vec<Option<Value>>) -> Result<Vec<Value>> {
        match self {
            Self::If([then, other]) => {
                let condition = flag(&operands, 0)?.ok_or_else(|| Error::internal("an If has no condition"))?;
                (if condition { then } else { other }).run(run, outer, Vec::new(), &operands)
            }
            Self::Loop { body, carried } => repeat(body, *carried, run, outer, &operands),
            Self::Scan { body, op } if op.batched => scan_items(body, op, run, outer, &operands),
            Self::Scan { body, op } => scan(body, op, run, outer, &operands),
            Self::Map { body, operands: count } => map(body, *count, run, outer, &operands),
        }
    }
}

/// The single number of an operand, `None` where it is absent.
fn number(operands: &[Option<Value>], index: usize) -> Result<Option<i64>> {
    let Some(value) = operands.get(index).and_then(Option::as_ref) else { return Ok(None) };
    let numbers = value.as_tensor().map(Tensor::to_i64).transpose()?.unwrap_or_default();
    match numbers.as_slice() {
        [number] => Ok(Some(*number)),
        _ => Err(Error::invalid_input(format!("operand {index} is {}, expected one number", value.describe()))),
    }
}

fn flag(operands: &[Option<Value>], index: usize) -> Result<Option<bool>> {
    Ok(number(operands, index)?.map(|number| number != 0))
}

/// The operands `range` of a node, all of which are there.
fn values(operands: &[Option<Value>], range: std::ops::Range<usize>) -> Result<Vec<Value>> {
    let values = range.map(|index| operands.get(index).cloned().flatten());
    values.collect::<Option<_>>().ok_or_else(|| Error::internal("an operand of a graph is missing"))
}

fn repeat(
    body: &BodySession,
    carried: usize,
    run: &mut Run,
    outer: &Bindings,
    operands: &[Option<Value>],
) -> Result<Vec<Value>> {
    let most = number(operands, 0)?.unwrap_or(i64::MAX);
    let mut again = flag(operands, 1)?.unwrap_or(true);
    let mut state = values(operands, 2..2 + carried)?;
    let outputs = body.session.graph.outputs();
    let mut stacked: Vec<Vec<Tensor>> = vec![Vec::new(); outputs.len() - 1 - carried];
    let mut iteration = 0i64;
    while again && iteration < most {
        run.iterate()?;
        let mut given = vec![Tensor::scalar(iteration).into(), Tensor::from_bools([], &[true])?.into()];
        given.append(&mut state);
        let mut results = body.run(run, outer, given, operands)?.into_iter();
        let condition = [results.next()];
        again = flag(&condition, 0)?.unwrap_or(true);
        state.extend(results.by_ref().take(carried));
        for (stack, value) in stacked.iter_mut().zip(results) {
            stack.push(tensor(value)?);
        }
        iteration += 1;
    }
    for (stack, id) in stacked.into_iter().zip(&outputs[1 + carried..]) {
        state.push(stack_of(&stack, 0, body.session.graph.fact(*id), outer)?);
    }
    Ok(state)
}

fn tensor(value: Value) -> Result<Tensor> {
    match value {
        Value::Tensor(tensor) => Ok(tensor),
        other => Err(Error::invalid_input(format!("{} is given where a tensor is expected", other.describe()))),
    }
}

fn map(
    body: &BodySession,
    count: usize,
    run: &mut Run,
    outer: &Bindings,
    operands: &[Option<Value>],
) -> Result<Vec<Value>> {
    let own = values(operands, 0..count)?;
    let Some(Value::Sequence(first)) = own.first() else {
        return Err(Error::internal("a SequenceMap has no sequence"));
    };
    let mut made: Vec<Vec<Value>> = vec![Vec::new(); body.session.graph.outputs().len()];
    for index in 0..first.len() {
        run.iterate()?;
        let given = own.iter().map(|value| match value {
            Value::Sequence(values) => values
                .get(index)
                .cloned()
                .ok_or_else(|| Error::invalid_input("the sequences have unlike numbers of elements")),
            other => Ok(other.clone()),
        });
        let results = body.run(run, outer, given.collect::<Result<_>>()?, operands)?;
        made.iter_mut().zip(results).for_each(|(sequence, value)| sequence.push(value));
    }
    Ok(made.into_iter().map(Value::Sequence).collect())
}

/// The values that an output of a graph had, stacked along a new axis; `fact` gives their shape where there are none.
fn stack_of(tensors: &[Tensor], axis: i64, fact: &Fact, outer: &Bindings) -> Result<Value> {
    let none = || fact.shape.dims().iter().map(|dim| dim.eval_size(outer).unwrap_or(0)).collect();
    let shape = tensors.first().map_or_else(none, |tensor| tensor.shape().to_vec());
    Ok(stack(tensors, normalize_axis(axis, shape.len() + 1)?, fact.dtype, &shape)?.into())
}

fn scan(
    body: &BodySession,
    op: &Scan,
    run: &mut Run,
    outer: &Bindings,
    operands: &[Option<Value>],
) -> Result<Vec<Value>> {
    let state = values(operands, 0..op.states)?;
    let scanned = values(operands, op.states..op.states + op.inputs.len())?;
    let scanned = scanned.into_iter().map(tensor).collect::<Result<Vec<_>>>()?;
    scan_slices(body, op, run, outer, operands, state, &scanned)
}

/// Runs the graph on each slice, and gives the last states and the stacked results.
fn scan_slices(
    body: &BodySession,
    op: &Scan,
    run: &mut Run,
    outer: &Bindings,
    operands: &[Option<Value>],
    mut state: Vec<Value>,
    scanned: &[Tensor],
) -> Result<Vec<Value>> {
    let axes = scanned.iter().zip(&op.inputs).map(|(tensor, (axis, _))| normalize_axis(*axis, tensor.shape().len()));
    let axes = axes.collect::<Result<Vec<_>>>()?;
    let length = scanned.first().zip(axes.first()).map_or(0, |(tensor, &axis)| tensor.shape()[axis]);
    if scanned.iter().zip(&axes).any(|(tensor, &axis)| tensor.shape()[axis] != length) {
        return Err(Error::invalid_input("the scanned operands have unlike numbers of slices"));
    }
    let mut stacked: Vec<Vec<Tensor>> = vec![Vec::new(); op.outputs.len()];
    for index in 0..length {
        run.iterate()?;
        let mut given = std::mem::take(&mut state);
        for ((tensor, &axis), (_, reversed)) in scanned.iter().zip(&axes).zip(&op.inputs) {
            let index = if *reversed { length - 1 - index } else { index };
            given.push(slice(tensor, axis, index)?.into());
        }
        let mut results = body.run(run, outer, given, operands)?.into_iter();
        state.extend(results.by_ref().take(op.states));
        for (stack, value) in stacked.iter_mut().zip(results) {
            stack.push(tensor(value)?);
        }
    }
    let graph = &body.session.graph;
    for ((mut stack, (axis, reversed)), id) in stacked.into_iter().zip(&op.outputs).zip(&graph.outputs()[op.states..]) {
        if *reversed {
            stack.reverse();
        }
        state.push(stack_of(&stack, *axis, graph.fact(*id), outer)?);
    }
    Ok(state)
}

/// The first version: each item of the batch by itself, up to its own length.
fn scan_items(
    body: &BodySession,
    op: &Scan,
    run: &mut Run,
    outer: &Bindings,
    operands: &[Option<Value>],
) -> Result<Vec<Value>> {
    let first = op.first();
    let states = values(operands, first..first + op.states)?.into_iter().map(tensor).collect::<Result<Vec<_>>>()?;
    let scanned = values(operands, first + op.states..first + op.states + op.inputs.len())?;
    let scanned = scanned.into_iter().map(tensor).collect::<Result<Vec<_>>>()?;
    let &[items, length, ..] = scanned.first().map_or(&[][..], Tensor::shape) else {
        return Err(Error::invalid_input("the operands have no items to scan"));
    };
    let lengths = match operands.first().and_then(Option::as_ref).and_then(Value::as_tensor) {
        Some(lengths) => lengths.to_i64()?,
        None => vec![length as i64; items],
    };
    if lengths.len() != items || states.iter().chain(&scanned).any(|tensor| tensor.shape()[0] != items) {
        return Err(Error::invalid_input("the operands have unlike numbers of items"));
    }
    let mut results: Vec<Vec<Tensor>> = vec![Vec::new(); op.states + op.outputs.len()];
    for (item, &own) in lengths.iter().enumerate() {
        let own = usize::try_from(own).ok().filter(|own| *own <= length);
        let own =
            own.ok_or_else(|| Error::invalid_input(format!("the length of item {item} is not within {length}")))?;
        let state = states.iter().map(|tensor| Ok(slice(tensor, 0, item)?.into())).collect::<Result<Vec<_>>>()?;
        let parts = scanned.iter().zip(&op.inputs).map(|(tensor, (_, reversed))| {
            let part = slice(tensor, 0, item)?;
            let order = (0..own).map(|index| if *reversed { own - 1 - index } else { index });
            let rows = order.map(|index| slice(&part, 0, index)).collect::<Result<Vec<_>>>()?;
            stack(&rows, 0, part.dtype(), &part.shape()[1..])
        });
        let parts = parts.collect::<Result<Vec<_>>>()?;
        let forwards = Scan { inputs: vec![(0, false); op.inputs.len()], ..op.clone() };
        let made = scan_slices(body, &forwards, run, outer, operands, state, &parts)?;
        for (index, (result, value)) in results.iter_mut().zip(made).enumerate() {
            let made = tensor(value)?;
            result.push(if index < op.states { made } else { padded(&made, length)? });
        }
    }
    let graph = &body.session.graph;
    let results = results.into_iter().zip(graph.outputs());
    results.map(|(result, id)| stack_of(&result, 0, graph.fact(*id), outer)).collect()
}

/// The tensor with zeros behind its rows, up to `length` rows.
fn padded(tensor: &Tensor, length: usize) -> Result<Tensor> {
    let mut shape = tensor.shape().to_vec();
    shape[0] = length;
    let mut whole = Tensor::zeros(tensor.dtype(), shape)?;
    whole.bytes_mut()[..tensor.bytes().len()].copy_from_slice(tensor.bytes());
    Ok(whole)
}
