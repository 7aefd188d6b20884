//! Checks of a graph: definitions before uses, and facts that hold.

use crate::{
    error::{Error, Result},
    graph::{Graph, ValueId},
    shape::Dim,
};

impl Graph {
    /// Checks that the graph is safe to plan.
    ///
    /// Every operand is an input, a constant or made by an earlier node; no value is made twice;
    /// inference gives the types and shapes that the graph holds.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidModel`](crate::ErrorKind::InvalidModel) with the first fault and its
    /// node.
    pub fn verify(&self) -> Result<()> {
        let mut defined = vec![false; self.values.len()];
        for (index, value) in self.values.iter().enumerate() {
            defined[index] = value.constant.is_some();
            if let Some(tensor) = &value.constant
                && value.fact.shape.as_fixed().as_deref() != Some(tensor.shape())
            {
                return Err(Error::invalid_model(format!("constant `{}` is not of its declared shape", value.name)));
            }
        }
        let mut define = |id: ValueId, what: &str| match defined.get_mut(id.index()) {
            Some(slot) if !*slot => {
                *slot = true;
                Ok(())
            }
            Some(_) => Err(Error::invalid_model(format!("value `{}` is made twice, by {what}", self.value(id).name))),
            None => Err(Error::internal(format!("{what} makes a value that does not exist"))),
        };
        for &id in &self.inputs {
            define(id, "the inputs")?;
        }
        // Definitions are collected first; then uses are checked against their positions.
        let mut made_at = vec![usize::MAX; self.values.len()];
        for (index, node) in self.nodes.iter().enumerate() {
            for &id in &node.outputs {
                define(id, &node.describe())?;
                made_at[id.index()] = index;
            }
        }
        for (index, node) in self.nodes.iter().enumerate() {
            for &id in node.inputs.iter().flatten() {
                self.check_use(id, &defined, &node.describe())?;
                if made_at[id.index()] != usize::MAX && made_at[id.index()] >= index {
                    let name = &self.value(id).name;
                    return Err(Error::invalid_model(format!("{} uses `{name}` before it is made", node.describe())));
                }
            }
            let (facts, _) = self.infer(node)?;
            if facts.len() < node.outputs.len() {
                return Err(Error::invalid_model(format!("{} has too many outputs", node.describe())));
            }
            for (fact, &id) in facts.iter().zip(&node.outputs) {
                let held = self.fact(id);
                let mut dims = fact.shape.dims().iter().zip(held.shape.dims());
                let is_measured = |dim: &Dim| dim.as_symbol().is_some_and(|symbol| node.measured.contains(&symbol));
                let fits =
                    fact.shape.rank() == held.shape.rank() && dims.all(|(own, held)| own == held || is_measured(held));
                if (fact.dtype, &fact.kind) != (held.dtype, &held.kind) || !fits {
                    let name = &self.value(id).name;
                    return Err(Error::invalid_model(format!(
                        "{}: `{name}` is {fact}, held as {held}",
                        node.describe()
                    )));
                }
            }
        }
        for &id in &self.outputs {
            self.check_use(id, &defined, "the outputs")?;
        }
        Ok(())
    }

    fn check_use(&self, id: ValueId, defined: &[bool], by: &str) -> Result<()> {
        match defined.get(id.index()) {
            Some(true) => Ok(()),
            Some(false) => {
                let name = &self.value(id).name;
                Err(Error::invalid_model(format!("{by} uses `{name}`, which nothing makes")))
            }
            None => Err(Error::internal(format!("{by} uses a value that does not exist"))),
        }
    }
}
