//! Rows along one axis, or along all axes from it on, as `Softmax` and `Hardmax` take them.

use crate::{
    error::{Error, Result},
    graph::Fact,
    op::{Inputs, OnnxNode},
    shape::normalize_axis,
};

/// Which axes of a tensor make its rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RowAxis {
    /// The axis; negative counts from the end.
    pub(crate) axis: i64,
    /// Whether the axes after it belong to the row, as in ONNX before opset 13.
    pub(crate) to_end: bool,
}

impl RowAxis {
    /// Reads the axis of a node; `what` names the operator in messages.
    ///
    /// # Errors
    /// When the axis is out of range, or stands behind the last one.
    pub(super) fn decode(node: &mut OnnxNode<'_>, what: &str) -> Result<Self> {
        let rank = node.inputs().required(0)?.shape.rank();
        let old = node.opset() < 13;
        let axis = node.int("axis")?.unwrap_or(if old { 1 } else { -1 });
        // The rank as axis made a matrix of one column: rows of single elements.
        if old && axis == rank as i64 && rank > 0 {
            return Err(Error::unsupported(format!("{what} over axis {axis} of {rank} dimensions")));
        }
        let to_end = old && normalize_axis(axis, rank)? + 1 < rank;
        Ok(Self { axis, to_end })
    }

    /// The result's fact: as the floating-point operand.
    ///
    /// # Errors
    /// When the operand is none, or the axis is out of range.
    pub(super) fn infer(self, inputs: &Inputs<'_>, what: &str) -> Result<Vec<Fact>> {
        inputs.expect(1, 1)?;
        let input = inputs.required(0)?;
        if !input.dtype.is_float() {
            return Err(Error::unsupported(format!("{what} of elements of type {}", input.dtype)));
        }
        input.shape.axis(self.axis)?;
        Ok(vec![Fact::new(input.dtype, input.shape.clone())])
    }

    /// As [`Operator::batch_axes`](crate::op::Operator::batch_axes): items must not lie along a row.
    pub(super) fn batch_axes(self, inputs: &Inputs<'_>, axes: &[Option<usize>]) -> Option<Vec<Option<usize>>> {
        let own = inputs.fact(0)?.shape.axis(self.axis).ok()?;
        let mixed = axes[0].is_some_and(|batch| batch == own || (self.to_end && batch > own));
        (!mixed).then(|| vec![axes[0]])
    }

    /// The elements of a row, and the distance between two of them.
    ///
    /// # Errors
    /// When the axis is out of range.
    pub(crate) fn row(self, shape: &[usize]) -> Result<(usize, usize)> {
        let axis = normalize_axis(self.axis, shape.len())?;
        let inner = shape[axis + 1..].iter().product::<usize>();
        Ok(if self.to_end { (shape[axis] * inner, 1) } else { (shape[axis], inner) })
    }
}
