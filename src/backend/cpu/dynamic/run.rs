//! One run: values in memory of their own, and symbols bound as their sizes become known.

use std::sync::{Arc, atomic::Ordering::Relaxed};

use smallvec::SmallVec;

use crate::{
    backend::cpu::dynamic::{Action, DynamicSession, Step, pool::Pool},
    error::{Context, Error, Result},
    graph::{Fact, Kind, ValueId},
    op::{CpuKernel, Io, Shapes},
    plan::RunCap,
    shape::Bindings,
    tensor::{AlignedBytes, DType, RunStrings, StringTable, Tensor, Value, ViewMut, byte_count},
};

/// The memory of a run, reused by later runs.
pub(super) struct Run {
    pub pool: Pool,
    /// Elements of strings are numbers of these.
    pub strings: RunStrings,
    scratch: AlignedBytes,
    /// The iterations that loops have made.
    iterations: u64,
    cap: RunCap,
}

impl Run {
    pub(super) fn new(strings: Arc<StringTable>) -> Self {
        let (pool, scratch) = (Pool::default(), AlignedBytes::default());
        Self { pool, strings: RunStrings::new(strings), scratch, iterations: 0, cap: RunCap::default() }
    }

    /// Begins another run, which may take that much.
    pub(super) fn restart(&mut self, cap: RunCap) {
        self.pool.restart();
        self.strings.restart(cap.bytes());
        (self.iterations, self.cap) = (0, cap);
    }

    /// Counts an iteration of a loop.
    ///
    /// # Errors
    /// If the run has made as many as it may.
    pub(super) fn iterate(&mut self) -> Result<()> {
        let most = self.cap.iterations;
        if self.iterations >= most {
            return Err(Error::limit(format!(
                "the loops of a run make more than {most} iterations; SessionOptions::max_iterations sets how many they may"
            )));
        }
        self.iterations += 1;
        Ok(())
    }

    /// Bytes of the values and strings that are held.
    fn live(&self) -> usize {
        self.pool.live().saturating_add(self.strings.bytes())
    }

    /// Bytes that the largest run so far needed.
    pub(super) fn bytes(&self) -> usize {
        self.pool.peak().saturating_add(self.scratch.len())
    }

    /// Takes the memory of a value back, where nothing else shares it.
    pub(super) fn release(&mut self, value: Value) {
        match value {
            Value::Tensor(tensor) => {
                if let Some(memory) = tensor.into_memory() {
                    self.pool.put(memory);
                }
            }
            Value::Sequence(values) => values.into_iter().for_each(|value| self.release(value)),
            Value::Optional(value) => {
                if let Some(value) = value {
                    self.release(*value);
                }
            }
        }
    }
}

/// A constant, or a value that a step has made.
enum Operand<'a> {
    Constant(&'a Tensor),
    Made(&'a Value),
}

impl<'a> Operand<'a> {
    fn tensor(&self) -> Result<&'a Tensor> {
        match self {
            Self::Constant(tensor) => Ok(tensor),
            Self::Made(Value::Tensor(tensor)) => Ok(tensor),
            Self::Made(other) => Err(Error::internal(format!("a kernel of tensors was given {}", other.describe()))),
        }
    }

    fn value(&self) -> Value {
        match self {
            Self::Constant(tensor) => Value::Tensor((*tensor).clone()),
            Self::Made(value) => (*value).clone(),
        }
    }
}

/// The values of a run, by their position in the graph.
struct Slots<'a> {
    session: &'a DynamicSession,
    values: Vec<Option<Value>>,
}

impl Slots<'_> {
    fn get(&self, id: ValueId) -> Result<Operand<'_>> {
        let graph = &self.session.graph;
        let made = self.values[id.index()].as_ref().map(Operand::Made);
        let value = made.or_else(|| graph.constant_of(id).map(|tensor| Operand::Constant(tensor)));
        value.ok_or_else(|| Error::internal(format!("`{}` has no value yet", graph.value(id).name)))
    }

    /// The operands of a step as tensors.
    fn tensors(&self, step: &Step) -> Result<SmallVec<[Option<&Tensor>; 6]>> {
        let operand = |id: &Option<ValueId>| id.map(|id| self.get(id)?.tensor()).transpose();
        step.inputs.iter().map(operand).collect()
    }

    /// The operands of a step.
    fn values(&self, step: &Step) -> Result<Vec<Option<Value>>> {
        step.inputs.iter().map(|id| id.map(|id| Ok(self.get(id)?.value())).transpose()).collect()
    }
}

impl DynamicSession {
    /// Runs the steps on these inputs; `bindings` holds their sizes, and gets those that are measured.
    pub(super) fn execute(&self, run: &mut Run, bindings: &mut Bindings, inputs: Vec<Value>) -> Result<Vec<Value>> {
        let mut slots = Slots { session: self, values: vec![None; self.graph.value_count()] };
        for (&id, input) in self.graph.inputs().iter().zip(inputs) {
            slots.values[id.index()] = Some(input);
        }
        self.unused.iter().filter_map(|id| slots.values[id.index()].take()).for_each(|value| run.release(value));
        let mut conditions = self.graph.conditions().pending();
        conditions.check(bindings)?;
        for step in &self.steps {
            let results = self.run_step(step, run, bindings, &slots).context(|| step.name.clone())?;
            if step.binds() {
                conditions.check(bindings)?;
            }
            for (&id, result) in step.outputs.iter().zip(results) {
                if let Value::Tensor(tensor) = &result {
                    self.seen[id.index()].fetch_max(tensor.bytes().len(), Relaxed);
                }
                slots.values[id.index()] = Some(result);
            }
            for id in &step.last {
                if let Some(value) = slots.values[id.index()].take() {
                    run.release(value);
                }
            }
        }
        // An output may be named twice.
        self.graph.outputs().iter().map(|&id| Ok(slots.get(id)?.value())).collect()
    }

    fn run_step(&self, step: &Step, run: &mut Run, bindings: &mut Bindings, slots: &Slots<'_>) -> Result<Vec<Value>> {
        let results = match &step.action {
            Action::View => {
                let first = step.inputs.first().copied().flatten();
                let first = slots.get(first.ok_or_else(|| Error::internal("a view of nothing"))?)?;
                vec![first.tensor()?.clone().reshape(self.shape(step.outputs[0], bindings)?)?.into()]
            }
            Action::Kernel(kernel) => self.fill(&**kernel, step, &slots.tensors(step)?, run, bindings)?,
            Action::Measure(kernel) => {
                let results = compute(&**kernel, &slots.tensors(step)?, &mut run.strings)?;
                results.iter().for_each(|result| run.pool.adopt(result.bytes().len()));
                let own = results.iter().map(|result| result.bytes().len()).sum();
                run.cap.check(run.live(), || vec![(step.name.clone(), own)])?;
                results.into_iter().map(Value::Tensor).collect()
            }
            Action::Values(kernel) => {
                let operands = slots.values(step)?;
                kernel.compute(&operands.iter().map(Option::as_ref).collect::<Vec<_>>())?
            }
            Action::Control(control) => control.run(run, bindings, slots.values(step)?)?,
        };
        if results.len() < step.outputs.len() {
            return Err(Error::internal(format!("{} results of {}", results.len(), step.outputs.len())));
        }
        if step.binds() {
            for (&id, result) in step.outputs.iter().zip(&results) {
                bind(self.graph.fact(id), result, bindings)?;
            }
        }
        Ok(results)
    }

    /// The results of a kernel whose sizes are known.
    fn fill(
        &self,
        kernel: &dyn CpuKernel,
        step: &Step,
        operands: &[Option<&Tensor>],
        run: &mut Run,
        bindings: &Bindings,
    ) -> Result<Vec<Value>> {
        let shapes = step.outputs.iter().map(|&id| self.shape(id, bindings)).collect::<Result<Vec<_>>>()?;
        let needed = kernel.scratch_bytes(&Shapes {
            inputs: operands.iter().map(|operand| operand.map(Tensor::shape)).collect(),
            outputs: shapes.iter().map(Vec::as_slice).collect(),
        });
        let sizes = step.outputs.iter().zip(&shapes).map(|(&id, shape)| byte_count(self.graph.fact(id).dtype, shape));
        let own = sizes.fold(needed, |sum, bytes| sum.saturating_add(bytes.unwrap_or(usize::MAX)));
        run.cap.check(run.live().saturating_add(own), || vec![(step.name.clone(), own)])?;
        if needed > run.scratch.len() {
            run.scratch = AlignedBytes::try_zeroed(needed)?;
        }
        let dtype = |id: ValueId| self.graph.fact(id).dtype;
        let mut memories: SmallVec<[AlignedBytes; 2]> = SmallVec::new();
        for (&id, shape) in step.outputs.iter().zip(&shapes) {
            let bytes = byte_count(dtype(id), shape);
            let bytes = bytes.ok_or_else(|| Error::limit("a result is larger than the address space"))?;
            memories.push(run.pool.take(bytes)?);
        }
        let outputs = step.outputs.iter().zip(&shapes).zip(&mut memories);
        kernel.run(&mut Io {
            inputs: operands.iter().map(|operand| operand.map(Tensor::view)).collect(),
            outputs: outputs.map(|((&id, shape), bytes)| ViewMut { dtype: dtype(id), shape, bytes }).collect(),
            scratch: &mut run.scratch,
            bindings,
            strings: &mut run.strings,
        })?;
        run.strings.check()?;
        run.cap.check(run.live().saturating_add(needed), || vec![(step.name.clone(), run.strings.bytes())])?;
        let made = step.outputs.iter().zip(shapes).zip(memories);
        made.map(|((&id, shape), memory)| Ok(Tensor::from_aligned(dtype(id), shape, memory)?.into())).collect()
    }

    /// A value's shape, whose symbols are all bound by now.
    fn shape(&self, id: ValueId, bindings: &Bindings) -> Result<Vec<usize>> {
        let mut shape = Vec::new();
        self.graph.fact(id).shape.eval_into(bindings, &mut shape)?;
        Ok(shape)
    }
}

/// The results of a kernel that sizes them; strings are numbers of the run before and after.
fn compute(kernel: &dyn CpuKernel, operands: &[Option<&Tensor>], strings: &mut RunStrings) -> Result<Vec<Tensor>> {
    let own = |operand: &&Tensor| (operand.dtype() == DType::String).then(|| strings.own(operand.view())).transpose();
    let owned = operands.iter().map(|operand| operand.as_ref().map_or(Ok(None), own));
    let owned = owned.collect::<Result<SmallVec<[Option<Tensor>; 6]>>>()?;
    let operands = operands.iter().zip(&owned).map(|(operand, owned)| owned.as_ref().or(*operand));
    let operands: SmallVec<[Option<&Tensor>; 6]> = operands.collect();
    let results = kernel.compute(&operands)?;
    let results = results.into_iter().map(|result| strings.numbered(result)).collect::<Result<Vec<_>>>()?;
    strings.check()?;
    Ok(results)
}

/// Binds the symbols of a fact to the sizes of its value.
///
/// # Errors
/// If the value is of another kind or type, or a size has another value already.
pub(super) fn bind(fact: &Fact, value: &Value, bindings: &mut Bindings) -> Result<()> {
    let misfit = || Error::invalid_input(format!("{} is given where {fact} is expected", value.describe()));
    let tensor = match (&fact.kind, value) {
        (Kind::Tensor, Value::Tensor(tensor)) => tensor,
        (Kind::Sequence(_), Value::Sequence(_)) => return Ok(()),
        (Kind::Optional(_) | Kind::OptionalSequence(_), Value::Optional(_)) => return Ok(()),
        // A value that is there is as good as an optional one.
        (Kind::Optional(_), Value::Tensor(_)) | (Kind::OptionalSequence(_), Value::Sequence(_)) => return Ok(()),
        _ => return Err(misfit()),
    };
    if tensor.dtype() != fact.dtype || tensor.shape().len() != fact.shape.rank() {
        return Err(misfit());
    }
    for (dim, &size) in fact.shape.dims().iter().zip(tensor.shape()) {
        let differs = match dim.as_symbol() {
            Some(symbol) => bindings.bind(symbol, size).is_some(),
            None => dim.eval_size(bindings)? != size,
        };
        if differs {
            return Err(misfit());
        }
    }
    Ok(())
}
