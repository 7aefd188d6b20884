//! The bytes of one run, checked against the cap before they are allocated.

use crate::{
    backend::gpu::{loaded::StepKernel, memory::Workspace, session::GpuSession},
    error::{ErrorKind, Result},
    graph::ValueId,
    plan::Sizes,
    tensor::byte_count,
};

impl GpuSession {
    /// Evaluates the sizes of a run whose symbols are bound.
    ///
    /// # Errors
    /// If a size has no value, or the run is past the cap.
    pub(super) fn size_run(&self, memory: &mut Workspace) -> Result<()> {
        let plan = &self.loaded.residence.plan;
        let evaluated = plan.evaluate(&memory.bindings, &mut memory.sizes);
        let sizes = &memory.sizes;
        if let Err(error) = evaluated {
            if error.kind() == ErrorKind::Limit && sizes.is_complete(plan) {
                self.cap.check(usize::MAX, || self.parts(sizes, |_| 0))?;
            }
            return Err(error);
        }
        // Before kernels multiply the sizes.
        self.cap.check(sizes.total(), || self.parts(sizes, |_| 0))?;
        let scratch_of = |step: usize| {
            let shapes = self.loaded.residence.shapes(step, sizes);
            match &self.loaded.steps[step].kernel {
                StepKernel::Device(kernel) => usize::try_from(kernel.scratch_bytes(&shapes)).unwrap_or(usize::MAX),
                StepKernel::Host(kernel) => kernel.scratch_bytes(&shapes),
            }
        };
        let scratch = (0..self.loaded.steps.len()).map(scratch_of).max().unwrap_or(0);
        self.cap.check(sizes.total().saturating_add(scratch), || self.parts(sizes, scratch_of))
    }

    /// The inputs and nodes of a run, with the bytes of each.
    fn parts(&self, sizes: &Sizes, scratch_of: impl Fn(usize) -> usize) -> Vec<(String, usize)> {
        let (graph, residence) = (&self.loaded.graph, &self.loaded.residence);
        let bytes_of =
            |id: ValueId| byte_count(residence.plan.dtype(id), sizes.shape(&residence.plan, id)).unwrap_or(usize::MAX);
        let input = |&id: &ValueId| (format!("input `{}`", graph.value(id).name), bytes_of(id));
        let mut parts: Vec<_> = graph.inputs().iter().map(input).collect();
        for (index, step) in self.loaded.steps.iter().enumerate() {
            let values = residence.operands[index].1.iter().map(|&id| bytes_of(id)).fold(0, usize::saturating_add);
            parts.push((step.name.clone(), values.saturating_add(scratch_of(index))));
        }
        parts
    }
}
