//! How the items of a chunk are combined, proven from the graph.

use crate::{
    graph::{Graph, ValueId},
    shape::{Dim, Symbol},
};

/// How items are combined in one run, and their outputs separated.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Batching {
    /// Each item is a run of its own.
    Single {
        /// Why items cannot be run together, for the report.
        reason: String,
    },
    /// Items are concatenated along the first axis of every input.
    Rows {
        /// The size of that axis.
        #[doc(hidden)]
        symbol: Symbol,
    },
    /// Sequences are concatenated without padding; a further input holds their offsets.
    Packed {
        /// The number of rows of all items together.
        #[doc(hidden)]
        tokens: Symbol,
        /// The number of items.
        #[doc(hidden)]
        sequences: Symbol,
        /// The i32 input `[sequences + 1]` of each item's first row, then the end; the session
        /// fills it.
        #[doc(hidden)]
        offsets: ValueId,
    },
    /// Not inferred yet.
    #[default]
    Unknown,
}

impl Graph {
    /// Infers whether rows of the first axis are independent throughout the graph.
    ///
    /// Sets [`batching`](Self::batching) accordingly, unless it is set already.
    pub fn find_batching(&mut self) {
        if self.batching == Batching::Unknown {
            self.batching = match self.batch_symbol() {
                Ok(symbol) => Batching::Rows { symbol },
                Err(reason) => Batching::Single { reason },
            };
        }
    }

    fn batch_symbol(&self) -> Result<Symbol, String> {
        let mut symbol = None;
        for &id in &self.inputs {
            let own = self.fact(id).shape.dims().first().and_then(Dim::as_symbol);
            let own = own.ok_or_else(|| format!("input `{}` has no symbolic first dimension", self.value(id).name))?;
            if *symbol.get_or_insert(own) != own {
                return Err("the inputs' first dimensions are different symbols".into());
            }
        }
        let symbol = symbol.ok_or("the model has no inputs")?;
        // Items that are put together have one such size each, and their run another.
        if let Some(id) =
            self.inputs.iter().find(|id| self.fact(**id).shape.dims()[1..].iter().any(|d| d.mentions(symbol)))
        {
            let (input, size) = (&self.value(*id).name, &self.symbols[symbol.0 as usize]);
            return Err(format!("input `{input}` has `{size}` as another dimension too"));
        }
        let mut axes: Vec<Option<usize>> = vec![None; self.values.len()];
        for &id in &self.inputs {
            axes[id.index()] = Some(0);
        }
        for node in &self.nodes {
            let own: Vec<_> = node.inputs.iter().map(|id| id.and_then(|id| axes[id.index()])).collect();
            let independent = own.iter().all(Option::is_none);
            let depends_on_size = |id: &ValueId| self.fact(*id).shape.dims().iter().any(|dim| dim.mentions(symbol));
            if independent && node.op.bodies().is_empty() && !node.outputs.iter().any(depends_on_size) {
                continue;
            }
            let inputs = self.operands(node);
            let found = node.op.batch_axes(&inputs, &own, &Dim::symbol(symbol));
            let found = found
                .ok_or_else(|| format!("{} may mix rows of `{}`", node.describe(), self.symbols[symbol.0 as usize]))?;
            for (&id, axis) in node.outputs.iter().zip(found) {
                axes[id.index()] = axis;
            }
        }
        if let Some((condition, node)) = self.conditions.iter().find(|(condition, _)| condition.mentions(symbol)) {
            let name = &self.symbols[symbol.0 as usize];
            return Err(format!("{node} needs a size of `{name}`: {}", condition.violation()));
        }
        for &id in &self.outputs {
            if axes[id.index()] != Some(0) {
                return Err(format!("output `{}` does not keep the batch as its first dimension", self.value(id).name));
            }
        }
        Ok(symbol)
    }
}
