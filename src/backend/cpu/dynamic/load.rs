//! Loading a graph whose sizes only a run tells: kernels, and where each value is used last.

use std::sync::{Mutex, atomic::AtomicUsize};

use smallvec::SmallVec;

use crate::{
    backend::cpu::{
        dynamic::{Action, DynamicSession, Step},
        kernels::{NodeKernels, left},
    },
    error::Result,
    graph::{Graph, Node, ValueId},
    kernels::{KernelSet, gemm::Factors},
    plan::RunCap,
    rewrite,
};

/// Why a graph cannot run by a plan of its sizes, `None` if it can.
pub(crate) fn reason(graph: &Graph) -> Option<String> {
    let node = graph.nodes().iter().find(|node| graph.is_measured(node))?;
    Some(format!("a size depends on the data of {}", node.describe()))
}

impl DynamicSession {
    /// Makes the kernel of every node and drops the constants that kernels packed.
    ///
    /// # Errors
    /// If a node cannot run on the CPU.
    pub(crate) fn load(mut graph: Graph, kernel_set: KernelSet, factors: Factors, at_once: usize) -> Result<Self> {
        graph.verify()?;
        if factors == Factors::Bf16 {
            rewrite::store_rounded(&mut graph)?;
        }
        let reason = reason(&graph).unwrap_or_default();
        let NodeKernels { made, weights, strings } = NodeKernels::make(&mut graph, kernel_set, factors, at_once)?;
        let mut steps = Vec::with_capacity(made.len());
        for (node, made) in graph.nodes().iter().zip(made) {
            let (action, inputs) = match made {
                Some((kernel, packed)) if graph.is_measured(node) => (Action::Measure(kernel), left(node, &packed)),
                Some((kernel, packed)) => (Action::Kernel(kernel), left(node, &packed)),
                None => (Action::View, node.inputs.iter().copied().collect()),
            };
            steps.push(step(node, action, inputs));
        }
        find_last_uses(&graph, &mut steps);
        let seen = (0..graph.value_count()).map(|_| AtomicUsize::new(0)).collect();
        let (runs, scratch) = (Mutex::default(), AtomicUsize::new(0));
        Ok(Self { graph, steps, kernel_set, weights, reason, runs, scratch, cap: RunCap::default(), seen, strings })
    }
}

fn step(node: &Node, action: Action, inputs: SmallVec<[Option<ValueId>; 6]>) -> Step {
    let outputs = node.outputs.iter().copied().collect();
    Step { action, name: node.describe(), inputs, outputs, last: SmallVec::new() }
}

/// Notes at each step the values that no later step uses, and that are no outputs.
fn find_last_uses(graph: &Graph, steps: &mut [Step]) {
    let mut used = vec![false; graph.value_count()];
    graph.outputs().iter().for_each(|id| used[id.index()] = true);
    for step in steps.iter_mut().rev() {
        for id in step.inputs.iter().flatten().chain(&step.outputs) {
            if !used[id.index()] && graph.constant_of(*id).is_none() {
                used[id.index()] = true;
                step.last.push(*id);
            }
        }
    }
}
