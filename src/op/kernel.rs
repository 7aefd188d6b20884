//! What a CPU kernel is given and what it must do.

use std::{cell::RefCell, sync::Arc};

use smallvec::SmallVec;

use crate::{
    error::{Error, Result},
    graph::{Fact, Graph, Node},
    kernels::{
        KernelSet,
        gemm::{Factors, Packed},
    },
    op::{Inputs, Operator, PackedConstants, Packing},
    shape::{Bindings, Dim},
    tensor::{Tensor, View, ViewMut},
};

/// One node made ready for the CPU: its attributes and packed constants.
///
/// A kernel runs on any number of workers at once, each with operands, results and scratch of its own.
pub trait CpuKernel: Send + Sync {
    /// Bytes of scratch that a run with these shapes needs.
    fn scratch_bytes(&self, shapes: &Shapes<'_>) -> usize {
        let _ = shapes;
        0
    }

    /// Computes the outputs. Every element must be written: the memory holds older results.
    ///
    /// # Errors
    /// When a value in an operand is out of its range (an index).
    fn run(&self, io: &mut Io<'_>) -> Result<()>;

    /// Bytes of constants that the kernel keeps for itself, those of [`KernelRequest::take_packed`] not counted.
    fn packed_bytes(&self) -> usize {
        0
    }
}

/// What a kernel is made from.
pub struct KernelRequest<'a> {
    graph: &'a Graph,
    node: &'a Node,
    kernel_set: KernelSet,
    factors: Factors,
    packed: &'a PackedConstants,
    taken: RefCell<SmallVec<[usize; 4]>>,
}

impl<'a> KernelRequest<'a> {
    pub(crate) fn new(
        graph: &'a Graph,
        node: &'a Node,
        kernel_set: KernelSet,
        factors: Factors,
        packed: &'a PackedConstants,
    ) -> Self {
        Self { graph, node, kernel_set, factors, packed, taken: RefCell::default() }
    }

    /// The operator with its attributes.
    ///
    /// # Errors
    /// When it is not a `T`: the list of operators is wrong.
    pub fn op<T: Operator>(&self) -> Result<&'a T> {
        self.node.expect_op()
    }

    /// The operands.
    pub fn inputs(&self) -> Inputs<'a> {
        Inputs::new(self.graph, &self.node.inputs)
    }

    /// What is known of an operand that must be there.
    ///
    /// # Errors
    /// When it is absent.
    pub fn input(&self, index: usize) -> Result<&'a Fact> {
        self.inputs().required(index)
    }

    /// What is known of a result.
    ///
    /// # Errors
    /// When there is no such result.
    pub fn output(&self, index: usize) -> Result<&'a Fact> {
        self.graph.result_of(self.node, index)
    }

    /// An operand's tensor, if it is a constant; it stays the operand that the kernel is given when it runs.
    pub fn constant(&self, index: usize) -> Option<&'a Arc<Tensor>> {
        self.inputs().constant(index)
    }

    /// An operand's tensor, if it is a constant. The kernel keeps what it needs of it and is not given the operand
    /// when it runs, so that the original can be dropped.
    pub fn take_constant(&self, index: usize) -> Option<&'a Arc<Tensor>> {
        let tensor = self.constant(index)?;
        self.taken.borrow_mut().push(index);
        Some(tensor)
    }

    /// A constant operand in the packing that `pack` makes of it, `None` where it is not constant. The kernel is not given
    /// the operand when it runs. Nodes that take the same constant in the same packing share one copy, which the session
    /// counts: it is no part of [`CpuKernel::packed_bytes`].
    ///
    /// # Errors
    /// As `pack`.
    pub fn take_packed(
        &self,
        index: usize,
        packing: Packing,
        pack: impl FnOnce(&Tensor) -> Result<Vec<Packed>>,
    ) -> Result<Option<Arc<[Packed]>>> {
        let (Some(id), Some(tensor)) = (self.inputs().id(index), self.take_constant(index)) else { return Ok(None) };
        self.packed.get(id, packing, tensor, pack).map(Some)
    }

    /// The kernels to choose from.
    pub fn kernel_set(&self) -> KernelSet {
        self.kernel_set
    }

    /// What products with constants, and those of attention, are computed with.
    pub fn factors(&self) -> Factors {
        self.factors
    }

    pub(crate) fn taken(&self) -> SmallVec<[usize; 4]> {
        self.taken.borrow().clone()
    }
}

/// The shapes of a run's operands and results.
#[derive(Debug)]
pub struct Shapes<'a> {
    /// Operands; `None` where one is absent or was taken at load.
    pub inputs: SmallVec<[Option<&'a [usize]>; 6]>,
    /// Results.
    pub outputs: SmallVec<[&'a [usize]; 2]>,
}

/// Scratch as f32, the bytes that make up no whole number left out.
pub(crate) fn scratch_numbers(scratch: &mut [u8]) -> &mut [f32] {
    let whole = scratch.len() / size_of::<f32>() * size_of::<f32>();
    bytemuck::cast_slice_mut(&mut scratch[..whole])
}

/// Everything that one run of a kernel reads and writes.
#[derive(Debug)]
pub struct Io<'a> {
    /// Operands; `None` where one is absent or was taken at load.
    pub inputs: SmallVec<[Option<View<'a>>; 6]>,
    /// Results.
    pub outputs: SmallVec<[ViewMut<'a>; 2]>,
    /// Scratch of at least the size asked for, starting on a 64-byte line; holds anything.
    pub scratch: &'a mut [u8],
    /// The run's sizes.
    pub bindings: &'a Bindings,
}

impl<'a> Io<'a> {
    /// An operand that must be there.
    ///
    /// # Errors
    /// When it is not.
    pub fn input(&self, index: usize) -> Result<View<'a>> {
        let view = self.inputs.get(index).copied().flatten();
        view.ok_or_else(|| Error::internal(format!("a kernel misses operand {index}")))
    }

    /// A result, with the rest of the run's memory: operands can be read while it is written.
    ///
    /// # Errors
    /// When there is no such result.
    pub fn output(&mut self, index: usize) -> Result<&mut ViewMut<'a>> {
        self.outputs.get_mut(index).ok_or_else(|| Error::internal(format!("a kernel misses result {index}")))
    }

    /// The value of an attribute that may depend on the run's sizes.
    ///
    /// # Errors
    /// When it does not come out as a number.
    pub fn eval(&self, dim: &Dim) -> Result<i64> {
        dim.eval(self.bindings)
    }
}
