//! The operator contract: what an operator is, how it is decoded, and how it runs.

pub(crate) mod case;
mod constants;
mod evaluate;
mod function;
mod inputs;
mod kernel;
mod onnx_node;
mod operator;

use std::{fmt::Debug, sync::Arc};

pub use case::{Case, CaseInput, Fill};
pub(crate) use constants::PackedConstants;
pub use constants::Packing;
pub(crate) use evaluate::{evaluate, evaluate_by};
pub(crate) use function::function_kernel;
pub use inputs::Inputs;
pub use kernel::{CpuKernel, Io, KernelRequest, Shapes, ValueKernel};
pub(crate) use kernel::{first_result, scratch_numbers};
pub use onnx_node::{Attribute, OnnxNode};
pub use operator::{Body, Operator};

use crate::error::Result;

/// Reads an operator from an ONNX node.
pub type Decoder = fn(&mut OnnxNode<'_>) -> Result<Arc<dyn Operator>>;

/// One row of the list of operators.
pub struct OpDef {
    /// ONNX's name where ONNX has the operator, otherwise ours.
    ///
    /// The name of an operator of another domain than the default one is `DOMAIN.NAME`.
    pub name: &'static str,
    /// The decoder from an ONNX node.
    ///
    /// `None` for operators that only importers and rewrites make.
    pub onnx: Option<Decoder>,
    /// The cases that every backend is tested on; at least one.
    pub cases: fn() -> Vec<Case>,
    /// How far a backend may deviate from the oracle.
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

/// How far a result may deviate from the oracle.
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
#[derive(Clone, Copy, Debug)]
pub enum CpuState {
    /// A kernel, made once at load.
    Kernel(fn(&KernelRequest<'_>) -> Result<Box<dyn CpuKernel>>),
    /// The first operand's bytes under another shape.
    View,
    /// Never reaches a backend: folded at load.
    Folded,
    /// The session itself: it runs the graphs that the node holds.
    Session,
    /// A kernel on values that may be no tensors.
    Values(fn(&KernelRequest<'_>) -> Result<Box<dyn ValueKernel>>),
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
