//! ONNX operators that are known and refused, with the reason.

use std::sync::Arc;

use crate::{
    error::{Error, Result},
    op::{OnnxNode, Operator},
};

/// The size of the result is only known once the data is, which no plan of a run can be made for.
pub(crate) fn data_dependent(node: &mut OnnxNode<'_>) -> Result<Arc<dyn Operator>> {
    Err(Error::unsupported(format!("the size of the result of {} depends on the data", node.op_type())))
}
