//! What every operator implements.

use std::{any::Any, fmt::Debug};

use crate::{
    error::Result,
    graph::Fact,
    op::{Inputs, OpDef},
    shape::Dim,
};

/// An operator with its attributes.
pub trait Operator: Any + Debug + Send + Sync {
    /// Its entry in the list of operators.
    fn def(&self) -> &'static OpDef;

    /// Types and shapes of the outputs.
    ///
    /// # Errors
    /// When the operands do not fit: their number, types or shapes.
    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>>;

    /// The number of sizes that only a run tells.
    ///
    /// Each is a symbol that results' shapes may mention. A node with such a
    /// result runs by [`CpuKernel::compute`](crate::op::CpuKernel::compute).
    ///
    /// # Errors
    /// When the operands do not fit.
    fn measures(&self, inputs: &Inputs<'_>) -> Result<usize> {
        let _ = inputs;
        Ok(0)
    }

    /// The axis of the items in each output, if items stay independent.
    ///
    /// Along that axis, element `i` of the output depends on element `i` of the operands alone.
    /// `axes` holds the items' axis of each operand, and `size` is the number of items; an operand
    /// or output that does not depend on the items has no axis. `None` for the whole: items may
    /// mix.
    fn batch_axes(&self, inputs: &Inputs<'_>, axes: &[Option<usize>], size: &Dim) -> Option<Vec<Option<usize>>> {
        let _ = (inputs, axes, size);
        None
    }
}

impl dyn Operator {
    /// The operator, if it is a `T`.
    pub fn downcast_ref<T: Operator>(&self) -> Option<&T> {
        (self as &dyn Any).downcast_ref()
    }
}
