//! Forms of nodes that only old opsets have, brought to the later ones.

use crate::{
    error::{Error, Result},
    graph::{Graph, ValueId},
    import::onnx::convert::call::Call,
    op::Attribute,
    ops::moves::reshape::Reshape,
    shape::{Dim, Shape},
};

/// The operators of two operands that broadcast by attributes up to opset 6.
const BROADCAST: &[&str] = &["Add", "And", "Div", "Equal", "Greater", "Less", "Mul", "Or", "Pow", "Sub", "Xor"];

/// The first opset in which operands broadcast as in NumPy.
const NUMPY_BROADCAST: i64 = 7;

/// Brings a node of the default domain to the form that the decoders read.
pub(super) fn adapt(graph: &mut Graph, call: &mut Call<'_>) -> Result<()> {
    let opset = call.opset;
    if opset >= NUMPY_BROADCAST {
        return Ok(());
    }
    // A hint on memory, which every operator had in opset 1.
    if opset < 6 {
        take(call, "consumed_inputs");
    }
    match call.op_type {
        op if BROADCAST.contains(&op) => broadcast(graph, call),
        // The third operand broadcasts in all later opsets.
        "Gemm" => flag(call, "broadcast").map(|_| ()),
        "PRelu" => slope_of_channels(graph, call),
        "Selu" if opset < 6 => {
            default_float(call, "alpha", 1.6732);
            default_float(call, "gamma", 1.0507);
            Ok(())
        }
        _ => Ok(()),
    }
}

fn take(call: &mut Call<'_>, name: &str) -> Option<Attribute> {
    let index = call.attributes.iter().position(|(own, _)| own == name)?;
    Some(call.attributes.remove(index).1)
}

fn default_float(call: &mut Call<'_>, name: &str, value: f32) {
    if call.attributes.iter().all(|(own, _)| own != name) {
        call.attributes.push((name.to_owned(), Attribute::Float(value)));
    }
}

fn integer(call: &mut Call<'_>, name: &str) -> Result<Option<i64>> {
    match take(call, name) {
        None => Ok(None),
        Some(Attribute::Int(value)) => Ok(Some(value)),
        Some(_) => Err(Error::invalid_model(format!("attribute `{name}` is no integer"))),
    }
}

fn flag(call: &mut Call<'_>, name: &str) -> Result<bool> {
    Ok(integer(call, name)?.unwrap_or(0) != 0)
}

/// Aligns the second operand with the dimensions of the first from `axis` on, the last ones where
/// it is absent.
fn broadcast(graph: &mut Graph, call: &mut Call<'_>) -> Result<()> {
    let (broadcasts, axis) = (flag(call, "broadcast")?, integer(call, "axis")?);
    let &[Some(a), Some(b)] = call.inputs.as_slice() else { return Ok(()) };
    let (a, own) = (graph.fact(a).shape.clone(), graph.fact(b).shape.clone());
    if !broadcasts {
        let differs = a.rank() != own.rank();
        let what = || Error::invalid_model(format!("operands {a} and {own} without the attribute `broadcast`"));
        return if differs { Err(what()) } else { Ok(()) };
    }
    let misfit = || Error::invalid_model(format!("{own} does not broadcast to {a} from axis {axis:?} on"));
    let last = a.rank().checked_sub(own.rank()).ok_or_else(misfit)?;
    let axis = match axis {
        None => last,
        Some(axis) => a.axis(axis)?,
    };
    let behind = last.checked_sub(axis).ok_or_else(misfit)?;
    let wider = |(own, dim): (&Dim, &Dim)| own.as_fixed() != Some(1) && dim.as_fixed() == Some(1);
    if own.dims().iter().zip(&a.dims()[axis..]).any(wider) {
        return Err(misfit());
    }
    call.inputs[1] = Some(followed_by_ones(graph, call.name, b, behind)?);
    Ok(())
}

/// A slope for each channel lies along axis 1.
fn slope_of_channels(graph: &mut Graph, call: &mut Call<'_>) -> Result<()> {
    let &[Some(x), Some(slope)] = call.inputs.as_slice() else { return Ok(()) };
    let (rank, own) = (graph.fact(x).shape.rank(), graph.fact(slope).shape.clone());
    if own.rank() == 1 && own[0].as_fixed() != Some(1) && rank > 2 {
        call.inputs[1] = Some(followed_by_ones(graph, call.name, slope, rank - 2)?);
    }
    Ok(())
}

/// The value with further dimensions of size 1 at the end.
fn followed_by_ones(graph: &mut Graph, name: &str, id: ValueId, count: usize) -> Result<ValueId> {
    if count == 0 {
        return Ok(id);
    }
    let dims = graph.fact(id).shape.dims().iter().cloned();
    let shape: Shape = dims.chain(std::iter::repeat_n(Dim::from(1), count)).collect();
    graph.apply(name, Reshape::to(&shape), &[id])
}
