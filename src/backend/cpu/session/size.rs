//! The bytes of one run, checked against the cap before they are allocated.

use crate::{
    backend::cpu::session::{CpuSession, RunMemory},
    error::{ErrorKind, Result},
    graph::ValueId,
    plan::Sizes,
    tensor::byte_count,
};

impl CpuSession {
    /// Evaluates the sizes of a run whose symbols are bound.
    ///
    /// Returns the bytes of its values, and of values and scratch together.
    ///
    /// # Errors
    /// If a size has no value, or the run is past the cap.
    pub(super) fn size_run(&self, memory: &mut RunMemory) -> Result<(usize, usize)> {
        let evaluated = self.plan.evaluate(&memory.bindings, &mut memory.sizes);
        let sizes = &memory.sizes;
        if let Err(error) = evaluated {
            if error.kind() == ErrorKind::Limit && sizes.is_complete(&self.plan) {
                self.cap.check(usize::MAX, || self.parts(sizes, |_| 0))?;
            }
            return Err(error);
        }
        let values = sizes.total();
        // Before kernels multiply the sizes.
        self.cap.check(values, || self.parts(sizes, |_| 0))?;
        let scratch_of = |step: usize| {
            let step = &self.steps[step];
            step.kernel.scratch_bytes(&self.shapes(step, sizes))
        };
        let scratch = (0..self.steps.len()).map(scratch_of).max().unwrap_or(0);
        let total = values.saturating_add(scratch);
        self.cap.check(total, || self.parts(sizes, scratch_of))?;
        Ok((values, total))
    }

    /// The inputs and nodes of a run, with the bytes of each.
    fn parts(&self, sizes: &Sizes, scratch_of: impl Fn(usize) -> usize) -> Vec<(String, usize)> {
        let bytes_of = |id: ValueId| byte_count(self.plan.dtype(id), sizes.shape(&self.plan, id)).unwrap_or(usize::MAX);
        let input = |&id: &ValueId| (format!("input `{}`", self.graph.value(id).name), bytes_of(id));
        let mut parts: Vec<_> = self.graph.inputs().iter().map(input).collect();
        for (index, step) in self.steps.iter().enumerate() {
            let values = step.outputs.iter().map(|&id| bytes_of(id)).fold(0, usize::saturating_add);
            parts.push((step.name.clone(), values.saturating_add(scratch_of(index))));
        }
        parts
    }
}
