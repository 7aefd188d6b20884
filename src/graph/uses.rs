//! Producers and users of values.

use crate::graph::Graph;

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
