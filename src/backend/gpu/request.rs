//! What the kernel of a node is made from.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    sync::Arc,
};

use smallvec::SmallVec;

use crate::{
    backend::gpu::{
        buffer,
        cooperative::Matrices,
        operand::{WeightFormat, WeightId},
        program::{Program, Programs},
        shader::Shader,
    },
    error::{Error, Result},
    graph::{Fact, Graph, Node, ValueId},
    op::{Inputs, Operator, Packing},
    tensor::Tensor,
};

/// Packed constants by the original and the form.
type ByForm = HashMap<(ValueId, Packing), Arc<[WeightId]>>;

/// Constants that kernels packed, until they are uploaded.
#[derive(Default)]
pub(crate) struct PackedWeights {
    made: RefCell<ByForm>,
    pending: RefCell<Vec<(WeightId, Vec<u8>)>>,
    count: Cell<usize>,
}

impl PackedWeights {
    /// Takes the constants packed since the last call.
    pub(super) fn take_pending(&self) -> Vec<(WeightId, Vec<u8>)> {
        self.pending.take()
    }
}

/// A node, and what its kernel may use while the model is loaded.
pub(crate) struct GpuRequest<'a> {
    graph: &'a Graph,
    node: &'a Node,
    programs: &'a Programs,
    weights: &'a PackedWeights,
    /// Maximum bytes of one binding.
    pub binding_limit: u64,
    /// Storage format of the constant factors of products.
    pub format: WeightFormat,
    /// How cooperative matrices are multiplied, if the session uses them.
    pub matrices: Option<Matrices>,
    taken: RefCell<SmallVec<[usize; 4]>>,
}

impl<'a> GpuRequest<'a> {
    /// A request for the kernel of `node`.
    pub(super) fn new(
        graph: &'a Graph,
        node: &'a Node,
        programs: &'a Programs,
        weights: &'a PackedWeights,
        binding_limit: u64,
        (format, matrices): (WeightFormat, Option<Matrices>),
    ) -> Self {
        Self { graph, node, programs, weights, binding_limit, format, matrices, taken: RefCell::default() }
    }

    /// Returns the operator with its attributes.
    ///
    /// # Errors
    /// If it is not a `T`: the list of operators is wrong.
    pub(super) fn op<T: Operator>(&self) -> Result<&'a T> {
        self.node.expect_op()
    }

    /// Returns the operands.
    pub(super) fn inputs(&self) -> Inputs<'a> {
        Inputs::new(self.graph, &self.node.inputs)
    }

    /// Returns the fact of a required operand.
    ///
    /// # Errors
    /// If it is absent.
    pub(super) fn input(&self, index: usize) -> Result<&'a Fact> {
        self.inputs().required(index)
    }

    /// Returns the fact of a result.
    ///
    /// # Errors
    /// If the node has no such result.
    pub(super) fn output(&self, index: usize) -> Result<&'a Fact> {
        self.graph.result_of(self.node, index)
    }

    /// Returns why an operand or result cannot be held on a GPU, if one cannot.
    ///
    /// Elements are held in 32 bits; some types have no such form, and some integer constants do not fit.
    pub(super) fn uncarried(&self) -> Option<&'static str> {
        let operands = (0..self.inputs().len()).filter_map(|index| self.inputs().fact(index));
        let results = self.node.outputs.iter().map(|&id| self.graph.fact(id));
        if operands.chain(results).any(|fact| buffer::carrier(fact.dtype).is_none()) {
            return Some("a type that has no 32-bit form");
        }
        let mut constants = (0..self.inputs().len()).filter_map(|index| self.constant(index));
        constants.any(|tensor| buffer::is_wide(tensor)).then_some("a constant that needs more than 32 bits")
    }

    /// Returns a shader expanded with these values.
    ///
    /// # Errors
    /// If it does not expand or parse.
    pub(super) fn program(&self, shader: &Shader, values: &[(&str, &str)]) -> Result<Arc<Program>> {
        self.programs.get(shader, values)
    }

    /// Returns the tensor of an operand, `None` unless it is constant.
    pub(super) fn constant(&self, index: usize) -> Option<&'a Arc<Tensor>> {
        self.inputs().constant(index)
    }

    /// Packs a constant operand, `None` unless it is constant.
    ///
    /// The kernel does not bind the original when it runs. Nodes that pack the same constant in the same form share the
    /// result. `pack` returns several parts if the whole exceeds the limit of a binding.
    ///
    /// # Errors
    /// If `pack` fails or a part exceeds the limit of a binding.
    pub(super) fn take_weight(
        &self,
        index: usize,
        form: Packing,
        pack: impl FnOnce(&Tensor) -> Result<Vec<Vec<u8>>>,
    ) -> Result<Option<Arc<[WeightId]>>> {
        let (Some(id), Some(tensor)) = (self.inputs().id(index), self.constant(index)) else { return Ok(None) };
        self.taken.borrow_mut().push(index);
        if let Some(made) = self.weights.made.borrow().get(&(id, form)) {
            return Ok(Some(made.clone()));
        }
        let ids = pack(tensor)?.into_iter().map(|bytes| self.add_weight(bytes));
        let ids: Arc<[WeightId]> = ids.collect::<Result<_>>()?;
        self.weights.made.borrow_mut().insert((id, form), ids.clone());
        Ok(Some(ids))
    }

    /// Adds numbers of the kernel's own.
    ///
    /// # Errors
    /// If they exceed the limit of a binding.
    pub(super) fn add_weight(&self, bytes: Vec<u8>) -> Result<WeightId> {
        if bytes.len() as u64 > self.binding_limit {
            let (len, limit) = (bytes.len(), self.binding_limit);
            let what = format!("weights of {len} bytes that cannot be cut, where this device binds at most {limit}");
            return Err(Error::limit(what));
        }
        let id = WeightId(self.weights.count.get());
        self.weights.count.set(id.0 + 1);
        self.weights.pending.borrow_mut().push((id, bytes));
        Ok(id)
    }

    /// Returns the positions of the packed operands.
    pub(super) fn taken(&self) -> SmallVec<[usize; 4]> {
        self.taken.borrow().clone()
    }
}
