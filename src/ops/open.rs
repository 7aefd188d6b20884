//! Results whose sizes are known in part; the node measures the others.

use crate::{
    error::Result,
    graph::{ElementShape, Fact, Kind},
    op::{Body, Inputs},
    shape::{Dim, Shape},
    tensor::DType,
};

/// A size of a result.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Size {
    Known(Dim),
    /// The size of that number among those that the node measures.
    Measured(usize),
}

/// A result with sizes that a run tells.
#[derive(Clone, Debug)]
pub(crate) enum Open {
    Tensor(DType, Vec<Size>),
    Other(DType, Kind),
}

/// Numbers the sizes that a node measures.
#[derive(Debug, Default)]
pub(crate) struct Measured(usize);

impl Measured {
    /// A size that is equal to no other.
    pub(crate) fn size(&mut self) -> Size {
        self.0 += 1;
        Size::Measured(self.0 - 1)
    }

    /// The size, measured where it is not known.
    pub(crate) fn or(&mut self, known: Option<Dim>) -> Size {
        known.map_or_else(|| self.size(), Size::Known)
    }

    /// A result of a body, as the enclosing graph knows it.
    pub(crate) fn outer(&mut self, body: &Body, fact: &Fact) -> Open {
        let known = |dim: &Dim| body.is_outer(dim).then(|| dim.clone());
        match &fact.kind {
            Kind::Tensor => Open::Tensor(fact.dtype, fact.shape.dims().iter().map(|dim| self.or(known(dim))).collect()),
            kind => Open::Other(fact.dtype, within(kind, |shape| outer_shape(body, shape))),
        }
    }
}

/// The number of sizes that the results leave to the run.
pub(crate) fn count(results: &[Open]) -> usize {
    let sizes = results.iter().filter_map(|result| match result {
        Open::Tensor(_, sizes) => Some(sizes),
        Open::Other(..) => None,
    });
    let next = |size: &Size| if let Size::Measured(index) = size { index + 1 } else { 0 };
    sizes.flatten().map(next).max().unwrap_or(0)
}

/// The facts of the results, with the symbols of the node.
pub(crate) fn facts(results: Vec<Open>, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
    let size = |size: Size| match size {
        Size::Known(dim) => Ok(dim),
        Size::Measured(index) => inputs.measured(index),
    };
    let fact = |result: Open| match result {
        Open::Tensor(dtype, sizes) => Ok(Fact::new(dtype, sizes.into_iter().map(size).collect::<Result<Shape>>()?)),
        Open::Other(dtype, kind) => Ok(Fact::of_kind(dtype, kind)),
    };
    results.into_iter().map(fact).collect()
}

/// The kind with another shape of its tensors.
pub(crate) fn within(kind: &Kind, change: impl FnOnce(&ElementShape) -> ElementShape) -> Kind {
    match kind {
        Kind::Tensor => Kind::Tensor,
        Kind::Sequence(shape) => Kind::Sequence(change(shape)),
        Kind::Optional(shape) => Kind::Optional(change(shape)),
        Kind::OptionalSequence(shape) => Kind::OptionalSequence(change(shape)),
    }
}

/// What the enclosing graph knows of the shape of tensors.
pub(crate) fn outer_shape(body: &Body, shape: &ElementShape) -> ElementShape {
    shape.map(|dim| body.is_outer(dim).then(|| dim.clone()))
}
