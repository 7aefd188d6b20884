//! Fuses consecutive pointwise `f32` operators, so that intermediate results need no memory.
//!
//! Runs last: other passes match the single operators.

use std::sync::Arc;

use crate::{
    error::Result,
    graph::{Graph, Node, ValueId},
    ops::pointwise::{Binary, ChainStep, PointwiseChain, Unary},
    tensor::DType,
};

/// The most values that a chain reads: each is one more stream through the cache.
const MAX_OPERANDS: usize = 8;

#[derive(Clone, Default)]
struct Chain {
    steps: Vec<ChainStep>,
    operands: Vec<ValueId>,
    /// The nodes whose results are no longer stored.
    absorbed: Vec<usize>,
}

impl Chain {
    /// Whether a further step may read `other`.
    fn has_room(&self, other: Option<ValueId>) -> bool {
        let known = other.is_none_or(|id| self.operands.contains(&id));
        self.operands.len() + usize::from(!known) <= MAX_OPERANDS
    }

    fn operand(&mut self, id: ValueId) -> usize {
        self.operands.iter().position(|&own| own == id).unwrap_or_else(|| {
            self.operands.push(id);
            self.operands.len() - 1
        })
    }
}

pub(super) fn run(graph: &mut Graph) -> Result<()> {
    let producers = graph.producers();
    let uses = graph.use_counts();
    let mut chains: Vec<Option<Chain>> = vec![None; graph.nodes().len()];
    for index in 0..graph.nodes().len() {
        let longest = {
            let node = &graph.nodes()[index];
            // A result is fused if nothing else reads it and it has the final shape already.
            let before = |id: ValueId| {
                let producer = producers[id.index()].filter(|_| uses[id.index()] == 1)?;
                let same = graph.fact(id).shape == graph.fact(node.outputs[0]).shape;
                chains[producer].as_ref().filter(|_| same).map(|chain| (producer, chain))
            };
            node.inputs
                .iter()
                .enumerate()
                .filter_map(|(position, id)| Some((position, before((*id)?)?)))
                .max_by_key(|(_, (_, chain))| chain.steps.len())
                .map(|(position, (producer, _))| (position, producer))
        };
        let node = &graph.nodes()[index];
        let joined = longest.and_then(|(position, producer)| {
            let (step, other) = step(graph, node, position)?;
            let mut chain = chains[producer].take_if(|chain| chain.has_room(other))?;
            push(&mut chain, step, other);
            chain.absorbed.push(producer);
            Some(chain)
        });
        chains[index] = joined.or_else(|| begin(graph, node));
    }
    let mut gone = vec![false; graph.nodes().len()];
    for (index, chain) in chains.into_iter().enumerate() {
        let Some(chain) = chain.filter(|chain| chain.steps.len() > 1) else { continue };
        let mut node = graph.nodes()[index].clone();
        node.op = Arc::new(PointwiseChain { steps: chain.steps });
        node.inputs = chain.operands.into_iter().map(Some).collect();
        let fits = graph.infer(&node)?.0.first().is_some_and(|fact| fact.shape == graph.fact(node.outputs[0]).shape);
        if fits {
            graph.nodes[index] = node;
            chain.absorbed.into_iter().for_each(|index| gone[index] = true);
        }
    }
    let mut gone = gone.into_iter();
    graph.nodes.retain(|_| !gone.next().unwrap_or(false));
    Ok(())
}

/// The step of a node that a chain can contain, with operand `position` as the result so far.
fn step(graph: &Graph, node: &Node, position: usize) -> Option<(ChainStep, Option<ValueId>)> {
    let is_f32 = |id: &Option<ValueId>| id.is_some_and(|id| graph.fact(id).dtype == DType::F32);
    if node.outputs.len() != 1 || !node.inputs.iter().all(is_f32) {
        return None;
    }
    let (step, other) = match (node.op::<Unary>(), node.op::<Binary>(), node.inputs.as_slice()) {
        (Some(op), _, [_]) => (ChainStep::Unary(op.function), None),
        (_, Some(op), [_, _]) => {
            let swapped = position == 1;
            (ChainStep::Binary { function: op.function, operand: 0, swapped }, node.inputs[1 - position])
        }
        _ => return None,
    };
    step.is_numeric().then_some((step, other))
}

/// Appends a step with operand `other` to a chain.
fn push(chain: &mut Chain, step: ChainStep, other: Option<ValueId>) {
    let step = match (step, other) {
        (ChainStep::Binary { function, swapped, .. }, Some(other)) => {
            ChainStep::Binary { function, operand: chain.operand(other), swapped }
        }
        (step, _) => step,
    };
    chain.steps.push(step);
}

/// A chain of this node alone, starting with an operand of the result's shape if possible.
fn begin(graph: &Graph, node: &Node) -> Option<Chain> {
    let whole = |id: &Option<ValueId>| id.is_some_and(|id| graph.fact(id).shape == graph.fact(node.outputs[0]).shape);
    let position = node.inputs.iter().position(whole).unwrap_or(0);
    let (step, other) = step(graph, node, position)?;
    let mut chain = Chain::default();
    chain.operand(node.inputs[position]?);
    push(&mut chain, step, other);
    Some(chain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        backend::{cpu::CpuSession, device::RunOutputs},
        kernels::{KernelSet, gemm::Factors},
        ops::pointwise::{BinaryFunction as B, UnaryFunction as U},
        shape::{Dim, Shape},
        tensor::Tensor,
    };

    fn results(graph: &Graph, x: &[f32], rows: usize) -> Vec<Vec<u8>> {
        let session = CpuSession::load(graph.clone(), KernelSet::detect(), Factors::F32).unwrap();
        session
            .run(
                |bindings| {
                    bindings.bind(crate::shape::Symbol(0), rows);
                    Ok(())
                },
                |_, bytes, _| {
                    bytes.copy_from_slice(bytemuck::cast_slice(x));
                    Ok(())
                },
                |outputs| Ok((0..graph.outputs().len()).map(|index| outputs.get(index).1.to_vec()).collect()),
            )
            .unwrap()
    }

    /// `1 - tanh(x / w + x) * x`, the product read by two.
    fn graph() -> Graph {
        let mut graph = Graph::new("chain");
        let n = Dim::symbol(graph.symbol("n"));
        let x = graph.input("x", DType::F32, Shape::new(vec![n, Dim::from(5)]));
        let w = graph.constant("w", Tensor::new([5], &[1f32, 2.0, 3.0, 4.0, 5.0]).unwrap());
        let one = graph.constant("one", Tensor::scalar(1f32));
        let mut apply = |name: &str, function: B, a, b| graph.apply(name, Binary { function }, &[a, b]).unwrap();
        let quotient = apply("quotient", B::Div, x, w);
        let sum = apply("sum", B::Add, quotient, x);
        let gate = graph.apply("gate", Unary { function: U::Tanh }, &[sum]).unwrap();
        let product = graph.apply("product", Binary { function: B::Mul }, &[gate, x]).unwrap();
        let rest = graph.apply("rest", Binary { function: B::Sub }, &[one, product]).unwrap();
        let logarithm = graph.apply("logarithm", Unary { function: U::Log }, &[product]).unwrap();
        graph.output("rest", rest);
        graph.output("logarithm", logarithm);
        graph
    }

    #[test]
    fn followers_are_joined_up_to_a_value_that_two_read() {
        let mut fused = graph();
        run(&mut fused).unwrap();
        fused.verify().unwrap();
        let names: Vec<_> = fused.nodes().iter().map(|node| (node.op.def().name, node.inputs.len())).collect();
        assert_eq!(names, [("PointwiseChain", 2), ("Sub", 2), ("Log", 1)]);
    }

    #[test]
    fn the_results_are_the_same_bits() {
        let mut fused = graph();
        run(&mut fused).unwrap();
        let x: Vec<f32> = (0..35).map(|i| (i as f32 * 0.7).sin() * 3.0).collect();
        assert_eq!(results(&graph(), &x, 7), results(&fused, &x, 7));
    }

    #[test]
    fn a_value_that_is_stretched_is_kept() {
        let mut graph = Graph::new("stretched");
        let x = graph.input("x", DType::F32, Shape::fixed(&[4, 1]));
        let row = graph.constant("row", Tensor::new([3], &[1f32, 2.0, 3.0]).unwrap());
        let root = graph.apply("root", Unary { function: U::Sqrt }, &[x]).unwrap();
        let product = graph.apply("product", Binary { function: B::Mul }, &[root, row]).unwrap();
        let sum = graph.apply("sum", Unary { function: U::Exp }, &[product]).unwrap();
        graph.output("y", sum);
        run(&mut graph).unwrap();
        graph.verify().unwrap();
        let names: Vec<_> = graph.nodes().iter().map(|node| node.op.def().name).collect();
        assert_eq!(names, ["Sqrt", "PointwiseChain"]);
    }
}
