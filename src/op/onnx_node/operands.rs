//! Operands of an ONNX node that become attributes.

use std::sync::Arc;

use crate::{
    error::{Error, Result},
    op::OnnxNode,
    shape::Dim,
    tensor::Tensor,
};

impl OnnxNode<'_> {
    /// Removes operand `index` and all after it, unread.
    pub fn drop_inputs(&mut self, index: usize) {
        self.inputs.truncate(index);
    }

    /// Removes operand `index` and all after it; returns its elements, `None` if absent.
    ///
    /// They must be known at load: constant, or computed from shapes alone. Take the last operand
    /// first.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) when the elements depend on the
    /// inputs' data.
    pub fn take_integers(&mut self, index: usize) -> Result<Option<Vec<Dim>>> {
        let known = match self.inputs().id(index) {
            None => None,
            Some(id) => Some(self.graph.fact(id).elements.clone().ok_or_else(|| {
                let name = &self.graph.value(id).name;
                Error::unsupported(format!(
                    "operand `{name}` must be known when the model is loaded, but depends on data"
                ))
            })?),
        };
        self.inputs.truncate(index);
        Ok(known)
    }

    /// As [`take_integers`](Self::take_integers), where symbolic elements are refused.
    ///
    /// # Errors
    /// As [`take_integers`](Self::take_integers), and when a number depends on an input's shape.
    pub fn take_numbers(&mut self, index: usize) -> Result<Option<Vec<i64>>> {
        let Some(dims) = self.take_integers(index)? else { return Ok(None) };
        let fixed = dims.iter().map(Dim::as_fixed).collect::<Option<Vec<_>>>();
        fixed.map(Some).ok_or_else(|| Error::unsupported(format!("operand {index} depends on an input's shape")))
    }

    /// Removes operand `index` and all after it; returns its tensor, which must be constant.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) when it is not.
    pub fn take_constant(&mut self, index: usize) -> Result<Option<Arc<Tensor>>> {
        let known = match self.inputs().id(index) {
            None => None,
            Some(id) => Some(self.graph.constant_of(id).cloned().ok_or_else(|| {
                Error::unsupported(format!("operand `{}` must be constant", self.graph.value(id).name))
            })?),
        };
        self.inputs.truncate(index);
        Ok(known)
    }
}
