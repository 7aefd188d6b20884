//! Loading on the CPU: kernels in groups of nodes, then the plan.

use std::sync::{Arc, Mutex, atomic::AtomicUsize};

use rayon::prelude::*;
use smallvec::SmallVec;

use crate::{
    backend::cpu::session::{CpuSession, Step},
    error::{Context, Error, Result},
    graph::{Graph, Node, ValueId},
    kernels::{KernelSet, gemm::Factors},
    op::{CpuKernel, CpuState, KernelRequest, PackedConstants},
    plan::Plan,
    rewrite,
    tensor::{DType, StringTable, Tensor},
};

/// Positions of the operands that a kernel packed.
type Packed = SmallVec<[usize; 4]>;

/// A kernel and the operands that it packed.
type Made = (Box<dyn CpuKernel>, Packed);

impl CpuSession {
    /// Makes the kernel of every node and drops the constants that kernels packed.
    ///
    /// # Errors
    /// If a node cannot run on the CPU.
    pub(crate) fn load(graph: Graph, kernel_set: KernelSet, factors: Factors) -> Result<Self> {
        // Outside a pool rayon would start its global one.
        let threads = rayon::current_thread_index().map_or(1, |_| rayon::current_num_threads());
        Self::load_by(graph, kernel_set, factors, threads)
    }

    /// Like [`load`](Self::load), on the calling thread alone.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub(crate) fn load_here(graph: Graph, kernel_set: KernelSet, factors: Factors) -> Result<Self> {
        Self::load_by(graph, kernel_set, factors, 1)
    }

    /// Makes kernels in groups of `at_once` nodes, on the threads of the current pool.
    fn load_by(mut graph: Graph, kernel_set: KernelSet, factors: Factors, at_once: usize) -> Result<Self> {
        graph.verify()?;
        if factors == Factors::Bf16 {
            rewrite::store_rounded(&mut graph)?;
        }
        let constants = PackedConstants::default();
        let mut uses = graph.use_counts();
        let mut packed: Vec<Packed> = Vec::with_capacity(graph.nodes().len());
        let mut steps = Vec::new();
        // In small groups: the originals of packed constants are dropped before the next group is packed.
        for first in (0..graph.nodes().len()).step_by(at_once) {
            let nodes = &graph.nodes()[first..(first + at_once).min(graph.nodes().len())];
            let make = |node| make(&graph, node, kernel_set, factors, &constants);
            let made: Vec<_> = match nodes {
                [node] => vec![make(node)],
                nodes => nodes.par_iter().map(make).collect(),
            };
            for (index, made) in (first..).zip(made) {
                let Some((kernel, own)) = made? else {
                    packed.push(Packed::new());
                    continue;
                };
                steps.push(step(&graph.nodes()[index], kernel, &own));
                drop_unused(&mut graph, index, &own, &mut uses);
                packed.push(own);
            }
        }
        let strings = number_strings(&mut graph, constants.take_strings())?;
        // A dropped constant has no place in the plan, and needs none.
        let plan = Plan::new(&graph, |node, operand| packed[node].contains(&operand));
        let left: usize =
            graph.values.iter().filter_map(|value| value.constant.as_ref()).map(|tensor| tensor.byte_len()).sum();
        let weights = left + constants.bytes() + steps.iter().map(|step| step.kernel.packed_bytes()).sum::<usize>();
        Ok(Self {
            graph,
            plan,
            steps,
            kernel_set,
            arenas: Mutex::default(),
            scratch: AtomicUsize::new(0),
            weights,
            strings,
        })
    }
}

/// Adds the strings of the constants to those of the kernels; the constants then hold numbers of all.
fn number_strings(graph: &mut Graph, mut table: StringTable) -> Result<Arc<StringTable>> {
    let mut numbered = Vec::new();
    for (index, value) in graph.values.iter().enumerate() {
        if let Some(tensor) = value.constant.as_ref().filter(|tensor| tensor.dtype() == DType::String) {
            let numbers: Vec<u64> = tensor.as_strings()?.into_iter().map(|text| table.intern(text)).collect();
            numbered.push((index, tensor.shape().to_vec(), numbers));
        }
    }
    let table = Arc::new(table);
    for (index, shape, numbers) in numbered {
        graph.values[index].constant = Some(Arc::new(Tensor::of_numbers(shape, &numbers, table.clone())?));
    }
    Ok(table)
}

/// Makes the kernel of a node, `None` if the node moves no data.
fn make(
    graph: &Graph,
    node: &Node,
    kernel_set: KernelSet,
    factors: Factors,
    constants: &PackedConstants,
) -> Result<Option<Made>> {
    let make = match node.op.def().cpu {
        CpuState::Kernel(make) => make,
        CpuState::View => return Ok(None),
        CpuState::Folded => {
            return Err(Error::unsupported(format!("{} has no kernel on the CPU", node.describe())));
        }
    };
    let request = KernelRequest::new(graph, node, kernel_set, factors, constants);
    let kernel = make(&request).context(|| node.describe())?;
    Ok(Some((kernel, request.taken())))
}

/// The step of a node whose kernel packed the operands `packed`.
fn step(node: &Node, kernel: Box<dyn CpuKernel>, packed: &Packed) -> Step {
    let keep = |(position, id): (usize, &Option<ValueId>)| id.filter(|_| !packed.contains(&position));
    Step {
        kernel,
        name: node.describe(),
        inputs: node.inputs.iter().enumerate().map(keep).collect(),
        outputs: node.outputs.iter().copied().collect(),
    }
}

/// Drops the packed operands of node `index` that no other node uses.
fn drop_unused(graph: &mut Graph, index: usize, packed: &Packed, uses: &mut [usize]) {
    let node = &graph.nodes()[index];
    let ids: SmallVec<[ValueId; 4]> = packed.iter().filter_map(|&position| node.inputs[position]).collect();
    for id in ids {
        uses[id.index()] -= 1;
        if uses[id.index()] == 0 {
            graph.values[id.index()].constant = None;
        }
    }
}
