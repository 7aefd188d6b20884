//! Values and what is known of them before any run.

use std::{fmt, sync::Arc};

use crate::{
    shape::{Bindings, Dim, Shape},
    tensor::{DType, Tensor},
};

/// The most elements of one value that shape inference tracks.
pub const MAX_TRACKED: usize = 1024;
/// The most terms and factors of an element that is tracked.
const MAX_TRACKED_WEIGHT: usize = 256;

/// The most elements of a constant of floating-point numbers that are tracked.
const MAX_FLOATS: usize = 16;

/// Up to this f32 counts exactly.
pub const MAX_EXACT: i64 = 1 << 24;

/// The identifier of a value in one graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ValueId(pub(crate) u32);

impl ValueId {
    /// The position among the graph's values.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// What is known of the shape of the tensors in a sequence or optional value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum ElementShape {
    /// There are no tensors.
    Never,
    /// Their sizes, `None` for one that varies.
    Sizes(Vec<Option<Dim>>),
    /// Not even the number of dimensions.
    Any,
}

impl ElementShape {
    /// What is known of tensors of either shape.
    #[must_use]
    pub(crate) fn join(&self, other: &Self) -> Self {
        let (a, b) = match (self, other) {
            (Self::Never, other) | (other, Self::Never) => return other.clone(),
            (Self::Sizes(a), Self::Sizes(b)) if a.len() == b.len() => (a, b),
            _ => return Self::Any,
        };
        Self::Sizes(a.iter().zip(b).map(|(a, b)| if a == b { a.clone() } else { None }).collect())
    }

    /// The shape with each known size changed.
    #[must_use]
    pub(crate) fn map(&self, change: impl Fn(&Dim) -> Option<Dim>) -> Self {
        match self {
            Self::Sizes(dims) => Self::Sizes(dims.iter().map(|dim| dim.as_ref().and_then(&change)).collect()),
            other => other.clone(),
        }
    }
}

/// What a value is.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) enum Kind {
    #[default]
    Tensor,
    /// A sequence of such tensors.
    Sequence(ElementShape),
    /// Such a tensor, or nothing.
    Optional(ElementShape),
    /// A sequence of such tensors, or nothing.
    OptionalSequence(ElementShape),
}

/// What is known of a value before any run.
#[derive(Clone, Debug, PartialEq)]
pub struct Fact {
    /// The elements' type.
    pub dtype: DType,
    /// The dimensions.
    pub shape: Shape,
    /// The elements, row-major, of a small tensor of whole numbers or booleans (0 or 1) that
    /// depends on shapes alone.
    pub elements: Option<Vec<Dim>>,
    /// What it is; type and shape above are a tensor's, the type also that of a sequence's tensors.
    pub(crate) kind: Kind,
}

impl Fact {
    /// A fact with type and shape alone.
    pub(crate) fn new(dtype: DType, shape: Shape) -> Self {
        Self { dtype, shape, elements: None, kind: Kind::Tensor }
    }

    /// The fact of a value that is no tensor, of tensors of that type.
    pub(crate) fn of_kind(dtype: DType, kind: Kind) -> Self {
        Self { kind, ..Self::new(dtype, Shape::scalar()) }
    }

    /// Whether it is a tensor.
    pub(crate) fn is_tensor(&self) -> bool {
        self.kind == Kind::Tensor
    }

    /// The sizes of the tensor, or of the tensors in the sequence or optional value.
    pub(crate) fn element_shape(&self) -> ElementShape {
        match &self.kind {
            Kind::Tensor => ElementShape::Sizes(self.shape.dims().iter().cloned().map(Some).collect()),
            Kind::Sequence(shape) | Kind::Optional(shape) | Kind::OptionalSequence(shape) => shape.clone(),
        }
    }

    /// The same with known integer elements, dropped if they are more than [`MAX_TRACKED`] or their expressions are long:
    /// what is computed from them is then measured in each run.
    #[must_use]
    pub(crate) fn with_elements(mut self, elements: Option<Vec<Dim>>) -> Self {
        let is_short = |dim: &Dim| dim.is_valid() && dim.weight() <= MAX_TRACKED_WEIGHT;
        self.elements = elements.filter(|elements| elements.len() <= MAX_TRACKED && elements.iter().all(is_short));
        self
    }

    /// Puts the numbers of the symbols that are bound into sizes and elements.
    pub(super) fn substitute(&mut self, bindings: &Bindings) {
        self.shape = self.shape.substitute(bindings);
        for element in self.elements.iter_mut().flatten() {
            *element = element.substitute(bindings);
        }
        if let Kind::Sequence(shape) | Kind::Optional(shape) | Kind::OptionalSequence(shape) = &mut self.kind {
            *shape = shape.map(|dim| Some(dim.substitute(bindings)));
        }
    }

    /// The fact of a constant.
    pub(crate) fn of(tensor: &Tensor) -> Self {
        let integers = match tensor.dtype().is_float() {
            true => whole_numbers(tensor),
            false => (tensor.len() <= MAX_TRACKED).then(|| tensor.to_i64().ok()).flatten(),
        };
        let elements = integers.map(|integers| integers.into_iter().map(Dim::number).collect());
        Self { dtype: tensor.dtype(), shape: Shape::fixed(tensor.shape()), elements, kind: Kind::Tensor }
    }
}

/// The elements of a small tensor of f32, if all are whole numbers that f32 counts exactly.
fn whole_numbers(tensor: &Tensor) -> Option<Vec<i64>> {
    let numbers = tensor.as_slice::<f32>().ok().filter(|numbers| numbers.len() <= MAX_FLOATS)?;
    let whole = |number: &f32| (number.fract() == 0.0 && number.abs() <= MAX_EXACT as f32).then_some(*number as i64);
    numbers.iter().map(whole).collect()
}

impl fmt::Display for Fact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match &self.kind {
            Kind::Tensor => return write!(f, "{}{}", self.dtype, self.shape),
            Kind::Sequence(_) => "a sequence of tensors",
            Kind::Optional(_) => "an optional tensor",
            Kind::OptionalSequence(_) => "an optional sequence of tensors",
        };
        write!(f, "{what} of {}", self.dtype)
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
