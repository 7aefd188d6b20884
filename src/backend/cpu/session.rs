//! A model loaded on the CPU: kernels in order, a plan, and a pool of arenas.

mod load;
mod size;

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicUsize, Ordering},
};

use smallvec::SmallVec;

use crate::{
    backend::device::{BindSizes, DeviceReport, DeviceSession, ReadOutputs, RunOutputs, WriteInput},
    error::{Context, Result},
    graph::{Graph, ValueId},
    kernels::{self, KernelSet},
    op::{CpuKernel, Io, Shapes},
    plan::{Location, Plan, RunCap, Sizes},
    shape::Bindings,
    tensor::{
        RunStrings, StringTable, View, ViewMut,
        arena::{Arena, Split},
        byte_count,
    },
};

struct Step {
    kernel: Box<dyn CpuKernel>,
    /// Name in error messages.
    name: String,
    /// Operands, `None` where one is absent or packed by the kernel.
    inputs: SmallVec<[Option<ValueId>; 6]>,
    outputs: SmallVec<[ValueId; 2]>,
}

/// A model loaded on the CPU.
///
/// One copy of the weights serves any number of threads; each thread that runs concurrently costs one arena.
pub(crate) struct CpuSession {
    graph: Graph,
    plan: Plan,
    steps: Vec<Step>,
    kernel_set: KernelSet,
    arenas: Mutex<Vec<RunMemory>>,
    scratch: AtomicUsize,
    weights: usize,
    cap: RunCap,
    /// The strings of constants and kernels.
    strings: Arc<StringTable>,
}

/// The memory of one run, reused by later runs.
#[derive(Default)]
pub(crate) struct RunMemory {
    arena: Arena,
    sizes: Sizes,
    pub(crate) bindings: Bindings,
    strings: Option<RunStrings>,
}

/// The outputs of a run, borrowed before its memory is reused.
pub(crate) struct Outputs<'a> {
    session: &'a CpuSession,
    memory: &'a RunMemory,
}

impl RunOutputs for Outputs<'_> {
    fn get(&self, position: usize) -> (&[usize], &[u8]) {
        let id = self.session.graph.outputs()[position];
        (self.memory.sizes.shape(&self.session.plan, id), self.session.bytes(id, self.memory))
    }

    fn strings(&self) -> Option<&RunStrings> {
        self.memory.strings.as_ref()
    }
}

impl CpuSession {
    /// Returns the graph, without the constants that kernels packed.
    pub(crate) fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Returns the kernel set in use.
    pub(crate) fn kernel_set(&self) -> KernelSet {
        self.kernel_set
    }

    /// Bytes of weights, shared by all workers.
    pub(crate) fn weight_bytes(&self) -> usize {
        self.weights
    }

    /// Bytes that the largest run so far needed besides the weights.
    pub(crate) fn scratch_bytes(&self) -> usize {
        self.scratch.load(Ordering::Relaxed)
    }

    /// Bytes of values that a run with these sizes needs, without the scratch of kernels.
    pub(crate) fn value_bytes(&self, bindings: &Bindings) -> Result<usize> {
        let mut sizes = Sizes::default();
        self.plan.evaluate(bindings, &mut sizes)?;
        Ok(sizes.total())
    }

    /// Runs the model once; `write_input` fills each input, `read_outputs` reads the outputs.
    pub(crate) fn run<R>(
        &self,
        bind: impl FnOnce(&mut Bindings) -> Result<()>,
        mut write_input: impl FnMut(usize, &mut [u8], &mut RunStrings) -> Result<()>,
        read_outputs: impl FnOnce(&Outputs<'_>) -> Result<R>,
    ) -> Result<R> {
        // A run that panics drops its memory while unwinding; the lock is never held across a run.
        let mut memory = self.arenas.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default();
        memory.bindings.clear();
        bind(&mut memory.bindings)?;
        memory.bindings.extend(self.graph.fixed_symbols());
        let (values, total) = self.size_run(&mut memory)?;
        memory.arena.reserve(total)?;
        self.scratch.fetch_max(memory.arena.len(), Ordering::Relaxed);
        let RunMemory { arena, strings, sizes, .. } = &mut memory;
        let strings = strings.get_or_insert_with(|| RunStrings::new(self.strings.clone()));
        strings.restart(self.cap.bytes().saturating_sub(total));
        for (position, &id) in self.graph.inputs().iter().enumerate() {
            if let Some(range) = self.range(id, sizes) {
                write_input(position, arena.part_mut(range), strings)?;
                strings.check()?;
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
        let RunMemory { arena, sizes, bindings, strings } = memory;
        let strings = strings.get_or_insert_with(|| RunStrings::new(self.strings.clone()));
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
        step.kernel.run(&mut Io { inputs: inputs.collect(), outputs, scratch, bindings, strings: &mut *strings })?;
        strings.check()
    }

    /// Returns the bytes of a value that is not being written.
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

    /// Returns the part of the arena that holds a value, `None` for constants.
    fn range(&self, id: ValueId, sizes: &Sizes) -> Option<std::ops::Range<usize>> {
        let Location::Slot(slot) = self.plan.location_of(id) else { return None };
        let bytes = byte_count(self.plan.dtype(id), sizes.shape(&self.plan, id))?;
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
        kernels::l2_bytes()
    }
    fn report(&self) -> DeviceReport {
        DeviceReport { device: "cpu".to_owned(), kernel_set: self.kernel_set().name(), notes: Vec::new() }
    }
    fn run(&self, bind: &BindSizes<'_>, write_input: &WriteInput<'_>, read_outputs: &ReadOutputs<'_>) -> Result<()> {
        self.run(bind, write_input, |outputs| read_outputs(outputs))
    }
}
