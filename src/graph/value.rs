//! Values and what is known of them before any run.

use std::{fmt, sync::Arc};

use crate::{
    shape::{Dim, Shape},
    tensor::{DType, Tensor},
};

/// The most elements of one value that shape inference tracks.
pub const MAX_TRACKED: usize = 1024;

/// The identifier of a value in one graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ValueId(pub(crate) u32);

impl ValueId {
    /// The position among the graph's values.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// What is known of a value before any run.
#[derive(Clone, Debug, PartialEq)]
pub struct Fact {
    /// The elements' type.
    pub dtype: DType,
    /// The dimensions.
    pub shape: Shape,
    /// The elements, row-major, of a small tensor of integers or booleans (0 or 1) that depends on
    /// shapes alone.
    pub elements: Option<Vec<Dim>>,
}

impl Fact {
    /// A fact with type and shape alone.
    pub(crate) fn new(dtype: DType, shape: Shape) -> Self {
        Self { dtype, shape, elements: None }
    }

    /// The same with known integer elements, dropped if they are more than [`MAX_TRACKED`].
    #[must_use]
    pub(crate) fn with_elements(mut self, elements: Option<Vec<Dim>>) -> Self {
        self.elements = elements.filter(|elements| elements.len() <= MAX_TRACKED);
        self
    }

    /// The fact of a constant.
    pub(crate) fn of(tensor: &Tensor) -> Self {
        let elements = (!tensor.dtype().is_float() && tensor.len() <= MAX_TRACKED)
            .then(|| tensor.to_i64().ok())
            .flatten()
            .map(|integers| integers.into_iter().map(Dim::number).collect());
        Self { dtype: tensor.dtype(), shape: Shape::fixed(tensor.shape()), elements }
    }
}

impl fmt::Display for Fact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.dtype, self.shape)
    }
}

/// A value: an input, a constant (ONNX: initializer), or the output of a node.
#[derive(Clone, Debug)]
pub struct Value {
    /// The name: of an input or output, else for messages.
    pub name: String,
    /// What is known of it before any run.
    pub fact: Fact,
    /// The tensor, if the value is a constant.
    pub constant: Option<Arc<Tensor>>,
}
