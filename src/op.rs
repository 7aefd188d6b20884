//! The operator contract: what an operator is, what it is read from, and what its kernels are made of.

pub(crate) mod case;
mod constants;
mod evaluate;
mod kernel;
mod onnx_node;

use std::{any::Any, fmt::Debug, sync::Arc};

pub use case::{Case, CaseInput, Fill};
pub use constants::Form;
pub(crate) use constants::PackedConstants;
pub(crate) use evaluate::evaluate;
pub(crate) use kernel::scratch_numbers;
pub use kernel::{CpuKernel, Io, KernelRequest, Shapes};
pub use onnx_node::{Attribute, OnnxNode};

use crate::{
    error::{Error, Result},
    graph::{Fact, Graph, ValueId},
    shape::Dim,
    tensor::Tensor,
};

/// An operator with its attributes.
pub trait Operator: Any + Debug + Send + Sync {
    /// Its entry in the list.
    fn def(&self) -> &'static OpDef;

    /// Types and shapes of the outputs.
    ///
    /// # Errors
    /// When the operands do not fit: their number, types or shapes.
    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>>;

    /// For each output the axis along which item `i` depends on item `i` of the operands alone, or `None` for the whole if
    /// items could meet. `axes` holds that axis of each operand (`None`: the operand does not depend on the items), and
    /// `size` is the number of items. An output that does not depend on the items has no axis.
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

/// Reads an operator from an ONNX node.
pub type Decoder = fn(&mut OnnxNode<'_>) -> Result<Arc<dyn Operator>>;

/// One row of the list of operators.
pub struct OpDef {
    /// ONNX's name where ONNX has the operator, ours where it has not.
    pub name: &'static str,
    /// Reads the operator from an ONNX node of the default domain; `None` for operators that only rewrites make.
    pub onnx: Option<Decoder>,
    /// What every backend is tested on. Never empty.
    pub cases: fn() -> Vec<Case>,
    /// How far from the oracle a backend may be.
    pub accuracy: Accuracy,
    /// How the CPU runs it.
    pub cpu: CpuState,
    /// How a GPU runs it.
    pub gpu: GpuState,
}

impl Debug for OpDef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpDef").field("name", &self.name).finish_non_exhaustive()
    }
}

/// How far from the oracle a result may be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Accuracy {
    /// Bit for bit (moves, integers, comparisons).
    Exact,
    /// A few roundings of each element: relative 1e-5, absolute 1e-6.
    Pointwise,
    /// A sum over many elements: relative 1e-4, absolute 1e-5, both against the sum of magnitudes.
    Reduction,
}

/// How the CPU backend runs an operator.
#[derive(Clone, Copy)]
pub enum CpuState {
    /// A kernel, made once when the model is loaded.
    Kernel(fn(&KernelRequest<'_>) -> Result<Box<dyn CpuKernel>>),
    /// The output is the first operand's bytes under another shape.
    View,
    /// Never reaches a backend: gone when the model is loaded.
    Folded,
}

/// How the GPU backend runs an operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GpuState {
    /// The kernel of that name.
    Kernel(&'static str),
    /// No data moves.
    View,
    /// Gone when the model is loaded.
    Folded,
    /// On the CPU inside a GPU session, for the reason given.
    Host(&'static str),
}

/// The operands of a node, as shape inference and loading see them.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a> {
    graph: &'a Graph,
    ids: &'a [Option<ValueId>],
}

impl<'a> Inputs<'a> {
    /// The operands `ids` of `graph`.
    pub fn new(graph: &'a Graph, ids: &'a [Option<ValueId>]) -> Self {
        Self { graph, ids }
    }

    /// How many operands there are, absent ones counted.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// The value that is operand `index`, if it is present.
    pub fn id(&self, index: usize) -> Option<ValueId> {
        self.ids.get(index).copied().flatten()
    }

    /// What is known of an operand, if it is present.
    pub fn fact(&self, index: usize) -> Option<&'a Fact> {
        self.id(index).map(|id| self.graph.fact(id))
    }

    /// What is known of an operand that must be there.
    ///
    /// # Errors
    /// When it is absent.
    pub fn required(&self, index: usize) -> Result<&'a Fact> {
        self.fact(index).ok_or_else(|| Error::invalid_model(format!("operand {index} is missing")))
    }

    /// Refuses a wrong number of operands.
    ///
    /// # Errors
    /// When there are fewer than `least` or more than `most`.
    pub fn expect(&self, least: usize, most: usize) -> Result<()> {
        if (least..=most).contains(&self.len()) {
            return Ok(());
        }
        Err(Error::invalid_model(format!("expected {least} to {most} operands, found {}", self.len())))
    }

    /// An operand's tensor, if it is a constant.
    pub fn constant(&self, index: usize) -> Option<&'a Arc<Tensor>> {
        self.id(index).and_then(|id| self.graph.constant_of(id))
    }

    /// The elements of a small integer operand that is constant or only depends on shapes.
    pub fn integers(&self, index: usize) -> Option<&'a [Dim]> {
        self.fact(index).and_then(|fact| fact.elements.as_deref())
    }
}
