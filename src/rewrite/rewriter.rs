//! A graph under rewriting, with up-to-date producers and use counts.

use std::{collections::HashSet, sync::Arc};

use crate::{
    error::Result,
    graph::{Fact, Graph, Node, ValueId},
    op::Operator,
    shape::Symbol,
    tensor::Tensor,
};

/// A rule: rewrites node `index` if it matches.
pub(super) type Rule = fn(&mut Rewriter<'_>, usize) -> Result<()>;

pub(super) struct Rewriter<'a> {
    graph: &'a mut Graph,
    /// The graph's nodes first, then those that rules add.
    nodes: Vec<Node>,
    /// For each added node the node that it precedes.
    before: Vec<usize>,
    producers: Vec<Option<usize>>,
    uses: Vec<usize>,
    /// The replacement of each value; itself if it has none.
    forward: Vec<ValueId>,
    /// Sizes whose measuring nodes stay, used or not.
    sizes: HashSet<Symbol>,
}

/// Applies the rules in order, each to every node.
pub(super) fn apply(graph: &mut Graph, rules: &[Rule]) -> Result<()> {
    for rule in rules {
        let producers = graph.producers();
        let uses = graph.use_counts();
        let forward = (0..graph.value_count()).map(|index| ValueId(index as u32)).collect();
        let sizes = graph.sizes_in_use(&graph.nodes);
        let nodes = std::mem::take(&mut graph.nodes);
        let count = nodes.len();
        let mut rewriter = Rewriter { graph, nodes, before: Vec::new(), producers, uses, forward, sizes };
        let result = (0..count).try_for_each(|index| {
            rewriter.resolve_inputs(index);
            rule(&mut rewriter, index)
        });
        rewriter.finish(count);
        result?;
    }
    Ok(())
}

impl Rewriter<'_> {
    /// Node `index`.
    pub(super) fn node(&self, index: usize) -> &Node {
        &self.nodes[index]
    }

    /// The operator of node `index` and its operands, if it is a `T`.
    pub(super) fn is<T: Operator>(&self, index: usize) -> Option<(&T, &[Option<ValueId>])> {
        let node = &self.nodes[index];
        Some((node.op()?, &node.inputs))
    }

    /// The node that produces a value, if it is a `T`.
    pub(super) fn made_by<T: Operator>(&self, id: ValueId) -> Option<(&T, &[Option<ValueId>])> {
        self.is(self.producers[id.index()]?)
    }

    /// The node that produces a value.
    pub(super) fn producer(&self, id: ValueId) -> Option<usize> {
        self.producers[id.index()]
    }

    /// What is known of a value.
    pub(super) fn fact(&self, id: ValueId) -> &Fact {
        self.graph.fact(id)
    }

    /// A value's tensor, if it is a constant.
    pub(super) fn constant(&self, id: ValueId) -> Option<&Arc<Tensor>> {
        self.graph.constant_of(id)
    }

    /// Whether exactly one operand, and no output of the model, uses a value.
    pub(super) fn used_once(&self, id: ValueId) -> bool {
        self.uses[id.index()] == 1 && !self.graph.outputs().contains(&id)
    }

    /// Adds a constant.
    pub(super) fn add_constant(&mut self, name: &str, tensor: Tensor) -> ValueId {
        let id = self.graph.constant(name, tensor);
        self.grow(None);
        id
    }

    /// Inserts a node with one output before node `index`.
    pub(super) fn insert(&mut self, index: usize, op: impl Operator, inputs: Vec<Option<ValueId>>) -> Result<ValueId> {
        self.insert_shared(index, Arc::new(op), inputs)
    }

    /// Inserts a node with the operator of node `index` before it.
    pub(super) fn insert_like(&mut self, index: usize, inputs: Vec<Option<ValueId>>) -> Result<ValueId> {
        self.insert_shared(index, self.nodes[index].op.clone(), inputs)
    }

    fn insert_shared(&mut self, index: usize, op: Arc<dyn Operator>, inputs: Vec<Option<ValueId>>) -> Result<ValueId> {
        let name = self.nodes[index].name.clone();
        // The graph's own list is empty while rules run: the node is moved out at once.
        let outputs = self.graph.node(&name, op, inputs)?;
        let node = self.graph.nodes.pop();
        for _ in &outputs {
            self.grow(Some(self.nodes.len()));
        }
        if let Some(node) = node {
            for id in node.inputs.iter().flatten() {
                self.uses[id.index()] += 1;
            }
            self.nodes.push(node);
            self.before.push(index);
        }
        Ok(outputs[0])
    }

    /// Replaces the operator of node `index`.
    ///
    /// Nothing changes if a result's type or shape would.
    pub(super) fn replace(&mut self, index: usize, op: impl Operator, inputs: Vec<Option<ValueId>>) -> Result<()> {
        let new = Node { op: Arc::new(op), inputs, ..self.nodes[index].clone() };
        let Ok((facts, _)) = self.graph.infer(&new) else { return Ok(()) };
        let same = facts.iter().zip(&new.outputs).all(|(fact, &id)| {
            let old = self.graph.fact(id);
            (fact.dtype, &fact.shape) == (old.dtype, &old.shape)
        });
        if !same || facts.len() < new.outputs.len() {
            return Ok(());
        }
        for id in new.inputs.iter().flatten() {
            self.uses[id.index()] += 1;
        }
        let old = std::mem::replace(&mut self.nodes[index], new);
        for id in old.inputs.into_iter().flatten() {
            self.release(id);
        }
        Ok(())
    }

    /// Redirects all uses of the node's single result to `new`.
    ///
    /// An output of the model keeps its node.
    pub(super) fn alias(&mut self, index: usize, new: ValueId) {
        let [old] = self.nodes[index].outputs[..] else { return };
        if self.graph.outputs().contains(&old) {
            return;
        }
        self.forward[old.index()] = new;
        let users = std::mem::take(&mut self.uses[old.index()]);
        self.uses[new.index()] += users;
        for id in std::mem::take(&mut self.nodes[index].inputs).into_iter().flatten() {
            self.release(id);
        }
    }

    /// Removes one use of a value; nodes that become unused release their operands.
    fn release(&mut self, id: ValueId) {
        let mut pending = vec![id];
        while let Some(id) = pending.pop() {
            let uses = &mut self.uses[id.index()];
            *uses = uses.saturating_sub(1);
            if *uses > 0 {
                continue;
            }
            if let Some(producer) = self.producers[id.index()] {
                let node = &self.nodes[producer];
                let dead = node.outputs.iter().all(|output| self.uses[output.index()] == 0)
                    && !node.measured.iter().any(|symbol| self.sizes.contains(symbol));
                if dead {
                    pending.extend(std::mem::take(&mut self.nodes[producer].inputs).into_iter().flatten());
                }
            }
        }
    }

    fn grow(&mut self, producer: Option<usize>) {
        self.forward.push(ValueId(self.forward.len() as u32));
        self.producers.push(producer);
        self.uses.push(0);
    }

    fn resolve_inputs(&mut self, index: usize) {
        for id in self.nodes[index].inputs.iter_mut().flatten() {
            while self.forward[id.index()] != *id {
                *id = self.forward[id.index()];
            }
        }
    }

    /// Returns the nodes to the graph: added ones in position, unused ones dropped.
    fn finish(mut self, count: usize) {
        for index in 0..self.nodes.len() {
            self.resolve_inputs(index);
        }
        let mut added: Vec<Vec<Node>> = vec![Vec::new(); count];
        for (node, &before) in self.nodes.split_off(count).into_iter().zip(&self.before) {
            added[before].push(node);
        }
        let mut nodes = Vec::with_capacity(count + self.before.len());
        for (node, ahead) in self.nodes.into_iter().zip(added) {
            nodes.extend(ahead);
            nodes.push(node);
        }
        let uses = self.uses;
        let outputs = self.graph.outputs().to_vec();
        let sizes = self.sizes;
        nodes.retain(|node| {
            node.outputs.iter().any(|id| uses[id.index()] > 0 || outputs.contains(id))
                || node.measured.iter().any(|symbol| sizes.contains(symbol))
        });
        self.graph.nodes = nodes;
    }
}
