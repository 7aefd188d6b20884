//! Bytes without their zero points.

use crate::{
    error::{Error, Result},
    graph::Fact,
    tensor::{DType, View},
};

/// The bytes of `view` less their zero points.
///
/// Elements are `[outer, groups, inner]`, with a zero point for each group, or one for all.
///
/// # Errors
/// When the zero points are neither.
pub(super) fn centered(view: View<'_>, zero_points: Option<View<'_>>, groups: usize, inner: usize) -> Result<Vec<i16>> {
    let wide = |view: View<'_>| -> Result<Vec<i16>> {
        match view.dtype {
            DType::I8 => Ok(view.slice::<i8>()?.iter().map(|&x| x.into()).collect()),
            DType::U8 => Ok(view.slice::<u8>()?.iter().map(|&x| x.into()).collect()),
            other => Err(Error::internal(format!("a product of {other} was not refused"))),
        }
    };
    let mut numbers = wide(view)?;
    let Some(zero_points) = zero_points else { return Ok(numbers) };
    let all = wide(zero_points)?;
    match all.as_slice() {
        [zero] => numbers.iter_mut().for_each(|x| *x -= zero),
        all if all.len() == groups => {
            for (row, numbers) in numbers.chunks_mut(inner.max(1)).enumerate() {
                let zero = all[row % groups];
                numbers.iter_mut().for_each(|x| *x -= zero);
            }
        }
        all => {
            let (count, shape) = (all.len(), view.shape);
            return Err(Error::invalid_input(format!("{count} zero points for an operand of shape {shape:?}")));
        }
    }
    Ok(numbers)
}

/// Whether a fact is of bytes.
pub(super) fn is_bytes(fact: &Fact) -> bool {
    matches!(fact.dtype, DType::I8 | DType::U8)
}

/// Whether a fact has one element.
pub(super) fn is_one(fact: &Fact) -> bool {
    fact.shape.elements().as_fixed() == Some(1)
}
