//! An ONNX node, decoded attribute by attribute; an unread attribute is an error.

mod operands;

use std::sync::Arc;

use crate::{
    error::{Error, Result},
    graph::{Graph, Node, ValueId},
    op::Inputs,
    shape::Condition,
    tensor::{DType, Tensor},
};

/// The value of an attribute.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "the names are ONNX's types")]
pub enum Attribute {
    Int(i64),
    Float(f32),
    String(String),
    Tensor(Arc<Tensor>),
    Ints(Vec<i64>),
    Floats(Vec<f32>),
    Strings(Vec<String>),
    /// A type: that of tensors, and whether it is a sequence of them.
    Type(DType, bool),
    /// A type that no operator reads (a graph, a sparse tensor), by its ONNX name.
    Other(&'static str),
}

/// A node of an ONNX graph, to be decoded as an operator.
///
/// A decoder takes the attributes that it knows and turns operands that describe shapes into
/// attributes ([`take_integers`](Self::take_integers)); the remaining operands become the node's.
#[derive(Clone, Debug)]
pub struct OnnxNode<'a> {
    graph: &'a Graph,
    opset: i64,
    op_type: String,
    attributes: Vec<(String, Attribute)>,
    inputs: Vec<Option<ValueId>>,
    output_count: usize,
    assumed: Vec<Condition>,
}

impl<'a> OnnxNode<'a> {
    /// A node of `op_type` in a file of that opset; `inputs` are values of `graph`.
    pub fn new(
        graph: &'a Graph,
        opset: i64,
        op_type: impl Into<String>,
        attributes: Vec<(String, Attribute)>,
        inputs: Vec<Option<ValueId>>,
        output_count: usize,
    ) -> Self {
        Self { graph, opset, op_type: op_type.into(), attributes, inputs, output_count, assumed: Vec::new() }
    }

    /// The graph that the operands belong to.
    pub(crate) fn graph(&self) -> &'a Graph {
        self.graph
    }

    /// The version of the operator set of the node's domain.
    pub fn opset(&self) -> i64 {
        self.opset
    }

    /// ONNX's name of the operator.
    pub fn op_type(&self) -> &str {
        &self.op_type
    }

    /// The number of outputs that the node declares.
    pub fn output_count(&self) -> usize {
        self.output_count
    }

    /// The operands that have not been taken.
    pub fn inputs(&self) -> Inputs<'_> {
        Inputs::new(self.graph, &self.inputs)
    }

    /// The attributes that have not been read.
    pub(crate) fn take_attributes(&mut self) -> Vec<(String, Attribute)> {
        std::mem::take(&mut self.attributes)
    }

    /// The node that makes a value, if one does.
    pub(crate) fn maker(&self, id: ValueId) -> Option<&'a Node> {
        self.graph.nodes().iter().rev().find(|node| node.outputs.contains(&id))
    }

    /// Notes that the operator as decoded is right only in runs that fulfil the condition.
    ///
    /// # Errors
    /// When no run can fulfil it.
    pub(crate) fn assume(&mut self, condition: Condition) -> Result<()> {
        match condition.decide() {
            Some(true) => Ok(()),
            Some(false) => Err(Error::invalid_model(condition.violation())),
            None => {
                self.assumed.push(condition);
                Ok(())
            }
        }
    }

    /// What decoding assumed.
    #[cfg(feature = "onnx")]
    pub(crate) fn take_assumed(&mut self) -> Vec<Condition> {
        std::mem::take(&mut self.assumed)
    }

    fn take(&mut self, name: &str) -> Option<Attribute> {
        let index = self.attributes.iter().position(|(own, _)| own == name)?;
        Some(self.attributes.swap_remove(index).1)
    }

    /// An integer attribute.
    ///
    /// # Errors
    /// When it is of another type.
    pub fn int(&mut self, name: &str) -> Result<Option<i64>> {
        match self.take(name) {
            None => Ok(None),
            Some(Attribute::Int(value)) => Ok(Some(value)),
            Some(other) => Err(wrong(name, "an integer", &other)),
        }
    }

    /// An integer attribute that is a flag.
    ///
    /// # Errors
    /// When it is of another type, or neither 0 nor 1.
    pub fn flag(&mut self, name: &str, default: bool) -> Result<bool> {
        match self.int(name)? {
            None => Ok(default),
            Some(value @ 0..=1) => Ok(value == 1),
            Some(value) => Err(Error::invalid_model(format!("attribute `{name}` is {value}, expected 0 or 1"))),
        }
    }

    /// A floating-point attribute.
    ///
    /// # Errors
    /// When it is of another type.
    pub fn float(&mut self, name: &str) -> Result<Option<f32>> {
        match self.take(name) {
            None => Ok(None),
            Some(Attribute::Float(value)) => Ok(Some(value)),
            Some(other) => Err(wrong(name, "a number", &other)),
        }
    }

    /// A string attribute.
    ///
    /// # Errors
    /// When it is of another type.
    pub fn string(&mut self, name: &str) -> Result<Option<String>> {
        match self.take(name) {
            None => Ok(None),
            Some(Attribute::String(value)) => Ok(Some(value)),
            Some(other) => Err(wrong(name, "a string", &other)),
        }
    }

    /// A list of integers.
    ///
    /// # Errors
    /// When it is of another type.
    pub fn ints(&mut self, name: &str) -> Result<Option<Vec<i64>>> {
        match self.take(name) {
            None => Ok(None),
            Some(Attribute::Ints(value)) => Ok(Some(value)),
            // An empty list carries no type in the file.
            Some(Attribute::Floats(value)) if value.is_empty() => Ok(Some(Vec::new())),
            Some(other) => Err(wrong(name, "a list of integers", &other)),
        }
    }

    /// A list of floating-point numbers.
    ///
    /// # Errors
    /// When it is of another type.
    pub fn floats(&mut self, name: &str) -> Result<Option<Vec<f32>>> {
        match self.take(name) {
            None => Ok(None),
            Some(Attribute::Floats(value)) => Ok(Some(value)),
            Some(Attribute::Ints(value)) if value.is_empty() => Ok(Some(Vec::new())),
            Some(other) => Err(wrong(name, "a list of numbers", &other)),
        }
    }

    /// A list of strings.
    ///
    /// # Errors
    /// When it is of another type.
    pub fn strings(&mut self, name: &str) -> Result<Option<Vec<String>>> {
        match self.take(name) {
            None => Ok(None),
            Some(Attribute::Strings(value)) => Ok(Some(value)),
            // An empty list carries no type in the file.
            Some(Attribute::Ints(value)) if value.is_empty() => Ok(Some(Vec::new())),
            Some(Attribute::Floats(value)) if value.is_empty() => Ok(Some(Vec::new())),
            Some(other) => Err(wrong(name, "a list of strings", &other)),
        }
    }

    /// A tensor attribute.
    ///
    /// # Errors
    /// When it is of another type.
    pub fn tensor(&mut self, name: &str) -> Result<Option<Arc<Tensor>>> {
        match self.take(name) {
            None => Ok(None),
            Some(Attribute::Tensor(value)) => Ok(Some(value)),
            Some(other) => Err(wrong(name, "a tensor", &other)),
        }
    }

    /// A type of values: that of their tensors, and whether they are sequences.
    ///
    /// # Errors
    /// When it is of another type.
    pub(crate) fn value_type(&mut self, name: &str) -> Result<Option<(DType, bool)>> {
        match self.take(name) {
            None => Ok(None),
            Some(Attribute::Type(dtype, is_sequence)) => Ok(Some((dtype, is_sequence))),
            Some(other) => Err(wrong(name, "a type", &other)),
        }
    }

    /// An attribute that is an element type.
    ///
    /// # Errors
    /// When it is of another type, or tensors do not support the element type.
    pub fn dtype(&mut self, name: &str) -> Result<Option<DType>> {
        let Some(code) = self.int(name)? else { return Ok(None) };
        let dtype = DType::from_onnx(code);
        dtype.map(Some).ok_or_else(|| Error::unsupported(format!("attribute `{name}`: elements of ONNX type {code}")))
    }

    /// The remaining operands, once every attribute has been read.
    ///
    /// Trailing absent ones are dropped.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) naming the unread attributes.
    pub fn finish(mut self) -> Result<Vec<Option<ValueId>>> {
        if !self.attributes.is_empty() {
            let names: Vec<_> = self.attributes.iter().map(|(name, _)| name.as_str()).collect();
            return Err(Error::unsupported(format!("attributes {names:?} are not understood")));
        }
        while self.inputs.last().is_some_and(Option::is_none) {
            self.inputs.pop();
        }
        Ok(self.inputs)
    }
}

fn wrong(name: &str, expected: &str, found: &Attribute) -> Error {
    let found = match found {
        Attribute::Int(_) => "an integer",
        Attribute::Float(_) => "a number",
        Attribute::String(_) => "a string",
        Attribute::Tensor(_) => "a tensor",
        Attribute::Ints(_) => "a list of integers",
        Attribute::Floats(_) => "a list of numbers",
        Attribute::Strings(_) => "a list of strings",
        Attribute::Type(..) => "a type",
        Attribute::Other(name) => name,
    };
    Error::invalid_model(format!("attribute `{name}` is {found}, expected {expected}"))
}
