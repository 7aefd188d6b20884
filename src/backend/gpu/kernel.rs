//! What a GPU kernel is made from, and how it records a run.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    sync::Arc,
};

use smallvec::SmallVec;

use crate::{
    backend::gpu::{
        AdapterType, buffer,
        cooperative::Matrices,
        memory::Workspace,
        session::Residence,
        shader::{Program, Programs},
    },
    error::{Error, Result},
    graph::{Fact, Graph, Node, ValueId},
    op::{Inputs, Operator, Packing, Shapes},
    shape::Dim,
    tensor::{DType, Tensor},
};

/// The rounds of loops that Mesa's software adapter lets an invocation go.
pub(crate) const MOST_ROUNDS: usize = 65_535;

/// One node made ready for a GPU: its programs, and constants in the form that they read.
pub(crate) trait GpuKernel: Send + Sync {
    /// Bytes of scratch that a run with these shapes needs; it may be larger than a binding only by mistake.
    fn scratch_bytes(&self, shapes: &Shapes<'_>) -> u64 {
        let _ = shapes;
        0
    }

    /// Records the dispatches of one run. Every element of every result must be written.
    ///
    /// # Errors
    /// When the shapes of the run do not fit.
    fn record(&self, run: &mut Recorder<'_>) -> Result<()>;
}

/// What became of a node.
pub(crate) enum Made {
    /// A kernel.
    Kernel(Box<dyn GpuKernel>),
    /// It runs on the CPU, for the reason given.
    Host(&'static str),
}

impl Made {
    /// A kernel.
    pub fn kernel(kernel: impl GpuKernel + 'static) -> Result<Self> {
        Ok(Self::Kernel(Box::new(kernel)))
    }
}

/// How the device holds the constant factors of products.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum WeightFormat {
    /// As they are.
    #[default]
    F32,
    /// Rounded to f16, ties to even, times a power of two of their own.
    F16,
}

/// A constant that kernels have packed, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct WeightId(pub usize);

type ByForm = HashMap<(ValueId, Packing), Arc<[WeightId]>>;

/// Packed constants on their way to the device.
#[derive(Default)]
pub(crate) struct Weights {
    made: RefCell<ByForm>,
    pending: RefCell<Vec<(WeightId, Vec<u8>)>>,
    count: Cell<usize>,
}

impl Weights {
    /// Those that were made since the last call.
    pub fn take_pending(&self) -> Vec<(WeightId, Vec<u8>)> {
        self.pending.take()
    }
}

/// What a kernel is made from.
pub(crate) struct GpuRequest<'a> {
    graph: &'a Graph,
    node: &'a Node,
    programs: &'a Programs,
    weights: &'a Weights,
    /// The most bytes that one binding may have.
    pub binding_limit: u64,
    /// How constant factors of products are held.
    pub format: WeightFormat,
    /// What multiplies cooperative matrices, if the session uses them.
    pub matrices: Option<Matrices>,
    taken: RefCell<SmallVec<[usize; 4]>>,
}

impl<'a> GpuRequest<'a> {
    pub fn new(
        graph: &'a Graph,
        node: &'a Node,
        programs: &'a Programs,
        weights: &'a Weights,
        binding_limit: u64,
        (format, matrices): (WeightFormat, Option<Matrices>),
    ) -> Self {
        Self { graph, node, programs, weights, binding_limit, format, matrices, taken: RefCell::default() }
    }

    /// The operator with its attributes.
    ///
    /// # Errors
    /// When it is not a `T`: the list of operators is wrong.
    pub fn op<T: Operator>(&self) -> Result<&'a T> {
        self.node.expect_op()
    }

    /// The operands.
    pub fn inputs(&self) -> Inputs<'a> {
        Inputs::new(self.graph, &self.node.inputs)
    }

    /// What is known of an operand that must be there.
    pub fn input(&self, index: usize) -> Result<&'a Fact> {
        self.inputs().required(index)
    }

    /// What is known of a result.
    pub fn output(&self, index: usize) -> Result<&'a Fact> {
        self.graph.result_of(self.node, index)
    }

    /// Why no GPU carries the elements of the operands and results, if one of them is of such a type or is a constant
    /// that is too wide.
    pub fn uncarried(&self) -> Option<&'static str> {
        let operands = (0..self.inputs().len()).filter_map(|index| self.inputs().fact(index));
        let results = self.node.outputs.iter().map(|&id| self.graph.fact(id));
        if operands.chain(results).any(|fact| buffer::carrier(fact.dtype).is_none()) {
            return Some("a type that has no 32-bit form");
        }
        let mut constants = (0..self.inputs().len()).filter_map(|index| self.constant(index));
        constants.any(|tensor| buffer::is_wide(tensor)).then_some("a constant that needs more than 32 bits")
    }

    /// The shader `stem` with these values.
    pub fn program(&self, stem: &'static str, values: &[(&str, &str)]) -> Result<Arc<Program>> {
        self.programs.get(stem, values)
    }

    /// An operand's tensor, if it is a constant.
    pub fn constant(&self, index: usize) -> Option<&'a Arc<Tensor>> {
        self.inputs().constant(index)
    }

    /// A constant operand in the form that `pack` makes of it, `None` where it is not constant. The kernel is not given
    /// the operand when it runs. Nodes that take the same constant in the same form share it. More than one part is
    /// made where the whole is larger than a binding may be.
    ///
    /// # Errors
    /// As `pack`, and when a part is larger than a binding may be.
    pub fn take_weight(
        &self,
        index: usize,
        form: Packing,
        pack: impl FnOnce(&Tensor) -> Result<Vec<Vec<u8>>>,
    ) -> Result<Option<Arc<[WeightId]>>> {
        let (Some(id), Some(tensor)) = (self.inputs().id(index), self.constant(index)) else { return Ok(None) };
        self.taken.borrow_mut().push(index);
        if let Some(made) = self.weights.made.borrow().get(&(id, form)) {
            return Ok(Some(made.clone()));
        }
        let mut ids = Vec::new();
        for bytes in pack(tensor)? {
            if bytes.len() as u64 > self.binding_limit {
                let (len, limit) = (bytes.len(), self.binding_limit);
                let what =
                    format!("weights of {len} bytes that cannot be cut, where this device binds at most {limit}");
                return Err(Error::limit(what));
            }
            let id = WeightId(self.weights.count.get());
            self.weights.count.set(id.0 + 1);
            self.weights.pending.borrow_mut().push((id, bytes));
            ids.push(id);
        }
        let ids: Arc<[WeightId]> = ids.into();
        self.weights.made.borrow_mut().insert((id, form), ids.clone());
        Ok(Some(ids))
    }

    pub fn taken(&self) -> SmallVec<[usize; 4]> {
        self.taken.borrow().clone()
    }
}

/// What a dispatch binds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Operand {
    /// An operand of the node.
    Input(usize),
    /// A result of the node.
    Output(usize),
    /// A packed constant.
    Weight(WeightId),
    /// The step's scratch.
    Scratch,
    /// Where a shader leaves word of a bad element: see `shaders/shared/fault.wgsl`.
    Fault,
}

/// One run of one kernel, while it is recorded.
pub(crate) struct Recorder<'r> {
    pub(super) residence: &'r Residence,
    pub(super) memory: &'r mut Workspace,
    pub(super) pass: &'r mut wgpu::ComputePass<'static>,
    pub(super) step: usize,
    pub(super) shapes: Shapes<'r>,
}

impl Recorder<'_> {
    /// An operand's dimensions.
    ///
    /// # Errors
    /// When it is absent or was taken.
    pub fn input(&self, index: usize) -> Result<&[usize]> {
        let shape = self.shapes.inputs.get(index).copied().flatten();
        shape.ok_or_else(|| Error::internal(format!("a kernel misses operand {index}")))
    }

    /// A result's dimensions.
    ///
    /// # Errors
    /// When there is no such result.
    pub fn output(&self, index: usize) -> Result<&[usize]> {
        let shape = self.shapes.outputs.get(index).copied();
        shape.ok_or_else(|| Error::internal(format!("a kernel misses result {index}")))
    }

    /// The most rows between neighbours of the i32 offsets in an operand, where the host has them.
    pub fn longest(&self, index: usize) -> Option<usize> {
        let root = self.residence.plan.root_of(self.residence.input_of(self.step, index).ok()?);
        if !self.memory.on_host[root.index()] || self.residence.plan.dtype(root) != DType::I32 {
            return None;
        }
        let count: usize = self.input(index).ok()?.iter().product();
        let offsets: &[i32] = bytemuck::try_cast_slice(self.memory.host[root.index()].get(..4 * count)?).ok()?;
        offsets.windows(2).map(|pair| usize::try_from(i64::from(pair[1]) - i64::from(pair[0])).unwrap_or(0)).max()
    }

    /// How many operands the node has.
    pub fn input_count(&self) -> usize {
        self.shapes.inputs.len()
    }

    /// How many results the node has.
    pub fn output_count(&self) -> usize {
        self.shapes.outputs.len()
    }

    /// The value of an attribute that may depend on the run's sizes.
    ///
    /// # Errors
    /// When it does not come out as a number.
    pub fn eval(&self, dim: &Dim) -> Result<i64> {
        dim.eval(&self.memory.bindings)
    }

    /// The number of the step, by which a shader names itself when it meets a bad element.
    pub fn step(&self) -> u32 {
        self.step as u32
    }

    /// Refuses a dispatch whose invocations go round their loops more often than the adapter lets them: Mesa's software
    /// adapter leaves all loops after so many rounds, without a word.
    ///
    /// # Errors
    /// When `rounds`, of all loops of one invocation together, are more.
    pub fn loops(&self, rounds: usize) -> Result<()> {
        let adapter = &self.residence.device.adapter;
        if adapter.kind == AdapterType::Software && rounds > MOST_ROUNDS {
            let what = format!("{rounds} rounds of a shader's loops, where `{adapter}` ends them after {MOST_ROUNDS}");
            return Err(Error::limit(what));
        }
        Ok(())
    }

    /// Records `groups` workgroups of a program; none where `groups` is 0. `operands` names what each of the shader's
    /// variables is, `words` are its immediate data in order.
    ///
    /// # Errors
    /// When the operands or words are not those of the shader, or there are more workgroups than a grid has.
    pub fn dispatch(
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
        Ok(())
    }
}

/// A grid of at least `groups` workgroups, at most `limit` in each dimension: shaders leave out those past the end.
fn fold(groups: usize, limit: usize) -> Option<[u32; 2]> {
    let x = groups.min(limit);
    let y = groups.div_ceil(x.max(1));
    (y <= limit).then_some([x as u32, y as u32])
}

/// A number as a shader's word.
///
/// # Errors
/// When it needs more than 32 bits, which a shader's index has not.
pub(crate) fn word(number: usize) -> Result<u32> {
    u32::try_from(number).map_err(|_| Error::limit(format!("a run with {number} elements, more than a shader counts")))
}

/// Numbers as a shader's words.
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
