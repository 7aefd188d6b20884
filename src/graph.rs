//! Graphs: models as nodes over values, some of them constants, with symbolic dimensions.

mod batch;
mod conditions;
mod infer;
mod node;
mod uses;
mod value;
mod verify;

use std::{collections::HashSet, sync::Arc};

pub use batch::Batching;
pub(crate) use conditions::Conditions;
pub use node::Node;
pub(crate) use value::{ElementShape, Kind};
pub use value::{Fact, MAX_EXACT, MAX_TRACKED, Value, ValueId};

use crate::{
    error::{Error, Result},
    op::{Inputs, Operator},
    shape::{Bindings, Dim, Shape, Symbol},
    tensor::{DType, Tensor},
};

/// The most elements that shape inference tracks in a whole graph.
const MAX_TRACKED_TOTAL: usize = 1 << 20;

/// The most symbols of a graph.
const MAX_SYMBOLS: usize = 1 << 20;

/// The most terms and factors in the dimensions of all values of a graph.
const MAX_DIMENSIONS: usize = 1 << 23;

/// A model: nodes in execution order.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    /// The model's name, for messages.
    pub name: String,
    pub(crate) values: Vec<Value>,
    pub(crate) nodes: Vec<Node>,
    inputs: Vec<ValueId>,
    outputs: Vec<ValueId>,
    symbols: Vec<String>,
    batching: Batching,
    conditions: Conditions,
    /// The symbols that have a fixed size.
    fixed: Bindings,
    /// The symbols of sizes that nodes measure.
    measured: HashSet<Symbol>,
    /// The names of inputs whose defaults became constants.
    defaults: Vec<String>,
    /// The tracked elements of all values.
    tracked: usize,
    /// The terms and factors of all dimensions.
    dimensions: usize,
}

impl Graph {
    /// A graph without nodes.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    /// The symbol of that name, created on first use.
    pub fn symbol(&mut self, name: &str) -> Symbol {
        let index = self.symbols.iter().position(|other| other == name).unwrap_or_else(|| {
            self.symbols.push(name.to_owned());
            self.symbols.len() - 1
        });
        Symbol(index as u32)
    }

    /// The names of the symbols, in order of creation.
    pub fn symbols(&self) -> &[String] {
        &self.symbols
    }

    /// Adds an input.
    pub fn input(&mut self, name: impl Into<String>, dtype: DType, shape: Shape) -> ValueId {
        self.input_of(name, Fact::new(dtype, shape))
    }

    /// Adds an input of which that is known.
    pub(crate) fn input_of(&mut self, name: impl Into<String>, fact: Fact) -> ValueId {
        let id = self.push(Value { name: name.into(), fact, constant: None });
        self.inputs.push(id);
        id
    }

    /// An empty graph whose facts may mention the symbols of this one.
    #[cfg(feature = "onnx")]
    pub(crate) fn within(&self, name: &str) -> Self {
        Self { symbols: self.symbols.clone(), fixed: self.fixed.clone(), ..Self::new(name) }
    }

    /// A new symbol, whatever its name.
    pub(crate) fn new_symbol(&mut self, name: String) -> Symbol {
        self.symbols.push(name);
        Symbol((self.symbols.len() - 1) as u32)
    }

    /// Whether a node of the graph measures the size that the symbol stands for.
    pub(crate) fn is_measured_symbol(&self, symbol: Symbol) -> bool {
        self.measured.contains(&symbol)
    }

    /// Adds a constant.
    pub fn constant(&mut self, name: impl Into<String>, tensor: impl Into<Arc<Tensor>>) -> ValueId {
        let tensor = tensor.into();
        self.push(Value { name: name.into(), fact: Fact::of(&tensor), constant: Some(tensor) })
    }

    /// The names of inputs that have a default in the file, which became a constant.
    pub fn defaults(&self) -> &[String] {
        &self.defaults
    }

    /// The operands of a node of this graph.
    pub(crate) fn operands<'a>(&'a self, node: &'a Node) -> Inputs<'a> {
        Inputs::new(self, &node.inputs).measuring(&node.measured)
    }

    /// Notes that a constant is the default of an input of that name.
    #[cfg(feature = "onnx")]
    pub(crate) fn add_default(&mut self, name: &str) {
        self.defaults.push(name.to_owned());
    }

    /// Appends a node and infers its outputs' types and shapes.
    ///
    /// # Errors
    /// When the operands do not fit the operator; the error names the node.
    pub fn node(&mut self, name: &str, op: Arc<dyn Operator>, inputs: Vec<Option<ValueId>>) -> Result<Vec<ValueId>> {
        let count = op.measures(&Inputs::new(self, &inputs));
        let count = count.map_err(|error| error.context(format!("node `{name}` ({})", op.def().name)))?;
        if count > MAX_SYMBOLS - self.symbols.len().min(MAX_SYMBOLS) {
            return Err(Error::limit(format!("the graph has more than {MAX_SYMBOLS} symbolic sizes")));
        }
        let measured: Vec<Symbol> =
            (0..count).map(|index| self.new_symbol(format!("size {index} measured by node `{name}`"))).collect();
        self.measured.extend(&measured);
        let node = Node { name: name.to_owned(), op, inputs, outputs: Vec::new(), measured };
        let (facts, assumed) = self.infer(&node)?;
        self.add_inferred_conditions(&node, assumed)?;
        if self.dimensions > MAX_DIMENSIONS {
            return Err(Error::limit(format!("the shapes of the graph hold more than {MAX_DIMENSIONS} terms")));
        }
        let outputs: Vec<_> = facts
            .into_iter()
            .enumerate()
            .map(|(index, fact)| self.push(Value { name: format!("{name}:{index}"), fact, constant: None }))
            .collect();
        self.nodes.push(Node { outputs: outputs.clone(), ..node });
        Ok(outputs)
    }

    /// Appends a node with no absent operands and a single output.
    ///
    /// # Errors
    /// As [`node`](Self::node).
    pub fn apply(&mut self, name: &str, op: impl Operator, inputs: &[ValueId]) -> Result<ValueId> {
        let outputs = self.node(name, Arc::new(op), inputs.iter().copied().map(Some).collect())?;
        match outputs.as_slice() {
            [output] => Ok(*output),
            _ => Err(Error::internal(format!("node `{name}` has {} outputs where one was expected", outputs.len()))),
        }
    }

    /// Makes a value an output of the model, under that name.
    pub fn output(&mut self, name: impl Into<String>, id: ValueId) {
        // An input or a constant that is also an output keeps its name.
        if self.inputs.contains(&id) || self.values[id.index()].constant.is_some() || self.outputs.contains(&id) {
            self.outputs.push(id);
            return;
        }
        self.values[id.index()].name = name.into();
        self.outputs.push(id);
    }

    /// Adds a value.
    fn push(&mut self, mut value: Value) -> ValueId {
        self.dimensions += value.fact.shape.dims().iter().map(Dim::weight).sum::<usize>();
        self.track(&mut value.fact);
        self.values.push(value);
        ValueId((self.values.len() - 1) as u32)
    }

    /// Counts a fact's tracked elements; past the cap they become unknown.
    ///
    /// An operator that needs them then reports so.
    fn track(&mut self, fact: &mut Fact) {
        let elements = fact.elements.as_ref().map_or(0, Vec::len);
        match self.tracked.checked_add(elements).filter(|&total| total <= MAX_TRACKED_TOTAL) {
            Some(total) => self.tracked = total,
            None => fact.elements = None,
        }
    }

    /// Replaces what is known of a value.
    fn set_fact(&mut self, id: ValueId, mut fact: Fact) {
        let old = self.values[id.index()].fact.elements.as_ref().map_or(0, Vec::len);
        self.tracked = self.tracked.saturating_sub(old);
        self.track(&mut fact);
        self.values[id.index()].fact = fact;
    }

    /// A value.
    pub fn value(&self, id: ValueId) -> &Value {
        &self.values[id.index()]
    }

    /// What is known of a value.
    pub fn fact(&self, id: ValueId) -> &Fact {
        &self.values[id.index()].fact
    }

    /// What is known of result `index` of a node.
    ///
    /// # Errors
    /// When the node has fewer results.
    pub(crate) fn result_of<'a>(&'a self, node: &Node, index: usize) -> Result<&'a Fact> {
        let id = node.outputs.get(index);
        id.map(|&id| self.fact(id)).ok_or_else(|| Error::internal(format!("{} has no result {index}", node.describe())))
    }

    /// A value's tensor, if it is a constant.
    pub fn constant_of(&self, id: ValueId) -> Option<&Arc<Tensor>> {
        self.values[id.index()].constant.as_ref()
    }

    /// The number of values.
    pub fn value_count(&self) -> usize {
        self.values.len()
    }

    /// The nodes, each after those that it depends on.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The inputs.
    pub fn inputs(&self) -> &[ValueId] {
        &self.inputs
    }

    /// The outputs.
    pub fn outputs(&self) -> &[ValueId] {
        &self.outputs
    }

    /// Replaces the outputs.
    pub(crate) fn set_outputs(&mut self, outputs: Vec<ValueId>) {
        self.outputs = outputs;
    }

    /// Turns a value into a constant, while rewriting.
    pub(crate) fn set_constant(&mut self, id: ValueId, tensor: Arc<Tensor>) {
        self.set_fact(id, Fact::of(&tensor));
        self.values[id.index()].constant = Some(tensor);
    }

    /// Turns inputs into constants.
    pub(crate) fn settle_inputs(&mut self, constants: Vec<(ValueId, Arc<Tensor>)>) {
        for (id, tensor) in constants {
            self.inputs.retain(|input| *input != id);
            self.set_constant(id, tensor);
        }
    }

    /// The symbols that have a fixed size; operators may still mention them.
    pub(crate) fn fixed_symbols(&self) -> &Bindings {
        &self.fixed
    }

    /// How the items of a chunk are combined in one run.
    pub fn batching(&self) -> &Batching {
        &self.batching
    }

    /// Sets how items are combined, where [`find_batching`](Self::find_batching) should not infer
    /// it.
    pub fn set_batching(&mut self, batching: Batching) {
        self.batching = batching;
    }
}
