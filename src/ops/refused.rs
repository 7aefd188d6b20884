//! ONNX operators that are refused with a reason of their own.

use std::sync::Arc;

use crate::{
    error::{Error, Result},
    op::{OnnxNode, Operator},
};

/// Refuses an operator whose result's size depends on data, which no plan supports.
pub(crate) fn data_dependent(node: &mut OnnxNode<'_>) -> Result<Arc<dyn Operator>> {
    Err(Error::unsupported(format!("the size of the result of {} depends on the data", node.op_type())))
}
