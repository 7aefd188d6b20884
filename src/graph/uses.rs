//! Producers and users of values.

use std::{cell::RefCell, collections::HashSet};

use crate::{
    graph::{Graph, Node},
    shape::{Dim, Symbol},
};

impl Graph {
    /// For each value the node that produces it, if any.
    pub fn producers(&self) -> Vec<Option<usize>> {
        let mut producers = vec![None; self.values.len()];
        for (index, node) in self.nodes.iter().enumerate() {
            for output in &node.outputs {
                producers[output.index()] = Some(index);
            }
        }
        producers
    }

    /// Whether sizes of the node's results are known only once it has run.
    pub(crate) fn is_measured(&self, node: &Node) -> bool {
        let mentions = |dim: &Dim| node.measured.iter().any(|symbol| dim.mentions(*symbol));
        !node.measured.is_empty() && node.outputs.iter().any(|id| self.fact(*id).shape.dims().iter().any(mentions))
    }

    /// The measured sizes that other nodes and conditions may need: those nodes must run that measure them.
    pub(crate) fn sizes_in_use<'a>(&self, nodes: impl IntoIterator<Item = &'a Node> + Clone) -> HashSet<Symbol> {
        if nodes.clone().into_iter().all(|node| node.measured.is_empty()) {
            return HashSet::new();
        }
        let used = RefCell::new(HashSet::new());
        for node in nodes {
            let facts = node.outputs.iter().map(|id| self.fact(*id));
            for dim in facts.flat_map(|fact| fact.shape.dims().iter().chain(fact.elements.iter().flatten())) {
                dim.all_symbols(&|symbol| {
                    if !node.measured.contains(&symbol) {
                        used.borrow_mut().insert(symbol);
                    }
                    true
                });
            }
        }
        let mut used = used.into_inner();
        used.extend(self.conditions.iter().flat_map(|(condition, _)| condition.symbols()));
        used
    }

    /// For each value how often nodes and the model's outputs use it.
    pub fn use_counts(&self) -> Vec<usize> {
        let mut counts = vec![0; self.values.len()];
        let operands = self.nodes.iter().flat_map(|node| node.inputs.iter().flatten());
        for id in operands.chain(&self.outputs) {
            counts[id.index()] += 1;
        }
        counts
    }
}
