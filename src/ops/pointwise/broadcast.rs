//! Shape and batch axes of operators whose operands broadcast to one result.

use crate::{
    error::Result,
    op::Inputs,
    shape::{Dim, Shape},
};

/// The shape to which all operands broadcast.
pub(crate) fn broadcast_shape(inputs: &Inputs<'_>) -> Result<Shape> {
    let mut shape = Shape::scalar();
    for index in 0..inputs.len() {
        shape = inputs.broadcast(&shape, &inputs.required(index)?.shape)?;
    }
    Ok(shape)
}

/// [`Operator::batch_axes`](crate::op::Operator::batch_axes) for operands that broadcast to one
/// output.
///
/// The items' axis must be the same for all operands that have one; the others must not vary along
/// it.
pub(crate) fn broadcast_batch_axes(
    inputs: &Inputs<'_>,
    axes: &[Option<usize>],
    size: &Dim,
) -> Option<Vec<Option<usize>>> {
    let output = broadcast_shape(inputs).ok()?;
    let mut found = None;
    for (index, axis) in axes.iter().enumerate() {
        if let Some(axis) = axis {
            let shape = &inputs.fact(index)?.shape;
            let aligned = axis + output.rank() - shape.rank();
            if shape[*axis] != *size || *found.get_or_insert(aligned) != aligned {
                return None;
            }
        }
    }
    let Some(batch) = found else { return Some(vec![None]) };
    for (index, axis) in axes.iter().enumerate() {
        let shape = &inputs.fact(index)?.shape;
        let own = (batch + shape.rank()).checked_sub(output.rank());
        if axis.is_none() && own.is_some_and(|own| shape[own].as_fixed() != Some(1)) {
            return None;
        }
    }
    (output[batch] == *size).then(|| vec![Some(batch)])
}
