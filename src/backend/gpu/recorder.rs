//! Recording the dispatches of a kernel.

use smallvec::SmallVec;

use crate::{
    backend::{
        gpu::{
            adapter::AdapterType, buffer::device_bytes, memory::Workspace, operand::Operand, program::Program,
            residence::Residence,
        },
        profile::StepProfile,
    },
    error::{Error, Result},
    op::Shapes,
    shape::Dim,
    tensor::DType,
};

/// Maximum rounds of loops in one invocation on Mesa's software adapter.
pub(crate) const MOST_ROUNDS: usize = 65_535;

/// One run of one kernel while it is being recorded.
pub(crate) struct Recorder<'r> {
    pub(super) residence: &'r Residence,
    pub(super) memory: &'r mut Workspace,
    pub(super) pass: &'r mut wgpu::ComputePass<'static>,
    pub(super) step: usize,
    pub(super) shapes: Shapes<'r>,
    /// What this step does in this run.
    pub(super) counts: StepProfile,
}

impl Recorder<'_> {
    /// Returns the shape of an operand.
    ///
    /// # Errors
    /// If it is absent or packed.
    pub(super) fn input(&self, index: usize) -> Result<&[usize]> {
        let shape = self.shapes.inputs.get(index).copied().flatten();
        shape.ok_or_else(|| Error::internal(format!("a kernel misses operand {index}")))
    }

    /// Returns the shape of a result.
    ///
    /// # Errors
    /// If the node has no such result.
    pub(super) fn output(&self, index: usize) -> Result<&[usize]> {
        let shape = self.shapes.outputs.get(index).copied();
        shape.ok_or_else(|| Error::internal(format!("a kernel misses result {index}")))
    }

    /// Returns the lengths of sequences by an operand of i32 offsets, if the host holds it.
    pub(super) fn lengths(&self, index: usize) -> Option<Vec<usize>> {
        let root = self.residence.plan.root_of(self.residence.input_of(self.step, index).ok()?);
        if !self.memory.on_host[root.index()] || self.residence.plan.dtype(root) != DType::I32 {
            return None;
        }
        let count: usize = self.input(index).ok()?.iter().product();
        let offsets: &[i32] = bytemuck::try_cast_slice(self.memory.host[root.index()].get(..4 * count)?).ok()?;
        let length = |pair: &[i32]| usize::try_from(i64::from(pair[1]) - i64::from(pair[0])).unwrap_or(0);
        Some(offsets.windows(2).map(length).collect())
    }

    /// Number of operands of the node.
    pub(super) fn input_count(&self) -> usize {
        self.shapes.inputs.len()
    }

    /// Number of results of the node.
    pub(super) fn output_count(&self) -> usize {
        self.shapes.outputs.len()
    }

    /// Evaluates an attribute that may depend on the sizes of the run.
    ///
    /// # Errors
    /// If a size is unknown or the arithmetic fails.
    pub(super) fn eval(&self, dim: &Dim) -> Result<i64> {
        dim.eval(&self.memory.bindings)
    }

    /// The number of the step, by which a shader identifies itself when it reports a bad element.
    pub(super) fn step(&self) -> u32 {
        self.step as u32
    }

    /// Refuses a dispatch whose invocations exceed the adapter's limit on rounds of loops.
    ///
    /// Mesa's software adapter silently leaves all loops after that many rounds.
    ///
    /// # Errors
    /// If `rounds`, summed over all loops of one invocation, exceeds the limit.
    pub(super) fn loops(&self, rounds: usize) -> Result<()> {
        let adapter = &self.residence.device.adapter;
        if adapter.kind == AdapterType::Software && rounds > MOST_ROUNDS {
            let what = format!("{rounds} rounds of a shader's loops, where `{adapter}` ends them after {MOST_ROUNDS}");
            return Err(Error::limit(what));
        }
        Ok(())
    }

    /// Records a dispatch of `groups` workgroups, or nothing if `groups` is 0.
    ///
    /// `operands` maps the names of the shader's variables to buffers; `words` is its immediate data in order.
    ///
    /// # Errors
    /// If the operands or words do not match the shader, or a grid cannot hold the workgroups.
    pub(super) fn dispatch(
        &mut self,
        program: &Program,
        operands: &[(&str, Operand)],
        words: &[u32],
        groups: usize,
    ) -> Result<()> {
        if groups == 0 {
            return Ok(());
        }
        let device = &self.residence.device;
        let [x, y] = fold(groups, device.limits.max_compute_workgroups_per_dimension as usize)
            .ok_or_else(|| Error::limit(format!("{groups} workgroups are more than one dispatch has")))?;
        if words.len() * 4 != program.immediates as usize {
            let (given, due) = (words.len(), program.immediates / 4);
            return Err(Error::internal(format!("shader `{}` takes {due} words, given are {given}", program.stem)));
        }
        let mut ordered: SmallVec<[Operand; 8]> = SmallVec::new();
        for binding in &program.bindings {
            let operand = operands.iter().find(|(name, _)| *name == binding.name);
            let operand = operand.ok_or_else(|| {
                Error::internal(format!("shader `{}` misses its operand `{}`", program.stem, binding.name))
            })?;
            ordered.push(operand.1);
        }
        if ordered.len() != operands.len() {
            return Err(Error::internal(format!("shader `{}` was given operands that it has not", program.stem)));
        }
        let pipeline = device.pipeline(program)?;
        let group = self.memory.bind_group(self.residence, self.step, program, &pipeline, &ordered)?;
        self.pass.set_pipeline(&pipeline.pipeline);
        self.pass.set_bind_group(0, &group, &[]);
        if !words.is_empty() {
            self.pass.set_immediates(0, bytemuck::cast_slice(words));
        }
        self.pass.dispatch_workgroups(x, y, 1);
        self.count(program, &ordered)
    }

    /// Notes the multiplications and additions of a product.
    pub(super) fn work(&mut self, flop: usize) {
        self.counts.flop = self.counts.flop.saturating_add(flop as u64);
    }

    /// Counts a dispatch and what it reads and writes.
    fn count(&mut self, program: &Program, operands: &[Operand]) -> Result<()> {
        let elements = |shape: &[usize]| device_bytes(shape.iter().product());
        let result = self.shapes.outputs.first().map_or(Ok(0), |shape| elements(shape))?;
        for (binding, &operand) in program.bindings.iter().zip(operands) {
            let bytes = match operand {
                Operand::Input(index) => elements(self.input(index)?)?,
                Operand::Output(index) => elements(self.output(index)?)?,
                Operand::Weight(id) => self.residence.weights.get(id.0).map_or(0, wgpu::Buffer::size),
                Operand::Scratch => self.memory.scratch_bytes(),
                Operand::Fault => 0,
            };
            // Of a table only the rows that are looked up are read.
            let bytes = if program.stem == "gather" { bytes.min(result) } else { bytes };
            self.counts.bytes += bytes * (u64::from(binding.is_read) + u64::from(!binding.read_only));
        }
        self.counts.dispatches += 1;
        Ok(())
    }
}

/// Folds at least `groups` workgroups into a grid with at most `limit` in each dimension.
///
/// Shaders return at once in workgroups past the end.
fn fold(groups: usize, limit: usize) -> Option<[u32; 2]> {
    let x = groups.min(limit);
    let y = groups.div_ceil(x.max(1));
    (y <= limit).then_some([x as u32, y as u32])
}

/// Converts a number to a word of a shader's immediate data.
///
/// # Errors
/// If `number` does not fit a 32-bit shader index.
pub(crate) fn word(number: usize) -> Result<u32> {
    u32::try_from(number).map_err(|_| Error::limit(format!("a run with {number} elements, more than a shader counts")))
}

/// Converts numbers to words of a shader's immediate data.
///
/// # Errors
/// If a number does not fit a 32-bit shader index.
pub(crate) fn words<const N: usize>(numbers: [usize; N]) -> Result<[u32; N]> {
    let mut words = [0; N];
    for (word_, number) in words.iter_mut().zip(numbers) {
        *word_ = word(number)?;
    }
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grids_are_folded() {
        assert_eq!(fold(5, 65_535), Some([5, 1]));
        assert_eq!(fold(65_535, 65_535), Some([65_535, 1]));
        assert_eq!(fold(65_536, 65_535), Some([65_535, 2]));
        assert_eq!(fold(10, 4), Some([4, 3]));
        assert_eq!(fold(17, 4), None);
    }
}
