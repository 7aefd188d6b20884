//! Shape inference over a whole graph, and changes of the inputs' sizes.

use std::cell::RefCell;

use crate::{
    error::{Context, Error, Result},
    graph::{Fact, Graph, Node, ValueId},
    op::Inputs,
    shape::{Condition, Shape, Symbol},
};

impl Graph {
    /// Types and shapes of a node's outputs, from the current facts of its operands, and what they
    /// assume of the sizes of a run.
    ///
    /// # Errors
    /// When an operand does not fit the operator, or a size of a result is negative or overflows.
    pub(crate) fn infer(&self, node: &Node) -> Result<(Vec<Fact>, Vec<Condition>)> {
        let assumed = RefCell::default();
        let inputs = Inputs::new(self, &node.inputs).assuming(&assumed);
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
        for index in 0..self.nodes.len() {
            let (facts, assumed) = self.infer(&self.nodes[index])?;
            let node = self.nodes[index].clone();
            self.add_inferred_conditions(&node, assumed)?;
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
    /// When no symbol has that name, or an operator refuses the size.
    pub fn fix_symbol(&mut self, name: &str, size: usize) -> Result<()> {
        let index = self.symbols.iter().position(|other| other == name).ok_or_else(|| {
            Error::invalid_input(format!("the model has no dimension `{name}`; it has {:?}", self.symbols))
        })?;
        self.fix(Symbol(index as u32), size)?;
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
