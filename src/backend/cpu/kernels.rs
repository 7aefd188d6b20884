//! The kernels of a graph's nodes, made in groups of nodes.

use std::sync::Arc;

use rayon::prelude::*;
use smallvec::SmallVec;

use crate::{
    error::{Context, Error, Result},
    graph::{Graph, Node, ValueId},
    kernels::{KernelSet, gemm::Factors},
    op::{CpuKernel, CpuState, KernelRequest, PackedConstants},
    tensor::{AlignedBytes, DType, StringTable, Tensor},
};

/// Positions of the operands that a kernel packed.
pub(super) type Packed = SmallVec<[usize; 4]>;

/// A kernel and the operands that it packed.
pub(super) type Made = (Box<dyn CpuKernel>, Packed);

/// The kernels of all nodes.
pub(super) struct NodeKernels {
    /// The kernel of each node, `None` if the node moves no data.
    pub made: Vec<Option<Made>>,
    /// Bytes of weights: packed ones, and the constants that are left in the graph, without texts.
    pub weights: usize,
}

impl NodeKernels {
    /// Makes the kernel of every node and drops the constants that kernels packed.
    ///
    /// `at_once` nodes share the threads of the current pool. The strings of constants and kernels
    /// are added to `strings`.
    pub(super) fn make(
        graph: &mut Graph,
        kernel_set: KernelSet,
        factors: Factors,
        at_once: usize,
        strings: &mut StringTable,
    ) -> Result<Self> {
        let constants = PackedConstants::with_strings(std::mem::take(strings));
        let mut uses = graph.use_counts();
        let mut kernels: Vec<Option<Made>> = Vec::with_capacity(graph.nodes().len());
        // In small groups: the originals of packed constants are dropped before the next group is packed.
        for first in (0..graph.nodes().len()).step_by(at_once) {
            let nodes = &graph.nodes()[first..(first + at_once).min(graph.nodes().len())];
            let make = |node| make(graph, node, kernel_set, factors, &constants);
            let made: Vec<_> = match nodes {
                [node] => vec![make(node)],
                nodes => nodes.par_iter().map(make).collect(),
            };
            for (index, made) in (first..).zip(made) {
                let made = made?;
                if let Some((_, packed)) = &made {
                    drop_unused(graph, index, packed, &mut uses);
                }
                kernels.push(made);
            }
        }
        *strings = constants.take_strings();
        number_strings(graph, strings)?;
        let left = graph.values.iter().filter_map(|value| value.constant.as_ref()).map(|tensor| tensor.bytes().len());
        let own = kernels.iter().flatten().map(|(kernel, _)| kernel.packed_bytes());
        let weights = left.sum::<usize>() + constants.bytes() + own.sum::<usize>();
        Ok(Self { made: kernels, weights })
    }
}

/// Adds the strings of the constants to a table; the constants are its numbers then, as all values of a run.
fn number_strings(graph: &mut Graph, table: &mut StringTable) -> Result<()> {
    for value in &mut graph.values {
        if let Some(tensor) = value.constant.as_ref().filter(|tensor| tensor.dtype() == DType::String) {
            let numbers: Vec<u64> = tensor.as_strings()?.into_iter().map(|text| table.intern(text)).collect();
            let numbers = AlignedBytes::copy_from(bytemuck::cast_slice(&numbers));
            let tensor = Tensor::from_aligned(DType::String, tensor.shape().to_vec(), numbers)?;
            value.constant = Some(Arc::new(tensor));
        }
    }
    Ok(())
}

/// The threads that make kernels at once: those of the current pool.
pub(super) fn threads() -> usize {
    // Outside a pool rayon would start its global one.
    rayon::current_thread_index().map_or(1, |_| rayon::current_num_threads())
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
        CpuState::View | CpuState::Session | CpuState::Values(_) => return Ok(None),
        CpuState::Folded => {
            return Err(Error::unsupported(format!("{} has no kernel on the CPU", node.describe())));
        }
    };
    let request = KernelRequest::new(graph, node, kernel_set, factors, constants);
    let kernel = make(&request).context(|| node.describe())?;
    Ok(Some((kernel, request.taken())))
}

/// The operands that a kernel gets in runs: all but those that it packed.
pub(super) fn left(node: &Node, packed: &Packed) -> SmallVec<[Option<ValueId>; 6]> {
    let keep = |(position, id): (usize, &Option<ValueId>)| id.filter(|_| !packed.contains(&position));
    node.inputs.iter().enumerate().map(keep).collect()
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
