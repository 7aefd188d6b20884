//! One run: values in memory of their own, and symbols bound as their sizes become known.

use std::sync::{Arc, atomic::Ordering::Relaxed};

use smallvec::SmallVec;

use crate::{
    backend::cpu::dynamic::{Action, DynamicSession, Step, pool::Pool},
    error::{Context, Error, Result},
    graph::{Fact, ValueId},
    op::{CpuKernel, Io, Shapes},
    shape::Bindings,
    tensor::{AlignedBytes, DType, RunStrings, StringTable, Tensor, ViewMut, byte_count},
};

/// The memory of a run, reused by later runs.
pub(super) struct Run {
    pub pool: Pool,
    /// Elements of strings are numbers of these.
    pub strings: RunStrings,
    scratch: AlignedBytes,
}

impl Run {
    pub(super) fn new(strings: Arc<StringTable>) -> Self {
        Self { pool: Pool::default(), strings: RunStrings::new(strings), scratch: AlignedBytes::default() }
    }

    /// Bytes of the values and strings that are held.
    fn live(&self) -> usize {
        self.pool.live().saturating_add(self.strings.bytes())
    }

    /// Bytes that the largest run so far needed.
    pub(super) fn bytes(&self) -> usize {
        self.pool.peak().saturating_add(self.scratch.len())
    }
}

/// The values of a run, by their position in the graph.
struct Slots<'a> {
    session: &'a DynamicSession,
    values: Vec<Option<Tensor>>,
}

impl Slots<'_> {
    fn get(&self, id: ValueId) -> Result<&Tensor> {
        let constant = || self.session.graph.constant_of(id).map(|tensor| &**tensor);
        let value = self.values[id.index()].as_ref().or_else(constant);
        value.ok_or_else(|| Error::internal(format!("`{}` has no value yet", self.session.graph.value(id).name)))
    }
}

impl DynamicSession {
    /// Runs the steps on these inputs; `bindings` holds their sizes, and gets those that are measured.
    pub(super) fn execute(&self, run: &mut Run, bindings: &mut Bindings, inputs: Vec<Tensor>) -> Result<Vec<Tensor>> {
        let mut slots = Slots { session: self, values: vec![None; self.graph.value_count()] };
        for (&id, input) in self.graph.inputs().iter().zip(inputs) {
            slots.values[id.index()] = Some(input);
        }
        for step in &self.steps {
            let results = self.run_step(step, run, bindings, &slots).context(|| step.name.clone())?;
            for (&id, result) in step.outputs.iter().zip(results) {
                self.seen[id.index()].fetch_max(result.bytes().len(), Relaxed);
                slots.values[id.index()] = Some(result);
            }
            for id in &step.last {
                if let Some(memory) = slots.values[id.index()].take().and_then(Tensor::into_memory) {
                    run.pool.put(memory);
                }
            }
        }
        // An output may be named twice.
        self.graph.outputs().iter().map(|&id| slots.get(id).cloned()).collect()
    }

    fn run_step(&self, step: &Step, run: &mut Run, bindings: &mut Bindings, slots: &Slots<'_>) -> Result<Vec<Tensor>> {
        let operand = |id: &Option<ValueId>| id.map(|id| slots.get(id)).transpose();
        let operands = step.inputs.iter().map(operand).collect::<Result<SmallVec<[Option<&Tensor>; 6]>>>()?;
        let results = match &step.action {
            Action::View => {
                let first = operands.first().copied().flatten().ok_or_else(|| Error::internal("a view of nothing"))?;
                vec![first.clone().reshape(self.shape(step.outputs[0], bindings)?)?]
            }
            Action::Kernel(kernel) => self.fill(&**kernel, step, &operands, run, bindings)?,
            Action::Measure(kernel) => {
                let results = compute(&**kernel, &operands, &mut run.strings)?;
                self.measure(step, &results, bindings)?;
                results.iter().for_each(|result| run.pool.adopt(result.bytes().len()));
                let own = results.iter().map(|result| result.bytes().len()).sum();
                self.cap.check(run.live(), || vec![(step.name.clone(), own)])?;
                results
            }
        };
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
    ) -> Result<Vec<Tensor>> {
        let shapes = step.outputs.iter().map(|&id| self.shape(id, bindings)).collect::<Result<Vec<_>>>()?;
        let needed = kernel.scratch_bytes(&Shapes {
            inputs: operands.iter().map(|operand| operand.map(Tensor::shape)).collect(),
            outputs: shapes.iter().map(Vec::as_slice).collect(),
        });
        let sizes = step.outputs.iter().zip(&shapes).map(|(&id, shape)| byte_count(self.graph.fact(id).dtype, shape));
        let own = sizes.fold(needed, |sum, bytes| sum.saturating_add(bytes.unwrap_or(usize::MAX)));
        self.cap.check(run.live().saturating_add(own), || vec![(step.name.clone(), own)])?;
        if needed > run.scratch.len() {
            run.scratch = AlignedBytes::try_zeroed(needed)?;
        }
        let dtype = |id: ValueId| self.graph.fact(id).dtype;
        let mut memories: SmallVec<[AlignedBytes; 2]> = SmallVec::new();
        for (&id, shape) in step.outputs.iter().zip(&shapes) {
            let bytes = byte_count(dtype(id), shape);
            memories
                .push(run.pool.take(bytes.ok_or_else(|| Error::limit("a result is larger than the address space"))?)?);
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
        self.cap.check(run.live().saturating_add(needed), || vec![(step.name.clone(), run.strings.bytes())])?;
        let made = step.outputs.iter().zip(shapes).zip(memories);
        made.map(|((&id, shape), memory)| Tensor::from_aligned(dtype(id), shape, memory)).collect()
    }

    /// A value's shape, whose symbols are all bound by now.
    fn shape(&self, id: ValueId, bindings: &Bindings) -> Result<Vec<usize>> {
        let mut shape = Vec::new();
        self.graph.fact(id).shape.eval_into(bindings, &mut shape)?;
        Ok(shape)
    }

    /// Binds the sizes that a step has measured, and checks those that were known.
    fn measure(&self, step: &Step, results: &[Tensor], bindings: &mut Bindings) -> Result<()> {
        if results.len() < step.outputs.len() {
            return Err(Error::internal(format!("{} results of {}", results.len(), step.outputs.len())));
        }
        for (&id, result) in step.outputs.iter().zip(results) {
            bind(self.graph.fact(id), result, bindings)?;
        }
        Ok(())
    }
}

/// The results of a kernel that sizes them; strings are numbers of the run before and after.
fn compute(kernel: &dyn CpuKernel, operands: &[Option<&Tensor>], strings: &mut RunStrings) -> Result<Vec<Tensor>> {
    let own = |operand: &&Tensor| (operand.dtype() == DType::String).then(|| strings.own(operand.view())).transpose();
    let owned = operands.iter().map(|operand| operand.as_ref().map_or(Ok(None), own));
    let owned = owned.collect::<Result<SmallVec<[Option<Tensor>; 6]>>>()?;
    let operands = operands.iter().zip(&owned).map(|(operand, owned)| owned.as_ref().or(*operand));
    let operands: SmallVec<[Option<&Tensor>; 6]> = operands.collect();
    let numbered = |result: Tensor| match strings.numbers_of(&result)? {
        Some(numbers) => Tensor::from_aligned(DType::String, result.shape().to_vec(), numbers),
        None => Ok(result),
    };
    let results = kernel.compute(&operands)?.into_iter().map(numbered).collect::<Result<Vec<_>>>()?;
    strings.check()?;
    Ok(results)
}

/// Binds the symbols of a fact to the sizes of its value.
///
/// # Errors
/// If the value is of another type, or a size has another value already.
fn bind(fact: &Fact, value: &Tensor, bindings: &mut Bindings) -> Result<()> {
    let misfit = || Error::invalid_input(format!("the result {}{:?} is not {fact}", value.dtype(), value.shape()));
    if value.dtype() != fact.dtype || value.shape().len() != fact.shape.rank() {
        return Err(misfit());
    }
    for (dim, &size) in fact.shape.dims().iter().zip(value.shape()) {
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
