//! Shape inference over a whole graph, and changes of the inputs' sizes.

use std::cell::RefCell;

use crate::{
    error::{Context, Error, Result},
    graph::{Fact, Graph, Node, ValueId},
    op::CpuState,
    shape::{Condition, Dim, Shape, Symbol},
};

impl Graph {
    /// Types and shapes of a node's outputs, from the current facts of its operands, and what they
    /// assume of the sizes of a run.
    ///
    /// # Errors
    /// When an operand does not fit the operator, or a size of a result is negative or overflows.
    pub(crate) fn infer(&self, node: &Node) -> Result<(Vec<Fact>, Vec<Condition>)> {
        let assumed = RefCell::default();
        let inputs = self.operands(node).assuming(&assumed);
        if !matches!(node.op.def().cpu, CpuState::Session | CpuState::Values(_)) {
            inputs.expect_tensors().context(|| node.describe())?;
        }
        if !node.op.takes_small() {
            inputs.expect_computable().context(|| node.describe())?;
        }
        let mut facts = node.op.infer(&inputs).context(|| node.describe())?;
        for fact in &mut facts {
            if !self.fixed.is_empty() {
                // Operators keep the symbols with which they were made.
                fact.substitute(&self.fixed);
            }
            fact.shape.fixed_elements().context(|| node.describe())?;
            if let Some(dim) =
                fact.shape.dims().iter().find(|dim| !dim.is_valid() || dim.as_fixed().is_some_and(|n| n < 0))
            {
                return Err(Error::invalid_model(format!("{} makes a tensor with the size {dim}", node.describe())));
            }
        }
        Ok((facts, assumed.into_inner()))
    }

    /// Infers every node's outputs again, after inputs or operators have changed.
    ///
    /// # Errors
    /// When an operand no longer fits its operator.
    pub fn infer_all(&mut self) -> Result<()> {
        let nodes = std::mem::take(&mut self.nodes);
        let result = nodes.iter().try_for_each(|node| self.infer_again(node));
        self.nodes = nodes;
        result
    }

    /// Infers the outputs of a node of the graph again.
    ///
    /// A size that the node measures stays so unless it has become a number: other values and
    /// conditions hold its symbol.
    ///
    /// # Errors
    /// When an operand no longer fits its operator.
    pub(crate) fn infer_again(&mut self, node: &Node) -> Result<()> {
        let (facts, assumed) = self.infer(node)?;
        self.add_inferred_conditions(node, assumed)?;
        for (&id, mut fact) in node.outputs.iter().zip(facts) {
            let held = self.fact(id).shape.clone();
            if held.rank() == fact.shape.rank() {
                let dims = held.dims().iter().zip(fact.shape.dims());
                fact.shape = dims.map(|(old, new)| self.settled_dim(node, old, new)).collect();
            }
            self.set_fact(id, fact);
        }
        Ok(())
    }

    /// The size of a result that was `old` and is now inferred as `new`.
    fn settled_dim(&mut self, node: &Node, old: &Dim, new: &Dim) -> Dim {
        let Some(symbol) = old.as_symbol().filter(|symbol| node.measured.contains(symbol)) else { return new.clone() };
        match new.as_fixed() {
            None => old.clone(),
            Some(size) => {
                // Operators may hold the symbol.
                self.fixed.bind(symbol, usize::try_from(size).unwrap_or_default());
                new.clone()
            }
        }
    }

    /// Fixes the sizes that `old` measured at those that `new` has, if all of them are numbers.
    ///
    /// # Errors
    /// When the operands do not fit the operator of `new`.
    pub(crate) fn settle(&mut self, old: &Node, new: &Node) -> Result<bool> {
        let (facts, _) = self.infer(new)?;
        if facts.len() < old.outputs.len() || facts.iter().any(|fact| fact.shape.as_fixed().is_none()) {
            return Ok(false);
        }
        self.infer_again(new)?;
        Ok(true)
    }

    /// Gives a symbolic dimension of the inputs a fixed size.
    ///
    /// # Errors
    /// When no symbol has that name, or an operator refuses the size.
    pub fn fix_symbol(&mut self, name: &str, size: usize) -> Result<()> {
        let index = self.symbols.iter().position(|other| other == name).ok_or_else(|| {
            let inputs = self.inputs.iter().flat_map(|id| self.fact(*id).shape.dims());
            let given: Vec<_> = inputs.filter_map(Dim::as_symbol).map(|own| &self.symbols[own.0 as usize]).collect();
            Error::invalid_input(format!("the model has no dimension `{name}`; it has {given:?}"))
        })?;
        self.fix(Symbol(index as u32), size)?;
        self.infer_all()
    }

    /// Replaces what is known of inputs.
    ///
    /// # Errors
    /// When an operator does not take them.
    pub(crate) fn set_input_facts(&mut self, facts: Vec<(ValueId, Fact)>) -> Result<()> {
        for (id, fact) in facts {
            self.set_fact(id, fact);
        }
        self.infer_all()
    }

    /// Replaces an input's shape, where the file's is wrong or needlessly fixed.
    ///
    /// A symbol that gets a number has it wherever it occurs.
    ///
    /// # Errors
    /// When no input has that name, or an operator refuses the shape.
    pub fn set_input_shape(&mut self, name: &str, shape: Shape) -> Result<()> {
        let id = self.inputs.iter().copied().find(|id| self.values[id.index()].name == name);
        let id = id.ok_or_else(|| Error::invalid_input(format!("the model has no input `{name}`")))?;
        let old = self.fact(id).shape.clone();
        for (old, new) in old.dims().iter().zip(shape.dims()).filter(|_| old.rank() == shape.rank()) {
            if let (Some(symbol), Some(size)) = (old.as_symbol(), new.as_fixed().and_then(|n| usize::try_from(n).ok()))
            {
                self.fix(symbol, size)?;
            }
        }
        self.values[id.index()].fact.shape = shape;
        self.forget_inferred_conditions();
        self.infer_all()
    }

    /// Lets runs choose the first dimension of every input; the nodes are not inferred again.
    pub(crate) fn open_first_dimensions(&mut self, size: &Dim) {
        for id in self.inputs.clone() {
            let mut fact = self.fact(id).clone();
            let rest = fact.shape.dims().iter().skip(1).cloned();
            fact.shape = std::iter::once(size.clone()).chain(rest).collect();
            fact.elements = None;
            self.set_fact(id, fact);
        }
        self.forget_inferred_conditions();
    }

    /// Gives a symbol a number in the inputs and all conditions.
    fn fix(&mut self, symbol: Symbol, size: usize) -> Result<()> {
        if let Some(old) = self.fixed.bind(symbol, size) {
            let name = &self.symbols[symbol.0 as usize];
            return Err(Error::invalid_input(format!("dimension `{name}` is fixed at {old} and cannot be {size}")));
        }
        for &ValueId(index) in &self.inputs {
            let fact = &mut self.values[index as usize].fact;
            fact.shape = fact.shape.substitute(&self.fixed);
        }
        self.fix_conditions()
    }
}
