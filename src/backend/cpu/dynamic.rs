//! The second session of the CPU, for graphs whose sizes are known only while they run.
//!
//! It runs the same kernels in the same order as [`CpuSession`](crate::backend::cpu::CpuSession), but without a plan:
//! each value has memory of its own, which is sized when its shape is known and given back after its last use.

mod control;
mod load;
mod pool;
mod run;
mod slices;

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

pub(crate) use load::reason;
use smallvec::SmallVec;

use crate::{
    backend::{
        cpu::dynamic::{control::Control, run::Run},
        device::{BindSizes, DeviceReport, DeviceSession, OtherInput, ReadOutputs, RunOutputs, WriteInput},
    },
    error::{Error, Result},
    graph::{Graph, ValueId},
    kernels::{self, KernelSet},
    op::{CpuKernel, ValueKernel},
    plan::RunCap,
    shape::Bindings,
    tensor::{DType, RunStrings, StringTable, Tensor, Value, byte_count},
};

/// What a step does with its operands.
enum Action {
    /// The first operand under the result's shape.
    View,
    /// A kernel that fills results of known sizes.
    Kernel(Box<dyn CpuKernel>),
    /// A kernel that sizes its results.
    Measure(Box<dyn CpuKernel>),
    /// A kernel on values that may be no tensors.
    Values(Box<dyn ValueKernel>),
    /// Graphs within the node.
    Control(Box<Control>),
}

struct Step {
    action: Action,
    /// Name in error messages.
    name: String,
    /// Operands, `None` where one is absent or packed by the kernel.
    inputs: SmallVec<[Option<ValueId>; 6]>,
    outputs: SmallVec<[ValueId; 2]>,
    /// The values that no later step uses.
    last: SmallVec<[ValueId; 4]>,
}

impl Step {
    /// Whether its run may bind symbols.
    fn binds(&self) -> bool {
        !matches!(self.action, Action::View | Action::Kernel(_))
    }
}

/// A model on the CPU whose sizes only a run tells.
pub(crate) struct DynamicSession {
    graph: Graph,
    steps: Vec<Step>,
    kernel_set: KernelSet,
    weights: usize,
    /// Inputs that no step uses.
    unused: Vec<ValueId>,
    /// Why the graph needs this session.
    reason: String,
    runs: Mutex<Vec<Run>>,
    scratch: AtomicUsize,
    /// What one run may take.
    cap: RunCap,
    /// The most bytes that each value had in a run so far, where its facts do not tell them.
    seen: Vec<AtomicUsize>,
    /// The strings of constants and kernels.
    strings: Arc<StringTable>,
}

impl DynamicSession {
    /// The same session with that cap on one run.
    pub(super) fn capped(self, cap: RunCap) -> Self {
        Self { cap, ..self }
    }

    /// The values' bytes with these sizes: where a shape is not known, the most that a run had so far.
    fn estimate(&self, bindings: &Bindings) -> usize {
        let mut shape = Vec::new();
        let bytes = |(index, seen): (usize, &AtomicUsize)| {
            let id = ValueId(index as u32);
            if self.graph.constant_of(id).is_some() {
                return 0;
            }
            let fact = self.graph.fact(id);
            shape.clear();
            match fact.shape.eval_into(bindings, &mut shape) {
                Ok(()) => byte_count(fact.dtype, &shape).unwrap_or(usize::MAX),
                Err(_) => seen.load(Relaxed),
            }
        };
        self.seen.iter().enumerate().map(bytes).fold(0, usize::saturating_add)
    }
}

/// The outputs of a run.
struct Outputs<'a> {
    values: Vec<Value>,
    strings: &'a RunStrings,
}

impl RunOutputs for Outputs<'_> {
    fn get(&self, position: usize) -> (&[usize], &[u8]) {
        self.values[position].as_tensor().map_or((&[], &[]), |tensor| (tensor.shape(), tensor.bytes()))
    }

    fn other(&self, position: usize) -> Option<&Value> {
        Some(&self.values[position]).filter(|value| value.as_tensor().is_none())
    }

    fn strings(&self) -> Option<&RunStrings> {
        Some(self.strings)
    }
}

impl std::fmt::Debug for DynamicSession {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DynamicSession")
            .field("graph", &self.graph.name)
            .field("kernel_set", &self.kernel_set)
            .finish_non_exhaustive()
    }
}

impl DeviceSession for DynamicSession {
    fn graph(&self) -> &Graph {
        &self.graph
    }

    fn weight_bytes(&self) -> usize {
        self.weights
    }

    fn scratch_bytes(&self) -> usize {
        self.scratch.load(Relaxed)
    }

    fn value_bytes(&self, bindings: &Bindings) -> Result<usize> {
        Ok(self.estimate(bindings))
    }

    fn run_bytes(&self) -> usize {
        kernels::l2_bytes()
    }

    fn report(&self) -> DeviceReport {
        let note = format!(
            "sizes are known only while the model runs, so its memory is estimated from earlier runs: {}",
            self.reason
        );
        DeviceReport { device: "cpu".to_owned(), kernel_set: self.kernel_set.name(), notes: vec![note] }
    }

    fn run(&self, bind: &BindSizes<'_>, write_input: &WriteInput<'_>, read_outputs: &ReadOutputs<'_>) -> Result<()> {
        self.run_on(bind, write_input, &|_| None, read_outputs)
    }

    fn run_on(
        &self,
        bind: &BindSizes<'_>,
        write_input: &WriteInput<'_>,
        others: &OtherInput<'_>,
        read_outputs: &ReadOutputs<'_>,
    ) -> Result<()> {
        // A run that panics drops its memory while unwinding; the lock is never held across a run.
        let run = self.runs.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut run = run.unwrap_or_else(|| Run::new(self.strings.clone()));
        run.restart(self.cap);
        let mut bindings = Bindings::default();
        bind(&mut bindings)?;
        bindings.extend(self.graph.fixed_symbols());
        let mut inputs = Vec::with_capacity(self.graph.inputs().len());
        for (position, &id) in self.graph.inputs().iter().enumerate() {
            let fact = self.graph.fact(id);
            if !fact.is_tensor() {
                let value = others(position);
                let value = value.ok_or_else(|| Error::internal("an input that is no tensor is missing"))?;
                inputs.push(value.with_tensors(&mut |tensor| run.strings.numbered(tensor))?);
                run.strings.check()?;
                continue;
            }
            let mut shape = Vec::new();
            fact.shape.eval_into(&bindings, &mut shape)?;
            let bytes = byte_count(fact.dtype, &shape);
            let mut memory =
                run.pool.take(bytes.ok_or_else(|| Error::limit("an input is larger than the address space"))?)?;
            write_input(position, &mut memory, &mut run.strings)?;
            run.strings.check()?;
            inputs.push(Tensor::from_aligned(fact.dtype, shape, memory)?.into());
        }
        let values = self.execute(&mut run, &mut bindings, inputs)?;
        // The strings of tensors are read with the run's; those within other values by themselves.
        let own = |value: Value| match value {
            Value::Tensor(_) => Ok(value),
            other => other.with_tensors(&mut |tensor| match tensor.dtype() {
                DType::String => run.strings.own(tensor.view()),
                _ => Ok(tensor),
            }),
        };
        let values = values.into_iter().map(own).collect::<Result<Vec<_>>>()?;
        let outputs = Outputs { values, strings: &run.strings };
        let result = read_outputs(&outputs);
        let Outputs { values, .. } = outputs;
        values.into_iter().for_each(|value| run.release(value));
        self.scratch.fetch_max(run.bytes(), Relaxed);
        self.runs.lock().unwrap_or_else(PoisonError::into_inner).push(run);
        result
    }
}
