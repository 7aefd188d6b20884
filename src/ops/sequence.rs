//! Operators on sequences and optional values.

pub mod access;
pub mod concat_from;
pub mod construct;
pub mod edit;
pub mod optional;
pub mod split_to;

use crate::{
    error::{Error, Result},
    graph::{ElementShape, Fact, Kind},
    op::{Inputs, OpDef},
    tensor::{Tensor, Value},
};

/// The operators of this family.
pub(super) fn operators() -> impl Iterator<Item = &'static OpDef> {
    [
        &access::AT,
        &access::LENGTH,
        &concat_from::DEF,
        &construct::CONSTRUCT,
        &construct::EMPTY,
        &edit::ERASE,
        &edit::INSERT,
        &optional::GET,
        &optional::HAS,
        &optional::OPTIONAL,
        &optional::SAME,
        &split_to::DEF,
    ]
    .into_iter()
}

/// Why sequences and optional values stay on the host.
const HOST: &str = "sequences and optional values are kept on the cpu";

/// The fact of an operand that is a sequence, and the shape of its tensors.
fn sequence<'a>(inputs: &Inputs<'a>, index: usize) -> Result<(&'a Fact, &'a ElementShape)> {
    let fact = inputs.required(index)?;
    match &fact.kind {
        Kind::Sequence(shape) => Ok((fact, shape)),
        _ => Err(Error::invalid_model(format!("operand {index} is {fact}, expected a sequence"))),
    }
}

/// The elements of an operand that is a sequence.
fn elements<'a>(inputs: &[Option<&'a Value>], index: usize) -> Result<&'a [Value]> {
    match inputs.get(index) {
        Some(Some(Value::Sequence(elements))) => Ok(elements),
        _ => Err(Error::internal(format!("operand {index} is no sequence"))),
    }
}

/// An operand that is a tensor, `None` where it is absent.
fn tensor<'a>(inputs: &[Option<&'a Value>], index: usize) -> Result<Option<&'a Tensor>> {
    match inputs.get(index).copied().flatten() {
        None => Ok(None),
        Some(Value::Tensor(tensor)) => Ok(Some(tensor)),
        Some(other) => Err(Error::internal(format!("operand {index} is {}", other.describe()))),
    }
}

/// The place that an operand says, of `count`; negative ones count from the end.
fn place(inputs: &[Option<&Value>], index: usize, count: usize) -> Result<Option<usize>> {
    let Some(tensor) = tensor(inputs, index)? else { return Ok(None) };
    let &[number] = tensor.to_i64()?.as_slice() else {
        return Err(Error::invalid_input(format!("the position is {tensor:?}, expected one number")));
    };
    let front = if number < 0 { number.saturating_add(count as i64) } else { number };
    Ok(usize::try_from(front).ok().map(Some).unwrap_or(Some(usize::MAX)))
}

/// The error for a position that a sequence does not have.
fn outside(place: usize, count: usize) -> Error {
    let place = if place == usize::MAX { "before the first".to_owned() } else { place.to_string() };
    Error::invalid_input(format!("position {place} of a sequence of {count} elements"))
}
