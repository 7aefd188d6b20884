//! The operands of a node.

use std::sync::Arc;

use crate::{
    error::{Error, Result},
    graph::{Fact, Graph, ValueId},
    shape::{Dim, Symbol},
    tensor::Tensor,
};

/// The operands of a node, for shape inference and loading.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a> {
    graph: &'a Graph,
    ids: &'a [Option<ValueId>],
    measured: &'a [Symbol],
}

impl<'a> Inputs<'a> {
    /// The operands `ids` of `graph`.
    pub fn new(graph: &'a Graph, ids: &'a [Option<ValueId>]) -> Self {
        Self { graph, ids, measured: &[] }
    }

    /// The same operands of a node that measures these symbols.
    pub(crate) fn measuring(self, measured: &'a [Symbol]) -> Self {
        Self { measured, ..self }
    }

    /// Size `index` of those that only the node's run tells.
    ///
    /// # Errors
    /// When the node measures fewer: its operands are not those with which it was made.
    pub(crate) fn measured(&self, index: usize) -> Result<Dim> {
        let symbol = self.measured.get(index).copied().map(Dim::symbol);
        symbol.ok_or_else(|| Error::invalid_model("the operands have more dimensions than when the model was read"))
    }

    /// The number of operands, absent ones counted.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether the node has no operands.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// The value of operand `index`, if it is present.
    pub fn id(&self, index: usize) -> Option<ValueId> {
        self.ids.get(index).copied().flatten()
    }

    /// What is known of an operand, if it is present.
    pub fn fact(&self, index: usize) -> Option<&'a Fact> {
        self.id(index).map(|id| self.graph.fact(id))
    }

    /// What is known of an operand that must be present.
    ///
    /// # Errors
    /// When it is absent.
    pub fn required(&self, index: usize) -> Result<&'a Fact> {
        self.fact(index).ok_or_else(|| Error::invalid_model(format!("operand {index} is missing")))
    }

    /// Refuses operands that are no tensors.
    ///
    /// # Errors
    /// Names the first of them.
    pub(crate) fn expect_tensors(&self) -> Result<()> {
        let other = (0..self.len()).find_map(|index| Some((index, self.fact(index).filter(|fact| !fact.is_tensor())?)));
        match other {
            Some((index, fact)) => {
                Err(Error::invalid_model(format!("operand {index} is {fact}, where a tensor is expected")))
            }
            None => Ok(()),
        }
    }

    /// Refuses a wrong number of operands.
    ///
    /// # Errors
    /// When they are fewer than `least` or more than `most`.
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

    /// The elements of a small integer operand that is constant or depends on shapes alone.
    pub fn integers(&self, index: usize) -> Option<&'a [Dim]> {
        self.fact(index).and_then(|fact| fact.elements.as_deref())
    }
}
