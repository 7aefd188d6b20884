//! The CPU kernel of recurrent layers of any functions, and the choice of the kernel.
//!
//! The products of the input are computed for all steps at once, those of the state for all items
//! side by side. An item whose sequence has ended goes along without effect.

use crate::{
    error::{Error, Result},
    kernels::KernelSet,
    op::{CpuKernel, Io, KernelRequest, Shapes, scratch_numbers},
    ops::recurrent::{
        Cell, Recurrent, layer,
        places::{Lengths, Places, Results},
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
    if let Some(kernel) = layer::kernel(request, &op, [weights[2], own[2]])? {
        return Ok(kernel);
    }
    let inputs = Weights::of_input(request, weights[1], weights[2])?;
    let states = Weights::of_state(request, &op, own[2])?;
    Ok(Box::new(Kernel { set: request.kernel_set(), size: own[2], inputs, states, shows_steps, op }))
}

/// The sizes of a run.
#[derive(Clone, Copy)]
struct Sizes {
    places: Places,
    gates: usize,
    /// Whether the items' steps are gathered one by one: they differ, or are not side by side.
    apart: bool,
}

impl Sizes {
    /// The steps whose sums are kept.
    fn kept(&self) -> usize {
        let Places { steps, batch, size, .. } = self.places;
        if self.apart { steps } else { block(steps, batch * self.gates * size) }
    }

    /// Numbers of scratch: the sums of the input, the gates of one step, its products and what is gathered for it,
    /// two states, and the biases.
    fn scratch(&self) -> Option<[usize; 5]> {
        let Places { batch, size, .. } = self.places;
        let width = self.gates.checked_mul(size)?;
        let step = batch.checked_mul(width)?.checked_next_multiple_of(16)?;
        let states = batch.checked_mul(size)?.checked_next_multiple_of(16)?;
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
        // The range of bytes is that of all steps.
        let apart = has_lengths || self.op.batch_first || self.op.bytes;
        Sizes { places: Places::new(&self.op, self.size, x), gates: self.op.cell.gates(), apart }
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
        let lengths = optional(4).map(|view| view.slice::<i32>()).transpose()?;
        let lengths = sizes.places.lengths(&self.op, lengths)?;
        sizes.places.check_state(optional(5))?;
        sizes.places.check_state(optional(6))?;
        let weights = self.inputs.matrices(|| required(1))?;
        let own = self.states.matrices(|| required(2))?;
        let run = Run {
            kernel: self,
            sizes,
            x: x.slice()?,
            lengths,
            biases: numbers(3)?,
            first: [numbers(5)?, numbers(6)?],
            peepholes: numbers(7)?,
        };
        let scratch = scratch_numbers(io.scratch);
        let mut results = Results::new(&mut io.outputs, sizes.places, self.shows_steps)?;
        for way in 0..self.op.way.count() {
            let parts = self.states.parts();
            run.way(way, weights.of(way, 1), own.of(way, parts), &mut results, scratch)?;
        }
        Ok(())
    }
}

/// What the ways of one run read.
struct Run<'a> {
    kernel: &'a Kernel,
    sizes: Sizes,
    x: &'a [f32],
    lengths: Lengths<'a>,
    biases: Option<&'a [f32]>,
    /// The first states, and those of the cell.
    first: [Option<&'a [f32]>; 2],
    peepholes: Option<&'a [f32]>,
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
        let Sizes { places, gates, apart } = sizes;
        let Places { steps, batch, size, .. } = places;
        let width = gates * size;
        let parts = sizes.scratch().ok_or_else(|| Error::internal("scratch overflows"))?;
        let (sums, scratch) = scratch.split_at_mut(parts[0]);
        let (step, scratch) = scratch.split_at_mut(parts[1]);
        let (hidden, scratch) = scratch.split_at_mut(parts[2]);
        let (cell, biases) = scratch.split_at_mut(parts[3]);
        let (bias, state_bias) = self.biases(way, &mut biases[..2 * width]);
        let most = self.lengths.most(0..batch);
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
        places.first_states(self.first[0], way, 0..batch, states.hidden);
        places.first_states(self.first[1], way, 0..batch, states.cell);
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
        let reverse = self.lengths.is_reverse(way);
        results.begin(way, &self.lengths);
        for index in 0..most {
            let at = |item: usize| self.lengths.at(way, item, index);
            if apart {
                for item in 0..batch {
                    let row = at(item).map_or(0, |at| places.row(at, item));
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
                let is_last = index + 1 == self.lengths.of(item);
                let state = item * size..(item + 1) * size;
                let last_cell = is_last.then(|| &states.cell[state.clone()]);
                results.keep(at, way, item, &states.hidden[state], last_cell);
            }
        }
        Ok(())
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
