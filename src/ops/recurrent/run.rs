//! The CPU kernel of recurrent layers.
//!
//! The products of the input are computed for all steps at once, those of the state for all items
//! side by side. An item whose sequence has ended goes along without effect.

use crate::{
    error::{Error, Result},
    kernels::KernelSet,
    op::{CpuKernel, Io, KernelRequest, Shapes, scratch_numbers},
    ops::recurrent::{
        Cell, Recurrent, Way,
        step::{States, Step},
        sums::{Sums, block},
        weights::{Factors, Weights},
    },
    tensor::View,
};

struct Kernel {
    op: Recurrent,
    set: KernelSet,
    /// Numbers of an item's state.
    size: usize,
    inputs: Weights,
    states: Weights,
    /// Whether anything reads the states after each step.
    shows_steps: bool,
}

pub(super) fn kernel(request: &KernelRequest<'_>) -> Result<Box<dyn CpuKernel>> {
    let op = request.op::<Recurrent>()?.clone();
    let fixed = |index: usize| {
        let dims = request.input(index)?.shape.as_fixed();
        dims.ok_or_else(|| Error::internal("weights of symbolic shape were not refused"))
    };
    let (weights, own) = (fixed(1)?, fixed(2)?);
    let shows_steps = request.is_read(0);
    if op.bytes {
        let inputs = Weights::of_bytes(request, 1, 8)?;
        let states = Weights::of_bytes(request, 2, 10)?;
        return Ok(Box::new(Kernel { set: request.kernel_set(), size: own[1], inputs, states, shows_steps, op }));
    }
    let inputs = Weights::of_input(request, weights[1], weights[2])?;
    let states = Weights::of_state(request, &op, own[2])?;
    Ok(Box::new(Kernel { set: request.kernel_set(), size: own[2], inputs, states, shows_steps, op }))
}

/// The sizes of a run.
#[derive(Clone, Copy)]
struct Sizes {
    steps: usize,
    batch: usize,
    size: usize,
    gates: usize,
    /// Whether the items' steps are gathered one by one: they differ, or are not side by side.
    apart: bool,
}

impl Sizes {
    /// The steps whose sums are kept.
    fn kept(&self) -> usize {
        if self.apart { self.steps } else { block(self.steps, self.batch * self.gates * self.size) }
    }

    /// Numbers of scratch: the sums of the input, the gates of one step, its products and what is gathered for it,
    /// two states, and the biases.
    fn scratch(&self) -> Option<[usize; 5]> {
        let width = self.gates.checked_mul(self.size)?;
        let step = self.batch.checked_mul(width)?.checked_next_multiple_of(16)?;
        let states = self.batch.checked_mul(self.size)?.checked_next_multiple_of(16)?;
        Some([
            step.checked_mul(self.kept())?,
            step.checked_mul(3)?,
            states,
            states,
            width.checked_mul(2)?.checked_next_multiple_of(16)?,
        ])
    }
}

impl Kernel {
    fn sizes(&self, x: &[usize], has_lengths: bool) -> Sizes {
        let axis = usize::from(!self.op.batch_first);
        // The range of bytes is that of all steps.
        let apart = has_lengths || self.op.batch_first || self.op.bytes;
        Sizes { steps: x[1 - axis], batch: x[axis], size: self.size, gates: self.op.cell.gates(), apart }
    }
}

impl CpuKernel for Kernel {
    fn packed_bytes(&self) -> usize {
        self.inputs.byte_len() + self.states.byte_len()
    }

    fn scratch_bytes(&self, shapes: &Shapes<'_>) -> usize {
        let has_lengths = shapes.inputs.get(4).is_some_and(Option::is_some);
        let sizes = shapes.inputs[0].map(|x| self.sizes(x, has_lengths).scratch());
        let sum = |all: [usize; 5]| all.into_iter().try_fold(0usize, usize::checked_add)?.checked_mul(4);
        sizes.map_or(0, |sizes| sizes.and_then(sum).unwrap_or(usize::MAX))
    }

    fn run(&self, io: &mut Io<'_>) -> Result<()> {
        let x = io.input(0)?;
        let inputs = io.inputs.clone();
        let sizes = self.sizes(x.shape, inputs.get(4).is_some_and(Option::is_some));
        let optional = |index: usize| inputs.get(index).copied().flatten();
        let numbers = |index: usize| optional(index).map(|view: View<'_>| view.slice::<f32>()).transpose();
        let required = |index: usize| {
            let view = optional(index).ok_or_else(|| Error::internal(format!("operand {index} is missing")))?;
            view.slice::<f32>()
        };
        let lengths = optional(4).map(|view| lengths(view.slice()?, &sizes)).transpose()?;
        for index in [5, 6] {
            let due = sizes.batch * sizes.size * self.op.way.count();
            if let Some(view) = optional(index).filter(|view| view.bytes.len() != due * size_of::<f32>()) {
                let (own, batch) = (view.shape, sizes.batch);
                return Err(Error::invalid_input(format!("a state of shape {own:?} for {batch} items")));
            }
        }
        let weights = self.inputs.matrices(|| required(1))?;
        let own = self.states.matrices(|| required(2))?;
        let run = Run {
            kernel: self,
            sizes,
            x: x.slice()?,
            lengths: lengths.as_deref(),
            biases: numbers(3)?,
            first: [numbers(5)?, numbers(6)?],
            peepholes: numbers(7)?,
        };
        let scratch = scratch_numbers(io.scratch);
        let mut outputs = io.outputs.iter_mut().map(|output| output.slice::<f32>());
        let mut next = || outputs.next().transpose();
        let (Some(all), Some(last)) = (next()?, next()?) else {
            return Err(Error::internal("a recurrent layer misses a result"));
        };
        let all = if self.shows_steps { all } else { &mut [] };
        let mut results = Results { all, last, last_cell: next()?.unwrap_or_default() };
        for way in 0..self.op.way.count() {
            let parts = self.states.parts();
            run.way(way, weights.of(way, 1), own.of(way, parts), &mut results, scratch)?;
        }
        Ok(())
    }
}

/// The items' lengths, checked.
fn lengths(lengths: &[i32], sizes: &Sizes) -> Result<Vec<usize>> {
    let of = |&length: &i32| usize::try_from(length).ok().filter(|&length| length <= sizes.steps);
    let found = lengths.iter().map(of).collect::<Option<Vec<_>>>();
    found.filter(|all| all.len() == sizes.batch).ok_or_else(|| {
        let Sizes { steps, batch, .. } = sizes;
        Error::invalid_input(format!("lengths {lengths:?} of {batch} items with {steps} steps"))
    })
}

/// What the ways of one run read.
struct Run<'a> {
    kernel: &'a Kernel,
    sizes: Sizes,
    x: &'a [f32],
    lengths: Option<&'a [usize]>,
    biases: Option<&'a [f32]>,
    /// The first states, and those of the cell.
    first: [Option<&'a [f32]>; 2],
    peepholes: Option<&'a [f32]>,
}

struct Results<'a> {
    /// Of no numbers where nothing reads them.
    all: &'a mut [f32],
    last: &'a mut [f32],
    last_cell: &'a mut [f32],
}

impl Results<'_> {
    /// The state after a step, of no numbers where nothing reads it.
    fn step(&mut self, place: usize, size: usize) -> &mut [f32] {
        self.all.get_mut(place..).and_then(|all| all.get_mut(..size)).unwrap_or_default()
    }
}

impl Run<'_> {
    fn way(
        &self,
        way: usize,
        weights: Factors<'_>,
        matrices: Factors<'_>,
        results: &mut Results<'_>,
        scratch: &mut [f32],
    ) -> Result<()> {
        let (op, sizes) = (&self.kernel.op, self.sizes);
        let Sizes { steps, batch, size, gates, apart } = sizes;
        let width = gates * size;
        let parts = sizes.scratch().ok_or_else(|| Error::internal("scratch overflows"))?;
        let (sums, scratch) = scratch.split_at_mut(parts[0]);
        let (step, scratch) = scratch.split_at_mut(parts[1]);
        let (hidden, scratch) = scratch.split_at_mut(parts[2]);
        let (cell, biases) = scratch.split_at_mut(parts[3]);
        let (bias, state_bias) = self.biases(way, &mut biases[..2 * width]);
        let most = self.lengths.map_or(steps, |lengths| lengths.iter().copied().max().unwrap_or(0));
        // The range of the input is that of the steps that any item takes.
        let given = self.x.len().checked_div(steps).unwrap_or(0);
        // Beside bytes the bias comes last, as ONNX Runtime adds it.
        let (first, state_bias) = if op.bytes { (None, Some(bias)) } else { (Some(bias), state_bias) };
        let mut sums = Sums {
            set: self.kernel.set,
            weights,
            bias: first,
            x: self.x,
            step: [given, batch * width],
            batch,
            kept: sums,
            first: 0,
        };
        if apart {
            sums.compute(0..if op.bytes { most } else { steps })?;
        }
        let (current, step) = step.split_at_mut(parts[1] / 3);
        let (products, gathered) = step.split_at_mut(parts[1] / 3);
        let [current, products, gathered] = [current, products, gathered].map(|part| &mut part[..batch * width]);
        let mut states = States { hidden: &mut hidden[..batch * size], cell: &mut cell[..batch * size] };
        self.first_states(way, &mut states);
        let functions = op.cell.functions();
        let own = Step {
            set: self.kernel.set,
            cell: op.cell,
            functions: &op.functions[way * functions..][..functions],
            clip: op.clip,
            size,
            matrices,
            state_bias,
            peepholes: self.peepholes.map(|all| &all[way * 3 * size..][..3 * size]),
            bytes: op.bytes,
        };
        let reverse = op.way == Way::Reverse || way == 1;
        let length = |item: usize| self.lengths.map_or(steps, |lengths| lengths[item]);
        for item in 0..batch {
            for at in length(item)..steps {
                results.step(self.place(at, way, item), size).fill(0.0);
            }
            if length(item) == 0 {
                // As ONNX Runtime has it; ONNX does not say.
                self.state_of(&mut *results.last, way, item).fill(0.0);
                self.state_of(&mut *results.last_cell, way, item).fill(0.0);
            }
        }
        for index in 0..most {
            let at = |item: usize| match length(item) {
                length if index >= length => None,
                length if reverse => Some(length - 1 - index),
                _ => Some(index),
            };
            if apart {
                for item in 0..batch {
                    let row = at(item).map_or(0, |at| self.row(at, item));
                    gathered[item * width..][..width].copy_from_slice(&sums.kept[row * width..][..width]);
                }
                own.run(gathered, &mut states, current, products)?;
            } else {
                let block = sizes.kept();
                if index % block == 0 {
                    let (count, rest) = (block.min(steps - index), steps - index);
                    let first = if reverse { rest - count } else { index };
                    sums.compute(first..first + count)?;
                }
                own.run(sums.of(if reverse { steps - 1 - index } else { index }), &mut states, current, products)?;
            }
            for item in 0..batch {
                let Some(at) = at(item) else {
                    // The range of the states includes an item's last one, and then no more of it.
                    if op.bytes {
                        states.hidden[item * size..][..size].fill(0.0);
                    }
                    continue;
                };
                let from = &states.hidden[item * size..][..size];
                let to = results.step(self.place(at, way, item), size);
                to.copy_from_slice(&from[..to.len()]);
                if index + 1 == length(item) {
                    self.keep_last(way, item, &states, results);
                }
            }
        }
        Ok(())
    }

    /// The row of the input of an item's step.
    fn row(&self, at: usize, item: usize) -> usize {
        if self.kernel.op.batch_first { item * self.sizes.steps + at } else { at * self.sizes.batch + item }
    }

    /// The place of an item's state in a `[ways, batch, size]`.
    fn state(&self, way: usize, item: usize) -> usize {
        let ways = self.kernel.op.way.count();
        let row = if self.kernel.op.batch_first { item * ways + way } else { way * self.sizes.batch + item };
        row * self.sizes.size
    }

    /// The place of an item's state after a step among all.
    fn place(&self, at: usize, way: usize, item: usize) -> usize {
        let (ways, Sizes { steps, batch, size, .. }) = (self.kernel.op.way.count(), self.sizes);
        let row = match self.kernel.op.batch_first {
            true => (item * steps + at) * ways + way,
            false => (at * ways + way) * batch + item,
        };
        row * size
    }

    fn first_states(&self, way: usize, states: &mut States<'_>) {
        let size = self.sizes.size;
        for (to, from) in [&mut *states.hidden, &mut *states.cell].into_iter().zip(self.first) {
            for (item, to) in to.chunks_exact_mut(size.max(1)).enumerate() {
                match from {
                    Some(from) => to.copy_from_slice(&from[self.state(way, item)..][..size]),
                    None => to.fill(0.0),
                }
            }
        }
    }

    fn keep_last(&self, way: usize, item: usize, states: &States<'_>, results: &mut Results<'_>) {
        let size = self.sizes.size;
        self.state_of(&mut *results.last, way, item).copy_from_slice(&states.hidden[item * size..][..size]);
        let cell = self.state_of(&mut *results.last_cell, way, item);
        cell.copy_from_slice(&states.cell[item * size..][..cell.len()]);
    }

    /// An item's part of a `[ways, batch, size]`, or of no numbers.
    fn state_of<'t>(&self, all: &'t mut [f32], way: usize, item: usize) -> &'t mut [f32] {
        all.get_mut(self.state(way, item)..).and_then(|all| all.get_mut(..self.sizes.size)).unwrap_or_default()
    }

    /// The bias of the input's product, and that of the state's where it cannot be part of it.
    fn biases<'b>(&self, way: usize, to: &'b mut [f32]) -> (&'b [f32], Option<&'b [f32]>) {
        let width = to.len() / 2;
        let late = matches!(self.kernel.op.cell, Cell::Gru { linear_before_reset: true });
        to.fill(0.0);
        if let Some(all) = self.biases {
            to.copy_from_slice(&all[way * 2 * width..][..2 * width]);
        }
        let (input, state) = to.split_at_mut(width);
        if late {
            return (input, Some(state));
        }
        input.iter_mut().zip(&*state).for_each(|(input, state)| *input += state);
        (input, None)
    }
}
