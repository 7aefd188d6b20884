//! Where the numbers of an item's step are among the operands and results of a layer.

use std::ops::Range;

use crate::{
    error::{Error, Result},
    ops::recurrent::{Recurrent, Way},
    tensor::{View, ViewMut},
};

/// The sizes of a run, and the order of its axes.
#[derive(Clone, Copy)]
pub(super) struct Places {
    pub(super) steps: usize,
    pub(super) batch: usize,
    pub(super) size: usize,
    pub(super) ways: usize,
    pub(super) batch_first: bool,
}

impl Places {
    /// Those of an input of shape `x` and states of `size` numbers.
    pub(super) fn new(op: &Recurrent, size: usize, x: &[usize]) -> Self {
        let axis = usize::from(!op.batch_first);
        Self { steps: x[1 - axis], batch: x[axis], size, ways: op.way.count(), batch_first: op.batch_first }
    }

    /// The row of the input of an item's step.
    pub(super) fn row(&self, at: usize, item: usize) -> usize {
        if self.batch_first { item * self.steps + at } else { at * self.batch + item }
    }

    /// The place of an item's state in a `[ways, batch, size]`.
    pub(super) fn state(&self, way: usize, item: usize) -> usize {
        let row = if self.batch_first { item * self.ways + way } else { way * self.batch + item };
        row * self.size
    }

    /// The place of an item's state after a step among all.
    pub(super) fn step(&self, at: usize, way: usize, item: usize) -> usize {
        let row = match self.batch_first {
            true => (item * self.steps + at) * self.ways + way,
            false => (at * self.ways + way) * self.batch + item,
        };
        row * self.size
    }

    /// Copies the first states of items, or zeros where there are none.
    pub(super) fn first_states(&self, from: Option<&[f32]>, way: usize, items: Range<usize>, to: &mut [f32]) {
        for (item, to) in items.zip(to.chunks_exact_mut(self.size.max(1))) {
            match from {
                Some(from) => to.copy_from_slice(&from[self.state(way, item)..][..self.size]),
                None => to.fill(0.0),
            }
        }
    }

    /// Fails if a first state has another number of items.
    pub(super) fn check_state(&self, state: Option<View<'_>>) -> Result<()> {
        let due = self.batch * self.size * self.ways;
        match state.filter(|view| view.bytes.len() != due * size_of::<f32>()) {
            None => Ok(()),
            Some(view) => {
                let (own, batch) = (view.shape, self.batch);
                Err(Error::invalid_input(format!("a state of shape {own:?} for {batch} items")))
            }
        }
    }

    /// The items' lengths, if they are given.
    pub(super) fn lengths<'a>(&self, op: &Recurrent, lengths: Option<&'a [i32]>) -> Result<Lengths<'a>> {
        let Self { steps, batch, .. } = *self;
        if let Some(lengths) = lengths
            && (lengths.len() != batch
                || !lengths.iter().all(|&own| usize::try_from(own).is_ok_and(|own| own <= steps)))
        {
            return Err(Error::invalid_input(format!("lengths {lengths:?} of {batch} items with {steps} steps")));
        }
        Ok(Lengths { steps, lengths, reverse: op.way == Way::Reverse })
    }
}

/// The steps of each item, and their order.
#[derive(Clone, Copy)]
pub(super) struct Lengths<'a> {
    steps: usize,
    /// Between 0 and the steps, each.
    lengths: Option<&'a [i32]>,
    reverse: bool,
}

impl Lengths<'_> {
    /// The number of an item's steps.
    pub(super) fn of(&self, item: usize) -> usize {
        self.lengths.map_or(self.steps, |lengths| lengths[item].unsigned_abs() as usize)
    }

    /// The most steps of any of the items.
    pub(super) fn most(&self, items: Range<usize>) -> usize {
        self.lengths.map_or(self.steps, |_| items.map(|item| self.of(item)).max().unwrap_or(0))
    }

    /// Whether a way goes from the last step to the first.
    pub(super) fn is_reverse(&self, way: usize) -> bool {
        self.reverse || way == 1
    }

    /// Where in the sequence an item's step `index` of a way is, unless it has ended.
    pub(super) fn at(&self, way: usize, item: usize, index: usize) -> Option<usize> {
        let last = self.of(item).checked_sub(index + 1)?;
        Some(if self.is_reverse(way) { last } else { index })
    }
}

/// The results of a run.
pub(super) struct Results<'a> {
    /// The states after each step; of no numbers where nothing reads them.
    all: &'a mut [f32],
    last: &'a mut [f32],
    /// Of no numbers where a cell has no state of its own.
    last_cell: &'a mut [f32],
    places: Places,
}

impl<'a> Results<'a> {
    /// Those of a run; `shows_steps` tells whether anything reads the states after each step.
    pub(super) fn new(outputs: &'a mut [ViewMut<'_>], places: Places, shows_steps: bool) -> Result<Self> {
        let mut outputs = outputs.iter_mut().map(|output| output.slice::<f32>());
        let mut next = || outputs.next().transpose();
        let (Some(all), Some(last)) = (next()?, next()?) else {
            return Err(Error::internal("a recurrent layer misses a result"));
        };
        let all = if shows_steps { all } else { &mut [] };
        Ok(Self { all, last, last_cell: next()?.unwrap_or_default(), places })
    }

    /// Fills what no step of a way writes with zeros.
    pub(super) fn begin(&mut self, way: usize, lengths: &Lengths<'_>) {
        let Places { steps, batch, size, .. } = self.places;
        for item in 0..batch {
            for at in lengths.of(item)..steps {
                part(self.all, self.places.step(at, way, item), size).fill(0.0);
            }
            if lengths.of(item) == 0 {
                // As ONNX Runtime has it; ONNX does not say.
                let place = self.places.state(way, item);
                part(self.last, place, size).fill(0.0);
                part(self.last_cell, place, size).fill(0.0);
            }
        }
    }

    /// Keeps the state of an item after its step at `at`, and its last ones.
    pub(super) fn keep(&mut self, at: usize, way: usize, item: usize, hidden: &[f32], last_cell: Option<&[f32]>) {
        let size = self.places.size;
        let to = part(self.all, self.places.step(at, way, item), size);
        to.copy_from_slice(&hidden[..to.len()]);
        if let Some(cell) = last_cell {
            let place = self.places.state(way, item);
            part(self.last, place, size).copy_from_slice(hidden);
            let to = part(self.last_cell, place, size);
            to.copy_from_slice(&cell[..to.len()]);
        }
    }
}

/// An item's numbers, or none of a result that nothing reads.
fn part(all: &mut [f32], place: usize, size: usize) -> &mut [f32] {
    all.get_mut(place..).and_then(|all| all.get_mut(..size)).unwrap_or_default()
}
