//! A graph with its chains folded: nodes that only hand on to one another become one box.

use crate::{
    graph::{Graph, Node, ValueId},
    inspect::fact_text,
};

/// A graph's chains, and what flows between them.
#[derive(Clone, Debug, Default)]
pub(super) struct Chains {
    pub boxes: Vec<Chain>,
    pub flows: Vec<Flow>,
}

/// What a box stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Input,
    Output,
    /// Nodes that the session's device runs.
    Device,
    /// Nodes that the CPU runs inside a session of another device.
    Host,
}

/// Nodes in a row, or an input or output.
#[derive(Clone, Debug)]
pub(super) struct Chain {
    pub kind: Kind,
    /// Operators in order, or the name.
    pub labels: Vec<String>,
}

/// A value that one box hands to another.
#[derive(Clone, Debug)]
pub(super) struct Flow {
    pub from: usize,
    pub to: usize,
    /// Type and dimensions.
    pub fact: String,
}

impl Chains {
    /// Folds the chains of a graph; `on_host` says which operators do not run on the session's device.
    pub(super) fn of(graph: &Graph, on_host: &dyn Fn(&str) -> bool) -> Self {
        let mut chains = Self::default();
        let mut makers: Vec<Option<usize>> = vec![None; graph.value_count()];
        let uses = uses(graph);
        for &id in graph.inputs() {
            makers[id.index()] = Some(chains.add(Kind::Input, graph.value(id).name.clone()));
        }
        for node in graph.nodes() {
            let kind = if on_host(node.op.def().name) { Kind::Host } else { Kind::Device };
            let operands = operands(graph, node);
            let own = match operands.as_slice() {
                [id] if uses[id.index()] == 1 && chains.hands_on(makers[id.index()], kind) => {
                    let own = makers[id.index()].unwrap_or_default();
                    chains.boxes[own].labels.push(node.op.def().name.to_owned());
                    own
                }
                _ => {
                    let own = chains.add(kind, node.op.def().name.to_owned());
                    for &id in &operands {
                        chains.flow(graph, &makers, id, own);
                    }
                    own
                }
            };
            for &id in &node.outputs {
                makers[id.index()] = Some(own);
            }
        }
        for &id in graph.outputs() {
            let own = chains.add(Kind::Output, graph.value(id).name.clone());
            chains.flow(graph, &makers, id, own);
        }
        chains
    }

    fn add(&mut self, kind: Kind, label: String) -> usize {
        self.boxes.push(Chain { kind, labels: vec![label] });
        self.boxes.len() - 1
    }

    /// Whether a node of that kind may join the box.
    fn hands_on(&self, maker: Option<usize>, kind: Kind) -> bool {
        maker.is_some_and(|maker| self.boxes[maker].kind == kind)
    }

    fn flow(&mut self, graph: &Graph, makers: &[Option<usize>], id: ValueId, to: usize) {
        if let Some(from) = makers[id.index()] {
            let fact = graph.fact(id);
            self.flows.push(Flow { from, to, fact: fact_text(fact.dtype, &fact.shape, graph.symbols()) });
        }
    }
}

/// The operands that are no constants, each once.
fn operands(graph: &Graph, node: &Node) -> Vec<ValueId> {
    let mut ids: Vec<ValueId> = Vec::new();
    for id in node.inputs.iter().copied().flatten() {
        if graph.constant_of(id).is_none() && !ids.contains(&id) {
            ids.push(id);
        }
    }
    ids
}

/// How many nodes and outputs use each value.
fn uses(graph: &Graph) -> Vec<usize> {
    let mut uses = vec![0; graph.value_count()];
    for node in graph.nodes() {
        for id in operands(graph, node) {
            uses[id.index()] += 1;
        }
        // A node with several results does not only hand on.
        if node.outputs.len() > 1 {
            node.outputs.iter().for_each(|id| uses[id.index()] += 1);
        }
    }
    graph.outputs().iter().for_each(|id| uses[id.index()] += 1);
    uses
}
