//! A model loaded on the CPU: kernels in order, a plan, and arenas that workers lease.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicUsize, Ordering},
};

use rayon::prelude::*;
use smallvec::SmallVec;

use crate::{
    backend::{
        cpu::arena::{Arena, Split},
        device::{BindSizes, DeviceSession, ReadOutputs, RunOutputs, Told, WriteInput},
    },
    error::{Context, Error, Result},
    graph::{Graph, Node, ValueId},
    kernels::{KernelSet, gemm::Factors},
    op::{CpuKernel, CpuState, Io, KernelRequest, PackedConstants, Shapes},
    plan::{Location, Plan, Sizes},
    rewrite,
    shape::Bindings,
    tensor::{View, ViewMut},
};

/// A kernel and the operands that it has taken for itself.
type Made = (Box<dyn CpuKernel>, SmallVec<[usize; 4]>);

/// Makes a node's kernel; `None` where the node moves no data.
fn make(
    graph: &Graph,
    node: &Node,
    kernel_set: KernelSet,
    factors: Factors,
    packed: &PackedConstants,
) -> Result<Option<Made>> {
    let make = match node.op.def().cpu {
        CpuState::Kernel(make) => make,
        CpuState::View => return Ok(None),
        CpuState::Folded => {
            return Err(Error::unsupported(format!("{} has no kernel on the CPU", node.describe())));
        }
    };
    let request = KernelRequest::new(graph, node, kernel_set, factors, packed);
    let kernel = make(&request).context(|| node.describe())?;
    Ok(Some((kernel, request.taken())))
}

struct Step {
    kernel: Box<dyn CpuKernel>,
    /// What errors call it.
    name: String,
    /// Operands; `None` where one is absent or was taken.
    inputs: SmallVec<[Option<ValueId>; 6]>,
    outputs: SmallVec<[ValueId; 2]>,
}

/// A model loaded on the CPU. One copy of the weights serves any number of threads; each thread that runs it at the
/// same time as others costs one arena.
pub struct CpuSession {
    graph: Graph,
    plan: Plan,
    steps: Vec<Step>,
    kernel_set: KernelSet,
    arenas: Mutex<Vec<RunMemory>>,
    scratch: AtomicUsize,
    weights: usize,
}

/// What one run needs, kept for the next.
#[derive(Default)]
pub(crate) struct RunMemory {
    arena: Arena,
    sizes: Sizes,
    pub(crate) bindings: Bindings,
}

/// The results of a run, before its memory is used again.
pub(crate) struct Outputs<'a> {
    session: &'a CpuSession,
    memory: &'a RunMemory,
}

impl RunOutputs for Outputs<'_> {
    fn get(&self, position: usize) -> (&[usize], &[u8]) {
        let id = self.session.graph.outputs()[position];
        (self.memory.sizes.shape(&self.session.plan, id), self.session.bytes(id, self.memory))
    }
}

impl CpuSession {
    /// Makes every node's kernel and drops the constants that kernels have packed.
    ///
    /// # Errors
    /// When a node can't run on the CPU.
    pub fn load(graph: Graph, kernel_set: KernelSet, factors: Factors) -> Result<Self> {
        // Outside a pool rayon would start one of its own.
        let threads = rayon::current_thread_index().map_or(1, |_| rayon::current_num_threads());
        Self::load_by(graph, kernel_set, factors, threads)
    }

    /// As [`load`](Self::load), on this thread alone.
    ///
    /// # Errors
    /// As there.
    pub(crate) fn load_here(graph: Graph, kernel_set: KernelSet, factors: Factors) -> Result<Self> {
        Self::load_by(graph, kernel_set, factors, 1)
    }

    /// Makes the kernels of so many nodes at once, on the threads of the pool that this runs on.
    fn load_by(mut graph: Graph, kernel_set: KernelSet, factors: Factors, at_once: usize) -> Result<Self> {
        graph.verify()?;
        if factors == Factors::Bf16 {
            rewrite::store_rounded(&mut graph)?;
        }
        let mut uses = graph.use_counts();
        let mut taken: Vec<SmallVec<[usize; 4]>> = Vec::with_capacity(graph.nodes().len());
        let mut steps = Vec::new();
        let packed = PackedConstants::default();
        // A few at a time: then what they packed is dropped before the next ones are packed.
        for first in (0..graph.nodes().len()).step_by(at_once) {
            let nodes = &graph.nodes()[first..(first + at_once).min(graph.nodes().len())];
            let made = |node| make(&graph, node, kernel_set, factors, &packed);
            let made: Vec<_> = match nodes {
                [node] => vec![made(node)],
                nodes => nodes.par_iter().map(made).collect(),
            };
            for (index, made) in (first..).zip(made) {
                let node = &graph.nodes()[index];
                let Some((kernel, own)) = made? else {
                    taken.push(SmallVec::new());
                    continue;
                };
                let keep = |(position, id): (usize, &Option<ValueId>)| id.filter(|_| !own.contains(&position));
                steps.push(Step {
                    kernel,
                    name: node.describe(),
                    inputs: node.inputs.iter().enumerate().map(keep).collect(),
                    outputs: node.outputs.iter().copied().collect(),
                });
                let dropped: SmallVec<[ValueId; 4]> =
                    own.iter().filter_map(|&position| node.inputs[position]).collect();
                taken.push(own);
                for id in dropped {
                    uses[id.index()] -= 1;
                    if uses[id.index()] == 0 {
                        graph.values[id.index()].constant = None;
                    }
                }
            }
        }
        // A constant that was dropped has no place any more, and needs none.
        let plan = Plan::new(&graph, |node, operand| taken[node].contains(&operand));
        let left: usize =
            graph.values.iter().filter_map(|value| value.constant.as_ref()).map(|tensor| tensor.bytes().len()).sum();
        let weights = left + packed.bytes() + steps.iter().map(|step| step.kernel.packed_bytes()).sum::<usize>();
        Ok(Self { graph, plan, steps, kernel_set, arenas: Mutex::default(), scratch: AtomicUsize::new(0), weights })
    }

    /// The model's graph, without the constants that kernels have packed.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// The kernels in use.
    pub fn kernel_set(&self) -> KernelSet {
        self.kernel_set
    }

    /// Bytes of weights, once for all workers.
    pub fn weight_bytes(&self) -> usize {
        self.weights
    }

    /// Bytes that the largest run so far needed besides the weights.
    pub fn scratch_bytes(&self) -> usize {
        self.scratch.load(Ordering::Relaxed)
    }

    /// Bytes of values that a run with these sizes needs, kernels' scratch not counted.
    pub(crate) fn value_bytes(&self, bindings: &Bindings) -> Result<usize> {
        let mut sizes = Sizes::default();
        self.plan.evaluate(bindings, &mut sizes)?;
        Ok(sizes.total())
    }

    /// Runs the model once. `write_input` fills each input's memory, `read_outputs` sees the results.
    pub(crate) fn run<R>(
        &self,
        bind: impl FnOnce(&mut Bindings) -> Result<()>,
        mut write_input: impl FnMut(usize, &mut [u8]) -> Result<()>,
        read_outputs: impl FnOnce(&Outputs<'_>) -> Result<R>,
    ) -> Result<R> {
        // The memory of a run that panicked is dropped with its stack; the lock is never held across a run.
        let mut memory = self.arenas.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default();
        memory.bindings.clear();
        bind(&mut memory.bindings)?;
        self.plan.evaluate(&memory.bindings, &mut memory.sizes)?;
        let values = memory.sizes.total();
        let scratch = self.steps.iter().map(|step| step.kernel.scratch_bytes(&self.shapes(step, &memory.sizes))).max();
        let scratch = scratch.unwrap_or(0);
        let total =
            values.checked_add(scratch).ok_or_else(|| Error::limit("a run needs more memory than can be addressed"))?;
        memory.arena.reserve(total)?;
        self.scratch.fetch_max(memory.arena.len(), Ordering::Relaxed);
        for (position, &id) in self.graph.inputs().iter().enumerate() {
            if let Some(range) = self.range(id, &memory.sizes) {
                write_input(position, memory.arena.part_mut(range))?;
            }
        }
        for step in &self.steps {
            self.run_step(step, &mut memory, values..total).context(|| step.name.clone())?;
        }
        let result = read_outputs(&Outputs { session: self, memory: &memory });
        self.arenas.lock().unwrap_or_else(PoisonError::into_inner).push(memory);
        result
    }

    fn run_step(&self, step: &Step, memory: &mut RunMemory, scratch: std::ops::Range<usize>) -> Result<()> {
        let RunMemory { arena, sizes, bindings } = memory;
        let mut split: Split<'_> = arena.split();
        let outputs = step.outputs.iter().map(|&id| {
            let range = self.range(id, sizes).unwrap_or(0..0);
            ViewMut { dtype: self.plan.dtype(id), shape: sizes.shape(&self.plan, id), bytes: split.write(range) }
        });
        let outputs = outputs.collect();
        let scratch = split.write(scratch);
        let inputs = step.inputs.iter().map(|id| {
            id.map(|id| {
                let bytes = match self.range(id, sizes) {
                    Some(range) => split.read(range),
                    None => self.graph.constant_of(self.plan.root_of(id)).map_or(&[][..], |tensor| tensor.bytes()),
                };
                View { dtype: self.plan.dtype(id), shape: sizes.shape(&self.plan, id), bytes }
            })
        });
        let mut io = Io { inputs: inputs.collect(), outputs, scratch, bindings };
        step.kernel.run(&mut io)
    }

    /// The bytes of a value that is not being written.
    fn bytes<'a>(&'a self, id: ValueId, memory: &'a RunMemory) -> &'a [u8] {
        match self.range(id, &memory.sizes) {
            Some(range) => memory.arena.part(range),
            None => self.graph.constant_of(self.plan.root_of(id)).map_or(&[], |tensor| tensor.bytes()),
        }
    }

    fn shapes<'a>(&'a self, step: &Step, sizes: &'a Sizes) -> Shapes<'a> {
        Shapes {
            inputs: step.inputs.iter().map(|id| id.map(|id| sizes.shape(&self.plan, id))).collect(),
            outputs: step.outputs.iter().map(|&id| sizes.shape(&self.plan, id)).collect(),
        }
    }

    /// The part of the arena where a value lives, if it lives there.
    fn range(&self, id: ValueId, sizes: &Sizes) -> Option<std::ops::Range<usize>> {
        let Location::Slot(slot) = self.plan.location_of(id) else { return None };
        let bytes = crate::tensor::byte_count(self.plan.dtype(id), sizes.shape(&self.plan, id))?;
        let start = sizes.start(slot);
        Some(start..start + bytes)
    }
}

impl std::fmt::Debug for CpuSession {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CpuSession")
            .field("graph", &self.graph.name)
            .field("kernel_set", &self.kernel_set)
            .finish_non_exhaustive()
    }
}

impl DeviceSession for CpuSession {
    fn graph(&self) -> &Graph {
        self.graph()
    }
    fn weight_bytes(&self) -> usize {
        self.weight_bytes()
    }
    fn scratch_bytes(&self) -> usize {
        self.scratch_bytes()
    }
    fn value_bytes(&self, bindings: &Bindings) -> Result<usize> {
        self.value_bytes(bindings)
    }
    fn run_bytes(&self) -> usize {
        crate::kernels::l2_bytes()
    }
    fn told(&self) -> Told {
        Told { device: "cpu".to_owned(), kernel_set: self.kernel_set().name(), notes: Vec::new() }
    }
    fn run(&self, bind: &BindSizes<'_>, write_input: &WriteInput<'_>, read_outputs: &ReadOutputs<'_>) -> Result<()> {
        self.run(bind, write_input, |outputs| read_outputs(outputs))
    }
}
