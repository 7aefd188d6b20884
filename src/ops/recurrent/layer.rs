//! The CPU kernel of LSTM and GRU layers whose gates have their usual functions.
//!
//! Some items at a time go through all steps, so that their states stay in the cache. With few items
//! the products of the input are computed for several steps at once, which reads its weights once.

use std::ops::Range;

use crate::{
    error::{Error, Result},
    kernels::{
        KernelSet,
        gemm::{PackedRef, Spans, tile},
        recurrent::{Ahead, Cell, Layer, ROWS, States, sums_len},
    },
    op::{CpuKernel, Io, KernelRequest, Shapes, scratch_numbers},
    ops::recurrent::{
        self, Recurrent, StepFunction,
        places::{Lengths, Places, Results},
        weights::Weights,
    },
    tensor::View,
    threads::split,
};

/// Bytes of the sums of the input that are computed at a time, if those of one step are fewer.
const AHEAD_BYTES: usize = 1 << 18;
/// The most workers whose rows go through the steps together.
const MOST_WORKERS: usize = 64;

struct Kernel {
    op: Recurrent,
    cell: Cell,
    set: KernelSet,
    /// Numbers of an input's row, and of a state.
    widths: [usize; 2],
    inputs: Weights,
    states: Weights,
    /// Whether anything reads the states after each step.
    shows_steps: bool,
}

/// The kernel, if the layer is of that kind; `widths` are the numbers of an input's row and of a state.
pub(super) fn kernel(
    request: &KernelRequest<'_>,
    op: &Recurrent,
    widths: [usize; 2],
) -> Result<Option<Box<dyn CpuKernel>>> {
    let (set, [width, size]) = (request.kernel_set(), widths);
    let cell = match op.cell {
        recurrent::Cell::Lstm { coupled: false } if request.inputs().id(7).is_none() => Cell::Lstm,
        recurrent::Cell::Gru { linear_before_reset: true } => Cell::Gru,
        _ => return Ok(None),
    };
    let usual =
        |way: &[StepFunction]| way[0] == StepFunction::Sigmoid && way[1..].iter().all(|f| *f == StepFunction::Tanh);
    // Most of a panel of a narrow layer would be padding.
    let is_narrow = width == 0 || size < tile::width(set) / 2;
    if op.bytes || op.clip.is_some() || is_narrow || !op.functions.chunks(op.cell.functions()).all(usual) {
        return Ok(None);
    }
    let inputs = Weights::by_groups(request, 1, op, [size, width])?;
    let states = Weights::by_groups(request, 2, op, [size, size])?;
    let shows_steps = request.is_read(0);
    Ok(Some(Box::new(Kernel { op: op.clone(), cell, set, widths, inputs, states, shows_steps })))
}

/// Numbers of scratch.
struct Scratch {
    /// Of the input's rows of the steps at a time.
    x: usize,
    sums: usize,
    /// Of each of the three states.
    state: usize,
    bias: usize,
}

impl Kernel {
    fn rows_at_once(&self, batch: usize, workers: usize) -> usize {
        batch.min(ROWS * workers.clamp(1, MOST_WORKERS))
    }

    /// The numbers of a row's sums of one step.
    fn sums(&self) -> Option<usize> {
        sums_len(self.set, self.widths[1], 1)
    }

    /// The steps of `rows` rows whose products of the input are computed at once.
    fn steps_at_once(&self, rows: usize, steps: usize) -> usize {
        if rows >= 2 * tile::rows::<f32>(self.set) {
            return 1;
        }
        let bytes = self.sums().unwrap_or(usize::MAX).saturating_mul(rows).saturating_mul(size_of::<f32>());
        (AHEAD_BYTES / bytes.max(1)).clamp(1, steps.max(1))
    }

    fn scratch(&self, places: Places) -> Option<Scratch> {
        let [width, size] = self.widths;
        let rows = self.rows_at_once(places.batch, MOST_WORKERS);
        // As many as `steps_at_once` allows of any number of rows.
        let most = AHEAD_BYTES / size_of::<f32>() / self.sums()?.max(1);
        let all = rows.max(most.min(rows.checked_mul(places.steps)?));
        let whole = |numbers: usize| numbers.checked_next_multiple_of(16);
        Some(Scratch {
            x: whole(all.checked_mul(width)?)?,
            sums: whole(sums_len(self.set, size, all)?)?,
            state: whole(rows.checked_mul(size)?)?,
            bias: whole(size.checked_mul(4)?)?,
        })
    }
}

impl CpuKernel for Kernel {
    fn packed_bytes(&self) -> usize {
        self.inputs.byte_len() + self.states.byte_len()
    }

    fn scratch_bytes(&self, shapes: &Shapes<'_>) -> usize {
        let sum = |Scratch { x, sums, state, bias }: Scratch| {
            x.checked_add(sums)?.checked_add(state.checked_mul(3)?)?.checked_add(bias)?.checked_mul(size_of::<f32>())
        };
        let places = shapes.inputs[0].map(|x| Places::new(&self.op, self.widths[1], x));
        places.map_or(0, |places| self.scratch(places).and_then(sum).unwrap_or(usize::MAX))
    }

    fn run(&self, io: &mut Io<'_>) -> Result<()> {
        let x = io.input(0)?;
        let inputs = io.inputs.clone();
        let places = Places::new(&self.op, self.widths[1], x.shape);
        let optional = |index: usize| inputs.get(index).copied().flatten();
        let numbers = |index: usize| optional(index).map(|view: View<'_>| view.slice::<f32>()).transpose();
        let required = |index: usize| {
            let view = optional(index).ok_or_else(|| Error::internal(format!("operand {index} is missing")))?;
            view.slice::<f32>()
        };
        let lengths = optional(4).map(|view| view.slice::<i32>()).transpose()?;
        places.check_state(optional(5))?;
        places.check_state(optional(6))?;
        let weights = self.inputs.matrices(|| required(1))?;
        let own = self.states.matrices(|| required(2))?;
        let run = Run {
            kernel: self,
            places,
            x: x.slice()?,
            lengths: places.lengths(&self.op, lengths)?,
            biases: numbers(3)?,
            first: [numbers(5)?, numbers(6)?],
        };
        let scratch = scratch_numbers(io.scratch);
        let mut results = Results::new(&mut io.outputs, places, self.shows_steps)?;
        for way in 0..places.ways {
            run.way(way, [weights.of(way, 1).only()?, own.of(way, 1).only()?], &mut results, scratch)?;
        }
        Ok(())
    }
}

/// What the ways of one run read.
struct Run<'a> {
    kernel: &'a Kernel,
    places: Places,
    x: &'a [f32],
    lengths: Lengths<'a>,
    biases: Option<&'a [f32]>,
    /// The first states, and those of the cell.
    first: [Option<&'a [f32]>; 2],
}

impl Run<'_> {
    fn way(
        &self,
        way: usize,
        weights: [PackedRef<'_>; 2],
        results: &mut Results<'_>,
        scratch: &mut [f32],
    ) -> Result<()> {
        let (kernel, places) = (self.kernel, self.places);
        let [width, size] = kernel.widths;
        let parts = kernel.scratch(places).ok_or_else(|| Error::internal("scratch overflows"))?;
        let (x, scratch) = scratch.split_at_mut(parts.x);
        let (sums, scratch) = scratch.split_at_mut(parts.sums);
        let (mut hidden, scratch) = scratch.split_at_mut(parts.state);
        let (mut next, scratch) = scratch.split_at_mut(parts.state);
        let (cell, bias) = scratch.split_at_mut(parts.state);
        self.bias(way, &mut bias[..4 * size]);
        let layer = Layer::new(kernel.set, kernel.cell, size, weights, &bias[..4 * size])?;
        results.begin(way, &self.lengths);
        for items in Spans::even(0..places.batch, kernel.rows_at_once(places.batch, split::workers()).max(1)) {
            let (rows, most) = (items.len(), self.lengths.most(items.clone()));
            places.first_states(self.first[0], way, items.clone(), &mut hidden[..rows * size]);
            let cells = if kernel.cell == Cell::Lstm { rows * size } else { 0 };
            places.first_states(self.first[1], way, items.clone(), &mut cell[..cells]);
            let at_once = kernel.steps_at_once(rows, most);
            for index in 0..most {
                let step = index % at_once;
                let count = at_once.min(most - (index - step));
                if step == 0 {
                    self.gather(way, &items, index..index + count, x);
                    if count > 1 {
                        layer.ahead(&x[..count * rows * width], count * rows, sums)?;
                    }
                }
                let input = if count > 1 { Err(Ahead { step, steps: count }) } else { Ok(&x[..rows * width]) };
                let (own, to) = (&hidden[..rows * size], &mut next[..rows * size]);
                layer.step(rows, input, &mut States { hidden: own, next: to, cell: &mut cell[..cells] }, sums)?;
                std::mem::swap(&mut hidden, &mut next);
                for (row, item) in items.clone().enumerate() {
                    let Some(at) = self.lengths.at(way, item, index) else { continue };
                    let state = row * size..(row + 1) * size;
                    let is_last = index + 1 == self.lengths.of(item);
                    let last_cell = is_last.then(|| cell.get(state.clone()).unwrap_or_default());
                    results.keep(at, way, item, &hidden[state], last_cell);
                }
            }
        }
        Ok(())
    }

    /// Copies the input of some items' steps, one step after another.
    fn gather(&self, way: usize, items: &Range<usize>, steps: Range<usize>, to: &mut [f32]) {
        let width = self.kernel.widths[0];
        let mut to = to.chunks_exact_mut(width);
        for index in steps {
            for (item, to) in items.clone().zip(&mut to) {
                // One that has ended goes along without effect.
                let row = self.places.row(self.lengths.at(way, item, index).unwrap_or(0), item);
                to.copy_from_slice(&self.x[row * width..][..width]);
            }
        }
    }

    /// The bias of each of the layer's four sums.
    fn bias(&self, way: usize, to: &mut [f32]) {
        let size = self.places.size;
        to.fill(0.0);
        let Some(all) = self.biases else { return };
        let gates = self.kernel.op.cell.gates();
        let (input, state) = all[way * 2 * gates * size..][..2 * gates * size].split_at(gates * size);
        let of_both = if self.kernel.cell == Cell::Gru { 2 * size } else { 4 * size };
        for (to, (input, state)) in to[..of_both].iter_mut().zip(input.iter().zip(state)) {
            *to = input + state;
        }
        if self.kernel.cell == Cell::Gru {
            to[2 * size..3 * size].copy_from_slice(&input[2 * size..]);
            to[3 * size..].copy_from_slice(&state[2 * size..]);
        }
    }
}
