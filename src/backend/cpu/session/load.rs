//! Loading on the CPU: kernels, then the plan.

use std::sync::{Mutex, atomic::AtomicUsize};

use crate::{
    backend::cpu::{
        kernels::{NodeKernels, Packed, left, threads},
        session::{CpuSession, Step},
    },
    error::Result,
    graph::Graph,
    kernels::{KernelSet, gemm::Factors},
    plan::{Plan, RunCap},
    rewrite,
    tensor::StringTable,
};

impl CpuSession {
    /// Makes the kernel of every node and drops the constants that kernels packed.
    ///
    /// # Errors
    /// If a node cannot run on the CPU.
    pub(crate) fn load(graph: Graph, kernel_set: KernelSet, factors: Factors) -> Result<Self> {
        Self::load_by(graph, kernel_set, factors, threads())
    }

    /// Like [`load`](Self::load), on the calling thread alone.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub(crate) fn load_here(graph: Graph, kernel_set: KernelSet, factors: Factors) -> Result<Self> {
        Self::load_by(graph, kernel_set, factors, 1)
    }

    /// Sets the most bytes of a run.
    pub(crate) fn capped(self, cap: RunCap) -> Self {
        Self { cap, ..self }
    }

    /// Makes kernels in groups of `at_once` nodes, on the threads of the current pool.
    fn load_by(mut graph: Graph, kernel_set: KernelSet, factors: Factors, at_once: usize) -> Result<Self> {
        graph.verify()?;
        rewrite::lay_out_for_cpu(&mut graph)?;
        if factors == Factors::Bf16 {
            rewrite::store_rounded(&mut graph)?;
        }
        let mut strings = StringTable::default();
        let NodeKernels { made, weights } = NodeKernels::make(&mut graph, kernel_set, factors, at_once, &mut strings)?;
        let mut packed: Vec<Packed> = Vec::with_capacity(made.len());
        let mut steps = Vec::new();
        for (node, made) in graph.nodes().iter().zip(made) {
            let Some((kernel, own)) = made else {
                packed.push(Packed::new());
                continue;
            };
            let (inputs, outputs) = (left(node, &own), node.outputs.iter().copied().collect());
            steps.push(Step { kernel, name: node.describe(), inputs, outputs });
            packed.push(own);
        }
        // A dropped constant has no place in the plan, and needs none.
        let plan = Plan::new(&graph, |node, operand| packed[node].contains(&operand));
        Ok(Self {
            graph,
            plan,
            steps,
            kernel_set,
            arenas: Mutex::default(),
            scratch: AtomicUsize::new(0),
            weights: weights + strings.bytes(),
            cap: RunCap::default(),
            strings: strings.into(),
        })
    }
}
