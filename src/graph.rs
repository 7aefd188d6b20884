//! The intermediate form of a model: nodes over values, some of them constants, with symbolic dimensions.

mod batch;
mod verify;

use std::{fmt, sync::Arc};

pub use batch::Batching;

use crate::{
    error::{Context, Error, Result},
    op::{Inputs, Operator},
    shape::{Dim, Shape, Symbol},
    tensor::{DType, Tensor},
};

/// The most integers that shape inference follows through a graph for one value.
pub const MAX_TRACKED: usize = 1024;

/// The most integers that are followed for all values of a graph together.
const MAX_TRACKED_TOTAL: usize = 1 << 20;

/// The most terms and factors that the dimensions of all values of a graph may have together.
const MAX_DIMENSIONS: usize = 1 << 23;

/// Names a value of one graph.
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
    /// The elements themselves, row-major, where the value is a small tensor of integers or booleans (0 or 1) that only
    /// depends on shapes.
    pub elements: Option<Vec<Dim>>,
}

impl Fact {
    /// A value of which only type and shape are known.
    pub(crate) fn new(dtype: DType, shape: Shape) -> Self {
        Self { dtype, shape, elements: None }
    }

    /// The same with known integer elements, dropped where there are more than [`MAX_TRACKED`].
    #[must_use]
    pub(crate) fn with_elements(mut self, elements: Option<Vec<Dim>>) -> Self {
        self.elements = elements.filter(|elements| elements.len() <= MAX_TRACKED);
        self
    }

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
    /// Its name, for messages and for inputs and outputs.
    pub name: String,
    /// What is known of it.
    pub fact: Fact,
    /// The tensor itself, of a constant.
    pub constant: Option<Arc<Tensor>>,
}

/// One operator applied to values.
#[derive(Clone, Debug)]
pub struct Node {
    /// The name that the file gave it, for messages.
    pub name: String,
    /// What it does, with its attributes.
    pub op: Arc<dyn Operator>,
    /// Its operands; an optional one may be absent.
    pub inputs: Vec<Option<ValueId>>,
    /// Its results.
    pub outputs: Vec<ValueId>,
}

impl Node {
    /// The operator, if it is a `T`.
    pub fn op<T: Operator>(&self) -> Option<&T> {
        self.op.downcast_ref()
    }

    /// How errors name the node.
    pub fn describe(&self) -> String {
        format!("node `{}` ({})", self.name, self.op.def().name)
    }

    /// The operator as what made a kernel of it must know it.
    ///
    /// # Errors
    /// When it is not a `T`: the list of operators is wrong.
    pub(crate) fn expect_op<T: Operator>(&self) -> Result<&T> {
        self.op().ok_or_else(|| Error::internal(format!("{} is of another type", self.describe())))
    }
}

/// A model as nodes in an order in which each can run.
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
    /// The integers that are followed, and what all dimensions hold.
    tracked: usize,
    dimensions: usize,
}

impl Graph {
    /// A graph without nodes.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    /// The symbol of that name, made on first use.
    pub fn symbol(&mut self, name: &str) -> Symbol {
        let index = self.symbols.iter().position(|other| other == name).unwrap_or_else(|| {
            self.symbols.push(name.to_owned());
            self.symbols.len() - 1
        });
        Symbol(index as u32)
    }

    /// The names of the symbols, by number.
    pub fn symbols(&self) -> &[String] {
        &self.symbols
    }

    /// Adds an input.
    pub fn input(&mut self, name: impl Into<String>, dtype: DType, shape: Shape) -> ValueId {
        let id = self.push(Value { name: name.into(), fact: Fact::new(dtype, shape), constant: None });
        self.inputs.push(id);
        id
    }

    /// Adds a constant.
    pub fn constant(&mut self, name: impl Into<String>, tensor: impl Into<Arc<Tensor>>) -> ValueId {
        let tensor = tensor.into();
        self.push(Value { name: name.into(), fact: Fact::of(&tensor), constant: Some(tensor) })
    }

    /// Adds a node behind all others and infers its outputs' types and shapes.
    ///
    /// # Errors
    /// When the operands do not fit the operator; the error names the node.
    pub fn node(&mut self, name: &str, op: Arc<dyn Operator>, inputs: Vec<Option<ValueId>>) -> Result<Vec<ValueId>> {
        let node = Node { name: name.to_owned(), op, inputs, outputs: Vec::new() };
        let facts = self.infer(&node)?;
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

    /// Adds a node whose operands are all present and that has one output.
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

    /// Names a value as an output of the model.
    pub fn output(&mut self, name: impl Into<String>, id: ValueId) {
        // An input or constant handed straight through keeps its own name.
        if self.inputs.contains(&id) || self.values[id.index()].constant.is_some() || self.outputs.contains(&id) {
            self.outputs.push(id);
            return;
        }
        self.values[id.index()].name = name.into();
        self.outputs.push(id);
    }

    fn push(&mut self, mut value: Value) -> ValueId {
        self.dimensions += value.fact.shape.dims().iter().map(Dim::weight).sum::<usize>();
        self.track(&mut value.fact);
        self.values.push(value);
        ValueId((self.values.len() - 1) as u32)
    }

    /// Counts the integers that a fact follows. Past the cap they are taken for unknown, which an operator that needs
    /// them reports.
    fn track(&mut self, fact: &mut Fact) {
        let elements = fact.elements.as_ref().map_or(0, Vec::len);
        match self.tracked.checked_add(elements).filter(|&total| total <= MAX_TRACKED_TOTAL) {
            Some(total) => self.tracked = total,
            None => fact.elements = None,
        }
    }

    fn set_fact(&mut self, id: ValueId, mut fact: Fact) {
        let old = self.values[id.index()].fact.elements.as_ref().map_or(0, Vec::len);
        self.tracked = self.tracked.saturating_sub(old);
        self.track(&mut fact);
        self.values[id.index()].fact = fact;
    }

    /// Types and shapes of a node's outputs, from its operands as they are known now.
    pub(crate) fn infer(&self, node: &Node) -> Result<Vec<Fact>> {
        let inputs = Inputs::new(self, &node.inputs);
        let facts = node.op.infer(&inputs).context(|| node.describe())?;
        for fact in &facts {
            fact.shape.fixed_elements().context(|| node.describe())?;
            if let Some(dim) =
                fact.shape.dims().iter().find(|dim| !dim.is_valid() || dim.as_fixed().is_some_and(|n| n < 0))
            {
                return Err(Error::invalid_model(format!("{} makes a tensor with the size {dim}", node.describe())));
            }
        }
        Ok(facts)
    }

    /// Infers every node's outputs again, after inputs or operators have changed.
    ///
    /// # Errors
    /// When an operand no longer fits its operator.
    pub fn infer_all(&mut self) -> Result<()> {
        for index in 0..self.nodes.len() {
            let facts = self.infer(&self.nodes[index])?;
            for (position, fact) in facts.into_iter().enumerate() {
                if let Some(&id) = self.nodes[index].outputs.get(position) {
                    self.set_fact(id, fact);
                }
            }
        }
        Ok(())
    }

    /// Gives a symbolic dimension of the inputs a fixed size.
    ///
    /// # Errors
    /// When no symbol is so named, or an operator refuses the size.
    pub fn fix_symbol(&mut self, name: &str, size: usize) -> Result<()> {
        let index = self.symbols.iter().position(|other| other == name).ok_or_else(|| {
            Error::invalid_input(format!("the model has no dimension `{name}`; it has {:?}", self.symbols))
        })?;
        let dim = Dim::symbol(Symbol(index as u32));
        for &id in &self.inputs {
            let fact = &mut self.values[id.index()].fact;
            fact.shape =
                fact.shape.dims().iter().map(|own| if *own == dim { Dim::from(size) } else { own.clone() }).collect();
        }
        self.infer_all()
    }

    /// Gives an input another shape, for a file that declares a wrong or needlessly fixed one.
    ///
    /// # Errors
    /// When no input is so named, or an operator refuses the shape.
    pub fn set_input_shape(&mut self, name: &str, shape: Shape) -> Result<()> {
        let id = self.inputs.iter().copied().find(|id| self.values[id.index()].name == name);
        let id = id.ok_or_else(|| Error::invalid_input(format!("the model has no input `{name}`")))?;
        self.values[id.index()].fact.shape = shape;
        self.infer_all()
    }

    /// A value.
    pub fn value(&self, id: ValueId) -> &Value {
        &self.values[id.index()]
    }

    /// What is known of a value.
    pub fn fact(&self, id: ValueId) -> &Fact {
        &self.values[id.index()].fact
    }

    /// What is known of a node's result.
    ///
    /// # Errors
    /// When there is no such result.
    pub(crate) fn result_of<'a>(&'a self, node: &Node, index: usize) -> Result<&'a Fact> {
        let id = node.outputs.get(index);
        id.map(|&id| self.fact(id)).ok_or_else(|| Error::internal(format!("{} has no result {index}", node.describe())))
    }

    /// A value's tensor, if it is a constant.
    pub fn constant_of(&self, id: ValueId) -> Option<&Arc<Tensor>> {
        self.values[id.index()].constant.as_ref()
    }

    /// How many values there are.
    pub fn value_count(&self) -> usize {
        self.values.len()
    }

    /// The nodes, each behind those it depends on.
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

    pub(crate) fn set_outputs(&mut self, outputs: Vec<ValueId>) {
        self.outputs = outputs;
    }

    /// For every value the node that makes it.
    pub fn producers(&self) -> Vec<Option<usize>> {
        let mut producers = vec![None; self.values.len()];
        for (index, node) in self.nodes.iter().enumerate() {
            for output in &node.outputs {
                producers[output.index()] = Some(index);
            }
        }
        producers
    }

    /// For every value how often nodes and the model's outputs use it.
    pub fn use_counts(&self) -> Vec<usize> {
        let mut counts = vec![0; self.values.len()];
        let operands = self.nodes.iter().flat_map(|node| node.inputs.iter().flatten());
        for id in operands.chain(&self.outputs) {
            counts[id.index()] += 1;
        }
        counts
    }

    /// Adds a constant while rewriting.
    pub(crate) fn set_constant(&mut self, id: ValueId, tensor: Arc<Tensor>) {
        self.set_fact(id, Fact::of(&tensor));
        self.values[id.index()].constant = Some(tensor);
    }

    /// How items of a chunk are put together in one run.
    pub fn batching(&self) -> &Batching {
        &self.batching
    }

    /// States how items are put together; [`find_batching`](Self::find_batching) works it out instead.
    pub fn set_batching(&mut self, batching: Batching) {
        self.batching = batching;
    }
}
