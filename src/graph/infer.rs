//! Shape inference over a whole graph, and changes of the inputs' sizes.

use crate::{
    error::{Context, Error, Result},
    graph::{Fact, Graph, Node},
    op::Inputs,
    shape::{Dim, Shape, Symbol},
};

impl Graph {
    /// Types and shapes of a node's outputs, from the current facts of its operands.
    ///
    /// # Errors
    /// When an operand does not fit the operator, or a size of a result is negative or overflows.
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
    /// When no symbol has that name, or an operator refuses the size.
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

    /// Replaces an input's shape, where the file's is wrong or needlessly fixed.
    ///
    /// # Errors
    /// When no input has that name, or an operator refuses the shape.
    pub fn set_input_shape(&mut self, name: &str, shape: Shape) -> Result<()> {
        let id = self.inputs.iter().copied().find(|id| self.values[id.index()].name == name);
        let id = id.ok_or_else(|| Error::invalid_input(format!("the model has no input `{name}`")))?;
        self.values[id.index()].fact.shape = shape;
        self.infer_all()
    }
}
