//! What every operator implements, and the graphs that nodes of some of them hold.

use std::{any::Any, borrow::Cow, fmt::Debug, sync::Arc};

use crate::{
    error::{Error, Result},
    graph::{Fact, Graph},
    op::{Inputs, OpDef},
    shape::Dim,
};

/// An operator with its attributes.
pub trait Operator: Any + Debug + Send + Sync {
    /// Its entry in the list of operators.
    fn def(&self) -> &'static OpDef;

    /// Types and shapes of the outputs.
    ///
    /// # Errors
    /// When the operands do not fit: their number, types or shapes.
    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>>;

    /// Whether operands may be of [small types](crate::DType::Small), because it only moves or
    /// converts elements.
    fn takes_small(&self) -> bool {
        false
    }

    /// The number of sizes that only a run tells.
    ///
    /// Each is a symbol that results' shapes may mention. A node with such a
    /// result runs by [`CpuKernel::compute`](crate::op::CpuKernel::compute).
    ///
    /// # Errors
    /// When the operands do not fit.
    fn measures(&self, inputs: &Inputs<'_>) -> Result<usize> {
        let _ = inputs;
        Ok(0)
    }

    /// The graphs that a node of this operator holds.
    fn bodies(&self) -> &[Body] {
        &[]
    }

    /// The same operator with other graphs, as many as [`bodies`](Self::bodies) gives.
    fn with_bodies(&self, bodies: Vec<Body>) -> Option<Arc<dyn Operator>> {
        let _ = bodies;
        None
    }

    /// The axis of the items in each output, if items stay independent.
    ///
    /// Along that axis, element `i` of the output depends on element `i` of the operands alone.
    /// `axes` holds the items' axis of each operand, and `size` is the number of items; an operand
    /// or output that does not depend on the items has no axis. `None` for the whole: items may
    /// mix.
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

/// A graph that a node holds, such as a branch of an `If`.
///
/// Its first inputs are those that the operator gives, the others are values of the enclosing
/// graph, which are operands of the node. Its facts may mention the symbols of the enclosing graph,
/// which are the first ones of its own.
#[derive(Clone, Debug)]
pub struct Body {
    /// The graph.
    pub graph: Arc<Graph>,
    /// The operands of the node that are the last inputs of the graph.
    pub captured: Vec<usize>,
    /// The number of symbols that the enclosing graph had.
    pub(crate) outer_symbols: usize,
    /// What is known of the outputs; rewrites of the graph leave it as it is.
    outputs: Vec<Fact>,
}

impl Body {
    /// A body made of a graph within `outer`.
    pub fn new(graph: Graph, captured: Vec<usize>, outer: &Graph) -> Self {
        let outputs = graph.outputs().iter().map(|&id| graph.fact(id).clone()).collect();
        Self { graph: Arc::new(graph), captured, outer_symbols: outer.symbols().len(), outputs }
    }

    /// The number of inputs that the operator gives.
    pub fn given(&self) -> usize {
        self.graph.inputs().len().saturating_sub(self.captured.len())
    }

    /// What is known of an input.
    pub(crate) fn input(&self, index: usize) -> Result<&Fact> {
        let id = self.graph.inputs().get(index);
        id.map(|&id| self.graph.fact(id)).ok_or_else(|| Error::internal(format!("a body has no input {index}")))
    }

    /// What is known of an output.
    pub(crate) fn output(&self, index: usize) -> Result<&Fact> {
        self.outputs
            .get(index)
            .ok_or_else(|| Error::invalid_model(format!("a graph within the node has no output {index}")))
    }

    /// Whether the enclosing graph knows all symbols of a size.
    pub(crate) fn is_outer(&self, dim: &Dim) -> bool {
        dim.all_symbols(&|symbol| symbol.0 < self.outer_symbols as u32)
    }

    /// The body for the operands of a node, whose shapes may have changed since it was made.
    ///
    /// # Errors
    /// When the graph does not take them.
    pub(crate) fn fitted(&self, inputs: &Inputs<'_>) -> Result<Cow<'_, Self>> {
        let given = self.given();
        let mut changed = Vec::new();
        for (index, &operand) in self.captured.iter().enumerate() {
            let new = inputs.required(operand)?;
            let old = self.input(given + index)?;
            if (new.dtype, &new.shape, &new.kind) != (old.dtype, &old.shape, &old.kind) {
                changed.push((self.graph.inputs()[given + index], new.clone()));
            }
        }
        if changed.is_empty() {
            return Ok(Cow::Borrowed(self));
        }
        let mut graph = (*self.graph).clone();
        graph.set_input_facts(changed)?;
        let outputs = graph.outputs().iter().map(|&id| graph.fact(id).clone()).collect();
        Ok(Cow::Owned(Self { graph: Arc::new(graph), outputs, ..self.clone() }))
    }

    /// The number of outputs.
    pub(crate) fn output_count(&self) -> usize {
        self.outputs.len()
    }

    /// The body with another graph, of the same inputs and outputs but for captured ones.
    pub(crate) fn with_graph(&self, graph: Graph, captured: Vec<usize>) -> Self {
        Self { graph: Arc::new(graph), captured, ..self.clone() }
    }
}
