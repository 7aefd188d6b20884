//! The operands of a node.

use std::{cell::RefCell, sync::Arc};

use crate::{
    error::{Error, Result},
    graph::{Fact, Graph, ValueId},
    shape::{Condition, Dim, Shape, Symbol},
    tensor::{DType, Tensor},
};

/// The operands of a node, for shape inference and loading.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a> {
    graph: &'a Graph,
    ids: &'a [Option<ValueId>],
    measured: &'a [Symbol],
    assumed: Option<&'a RefCell<Vec<Condition>>>,
}

impl<'a> Inputs<'a> {
    /// The operands `ids` of `graph`.
    pub fn new(graph: &'a Graph, ids: &'a [Option<ValueId>]) -> Self {
        Self { graph, ids, measured: &[], assumed: None }
    }

    /// The same operands, of a node that measures the sizes `measured`.
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

    /// Whether the size depends on one that a node of the graph measures.
    pub(crate) fn is_measured_size(&self, size: &Dim) -> bool {
        let given = |symbol| {
            let dims = self.graph.inputs().iter().flat_map(|id| self.graph.fact(*id).shape.dims());
            dims.into_iter().any(|dim| dim.mentions(symbol))
        };
        !size.all_symbols(&|symbol| given(symbol) || !self.graph.is_measured_symbol(symbol))
    }

    /// The same operands; what inference assumes of them is added to `assumed`.
    pub(crate) fn assuming(self, assumed: &'a RefCell<Vec<Condition>>) -> Self {
        Self { assumed: Some(assumed), ..self }
    }

    /// Notes that the inferred shapes hold only in runs that fulfil the condition.
    ///
    /// The condition is checked in each run, also where a rewrite removes the node.
    ///
    /// # Errors
    /// When no run can fulfil it.
    pub(crate) fn assume(&self, condition: Condition) -> Result<()> {
        match (condition.decide(), self.assumed) {
            (Some(true), _) | (None, None) => Ok(()),
            (None, Some(assumed)) => {
                assumed.borrow_mut().push(condition);
                Ok(())
            }
            (Some(false), _) => Err(Error::invalid_model(condition.violation())),
        }
    }

    /// The result of broadcasting two shapes; what only a run knows is assumed.
    ///
    /// # Errors
    /// When they cannot be broadcast.
    pub(crate) fn broadcast(&self, a: &Shape, b: &Shape) -> Result<Shape> {
        let mut assumed = Vec::new();
        let shape = a.broadcast(b, &mut |condition| assumed.push(condition))?;
        assumed.into_iter().try_for_each(|condition| self.assume(condition))?;
        Ok(shape)
    }

    /// Requires that `own` broadcasts to `whole`, which stays as it is.
    ///
    /// # Errors
    /// When it does not.
    pub(crate) fn broadcast_into(&self, own: &Shape, whole: &Shape) -> Result<()> {
        let misfit = || Error::invalid_model(format!("shape {own} does not broadcast to {whole}"));
        let met = self.broadcast(whole, own).map_err(|_| misfit())?;
        if met.rank() != whole.rank() {
            return Err(misfit());
        }
        for (size, met) in whole.dims().iter().zip(met.dims()) {
            self.assume(Condition::equal("an axis of the result", size, met)).map_err(|_| misfit())?;
        }
        Ok(())
    }

    /// The size of axes that must be equal: the number, if one of them is; `what` names the second.
    ///
    /// # Errors
    /// When they are unlike numbers.
    pub(crate) fn equal(&self, what: &'static str, size: &Dim, other: &Dim) -> Result<Dim> {
        self.assume(Condition::equal(what, other, size))?;
        Ok(if other.as_fixed().is_some() { other.clone() } else { size.clone() })
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

    /// Refuses operands of small types, which kernels do not compute with.
    ///
    /// # Errors
    /// Names the first of them.
    pub(crate) fn expect_computable(&self) -> Result<()> {
        let small = |index| self.fact(index).filter(|fact| matches!(fact.dtype, DType::Small(_)));
        match (0..self.len()).find_map(|index| Some((index, small(index)?))) {
            Some((index, fact)) => Err(Error::unsupported(format!(
                "operand {index} is {fact}; elements of {} are stored, moved and cast, not computed with",
                fact.dtype
            ))),
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
