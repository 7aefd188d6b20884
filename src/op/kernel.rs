//! CPU kernels: how they are made and run.

use std::{cell::RefCell, fmt, sync::Arc};

use smallvec::SmallVec;

use crate::{
    error::{Error, Result},
    graph::{Fact, Graph, Node},
    kernels::{
        KernelSet,
        gemm::{Factors, MOST_PRODUCTS, Packed},
    },
    op::{Inputs, Operator, PackedConstants, Packing},
    shape::{Bindings, Dim},
    tensor::{DType, RunStrings, Tensor, Value, View, ViewMut},
};

/// The CPU kernel of one node: its attributes and packed constants.
///
/// Any number of workers run a kernel at once, each with its own operands, results and scratch.
pub trait CpuKernel: Send + Sync {
    /// The bytes of scratch that a run with these shapes needs.
    fn scratch_bytes(&self, shapes: &Shapes<'_>) -> usize {
        let _ = shapes;
        0
    }

    /// Computes the outputs.
    ///
    /// Every element must be written: the memory holds older results.
    ///
    /// # Errors
    /// When an operand holds an invalid value, such as an index out of range.
    fn run(&self, io: &mut Io<'_>) -> Result<()>;

    /// Computes outputs whose sizes depend on the operands' elements.
    ///
    /// # Errors
    /// As [`run`](Self::run), and when the operator's sizes follow from those of its operands.
    fn compute(&self, inputs: &[Option<&Tensor>]) -> Result<Vec<Tensor>> {
        let _ = inputs;
        Err(Error::internal("a kernel that fills results of known sizes was asked to size them"))
    }

    /// The bytes of the kernel's own constants, without those of [`KernelRequest::take_packed`].
    fn packed_bytes(&self) -> usize {
        0
    }
}

/// The CPU kernel of a node whose operands or results may be no tensors.
pub trait ValueKernel: Send + Sync {
    /// Computes the results; an absent operand is `None`.
    ///
    /// # Errors
    /// When an operand is invalid, such as a position out of range.
    fn compute(&self, inputs: &[Option<&Value>]) -> Result<Vec<Value>>;
}

/// The node that a kernel is made for.
pub struct KernelRequest<'a> {
    graph: &'a Graph,
    node: &'a Node,
    kernel_set: KernelSet,
    factors: Factors,
    packed: &'a PackedConstants,
    taken: RefCell<SmallVec<[usize; 4]>>,
}

impl fmt::Debug for KernelRequest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KernelRequest")
            .field("node", &self.node.describe())
            .field("kernel_set", &self.kernel_set)
            .field("factors", &self.factors)
            .finish_non_exhaustive()
    }
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
        self.graph.operands(self.node)
    }

    /// What is known of an operand that must be present.
    ///
    /// # Errors
    /// When it is absent.
    pub fn input(&self, index: usize) -> Result<&'a Fact> {
        self.inputs().required(index)
    }

    /// What is known of a result.
    ///
    /// # Errors
    /// When the node has fewer results.
    pub fn output(&self, index: usize) -> Result<&'a Fact> {
        self.graph.result_of(self.node, index)
    }

    /// Whether anything may read a result.
    ///
    /// A node that is evaluated apart from its graph has readers that the graph does not show.
    pub(crate) fn is_read(&self, index: usize) -> bool {
        let (nodes, outputs) = (self.graph.nodes(), self.graph.outputs());
        let is_apart = outputs.is_empty() || !nodes.iter().any(|node| std::ptr::eq(node, self.node));
        let id = self.node.outputs.get(index);
        is_apart
            || id.is_some_and(|id| outputs.contains(id) || nodes.iter().any(|node| node.inputs.contains(&Some(*id))))
    }

    /// An operand's tensor, if it is a constant; runs still pass it to the kernel.
    pub fn constant(&self, index: usize) -> Option<&'a Arc<Tensor>> {
        self.inputs().constant(index)
    }

    /// Takes an operand's tensor, if it is a constant.
    ///
    /// The kernel keeps what it needs and does not get the operand in runs, so that the original
    /// can be dropped.
    pub fn take_constant(&self, index: usize) -> Option<&'a Arc<Tensor>> {
        let tensor = self.constant(index)?;
        self.taken.borrow_mut().push(index);
        Some(tensor)
    }

    /// Takes a constant operand packed by `pack`, `None` where it is not constant.
    ///
    /// The kernel does not get the operand in runs. Nodes that take the same constant in the same
    /// packing share one copy, which the session counts: [`CpuKernel::packed_bytes`] leaves it out.
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

    /// The number of a string in every run.
    pub fn string(&self, text: &str) -> u64 {
        self.packed.string(text)
    }

    /// The instruction set of the kernels.
    pub fn kernel_set(&self) -> KernelSet {
        self.kernel_set
    }

    /// The precision of factors in convolutions and in attention.
    pub fn factors(&self) -> Factors {
        self.factors.without_integers(self.kernel_set)
    }

    /// The precision of factors in products with a constant matrix of `k` rows.
    pub(crate) fn product_factors(&self, k: usize) -> Factors {
        if k > MOST_PRODUCTS { self.factors() } else { self.factors }
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

/// Scratch as f32, without incomplete trailing bytes.
pub(crate) fn scratch_numbers(scratch: &mut [u8]) -> &mut [f32] {
    let whole = scratch.len() / size_of::<f32>() * size_of::<f32>();
    bytemuck::cast_slice_mut(&mut scratch[..whole])
}

/// The memory that one run of a kernel reads and writes.
#[derive(Debug)]
pub struct Io<'a> {
    /// Operands; `None` where one is absent or was taken at load.
    pub inputs: SmallVec<[Option<View<'a>>; 6]>,
    /// Results.
    pub outputs: SmallVec<[ViewMut<'a>; 2]>,
    /// Scratch of at least the requested size, aligned to 64 bytes, with arbitrary contents.
    pub scratch: &'a mut [u8],
    /// The run's sizes.
    pub bindings: &'a Bindings,
    /// The run's strings; elements of tensors of strings are their numbers.
    pub strings: &'a mut RunStrings,
}

/// The first result, for kernels that borrow their operands, scratch or strings apart from it.
///
/// # Errors
/// When the node has none.
pub(crate) fn first_result<'o, 'a>(outputs: &'o mut [ViewMut<'a>]) -> Result<&'o mut ViewMut<'a>> {
    outputs.first_mut().ok_or_else(|| Error::internal("a kernel misses its result"))
}

impl<'a> Io<'a> {
    /// An operand that must be present.
    ///
    /// # Errors
    /// When it is absent.
    pub fn input(&self, index: usize) -> Result<View<'a>> {
        let view = self.inputs.get(index).copied().flatten();
        view.ok_or_else(|| Error::internal(format!("a kernel misses operand {index}")))
    }

    /// The text of an element of a tensor of strings.
    ///
    /// # Errors
    /// When there is none.
    pub fn text(&self, number: u64) -> Result<&Arc<str>> {
        self.strings.get(number).ok_or_else(|| Error::internal(format!("a run has no string {number}")))
    }

    /// A result to write; operands can be read at the same time.
    ///
    /// # Errors
    /// When the node has fewer results.
    pub fn output(&mut self, index: usize) -> Result<&mut ViewMut<'a>> {
        self.outputs.get_mut(index).ok_or_else(|| Error::internal(format!("a kernel misses result {index}")))
    }

    /// Fills the results with the tensors that `compute` makes of the operands.
    ///
    /// # Errors
    /// As `compute`, and when a tensor is of another type or shape than its result.
    pub(crate) fn fill_by(&mut self, compute: impl FnOnce(&[Option<&Tensor>]) -> Result<Vec<Tensor>>) -> Result<()> {
        let own = |view: &Option<View<'_>>| view.map(|view| self.strings.own(view)).transpose();
        let operands = self.inputs.iter().map(own).collect::<Result<Vec<_>>>()?;
        let operands: Vec<_> = operands.iter().map(Option::as_ref).collect();
        let made = compute(&operands)?;
        for (to, made) in self.outputs.iter_mut().zip(&made) {
            if (to.dtype, to.shape) != (made.dtype(), made.shape()) {
                return Err(Error::invalid_input(format!("the result {made:?} is not {}{:?}", to.dtype, to.shape)));
            }
            match made.dtype() {
                DType::String => self.strings.number(made, 0..made.bytes().len(), to.slice()?)?,
                _ => to.bytes.copy_from_slice(made.bytes()),
            }
        }
        Ok(())
    }

    /// Evaluates an attribute that may depend on the run's sizes.
    ///
    /// # Errors
    /// When it has no value in this run.
    pub fn eval(&self, dim: &Dim) -> Result<i64> {
        dim.eval(self.bindings)
    }
}
