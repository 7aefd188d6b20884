//! A checked layer, and its steps split over workers.

use std::{marker::PhantomData, ops::Range};

use crate::{
    error::{Error, Result},
    kernels::{
        KernelSet,
        gemm::{Factors, PackedRef, tile},
        recurrent::{
            gates::{Cell, Group, Gru, Lstm, SUMS},
            product::{Cut, Strip, multiply},
        },
    },
    threads::split,
};

/// The numbers of the sums of `rows` rows, those of all steps at a time.
pub(crate) fn sums_len(set: KernelSet, size: usize, rows: usize) -> Option<usize> {
    let columns = size.checked_next_multiple_of(tile::width(set))?;
    rows.checked_mul(columns)?.checked_mul(SUMS)
}

/// A layer whose weights and biases fit each other.
pub(crate) struct Layer<'a> {
    set: KernelSet,
    cell: Cell,
    size: usize,
    inputs: PackedRef<'a>,
    states: PackedRef<'a>,
    bias: &'a [f32],
}

/// The states of rows, `size` numbers each.
pub(crate) struct States<'a> {
    /// The states that the step reads.
    pub(crate) hidden: &'a [f32],
    /// The states that it leaves.
    pub(crate) next: &'a mut [f32],
    /// Those of LSTM cells, which it replaces.
    pub(crate) cell: &'a mut [f32],
}

/// Sums of the input that [`Layer::ahead`] has computed, and which of its steps is taken.
#[derive(Clone, Copy)]
pub(crate) struct Ahead {
    pub(crate) step: usize,
    pub(crate) steps: usize,
}

impl<'a> Layer<'a> {
    /// A layer of weights that [`pack`](super::pack) has packed, with a bias for each of four sums.
    ///
    /// The sums of an LSTM are those of its gates; those of a GRU are the update and reset gates and the
    /// candidate's of the input and of the state.
    ///
    /// # Errors
    /// `Internal` if a length or the kernel set does not fit.
    pub(crate) fn new(
        set: KernelSet,
        cell: Cell,
        size: usize,
        [inputs, states]: [PackedRef<'a>; 2],
        bias: &'a [f32],
    ) -> Result<Self> {
        let columns = sums_len(set, size, 1).map(|sums| sums / SUMS * cell.gates());
        let fits = |own: PackedRef<'_>| {
            own.is_for(set) && own.factors() == Factors::F32 && own.k() > 0 && Some(own.n()) == columns
        };
        if !fits(inputs) || !fits(states) || states.k() != size || size.checked_mul(SUMS) != Some(bias.len()) {
            let biases = bias.len();
            return Err(Error::internal(format!(
                "a layer of {size} with weights {inputs:?} and {states:?} and {biases} biases"
            )));
        }
        Ok(Self { set, cell, size, inputs, states, bias })
    }

    /// The products of the input's `rows` rows, one step after another, for steps to continue.
    ///
    /// # Errors
    /// `Internal` if a length does not fit.
    pub(crate) fn ahead(&self, x: &[f32], rows: usize, sums: &mut [f32]) -> Result<()> {
        self.check_sums(rows, sums)?;
        if rows.checked_mul(self.inputs.k()) != Some(x.len()) {
            return Err(self.misfit(rows, x.len()));
        }
        let work = Work { layer: self, x: x.as_ptr(), sums: sums.as_mut_ptr(), all: rows, ..Work::new(self) };
        let parts = split::parts(self.operations(rows, self.inputs.k()));
        // SAFETY: `each` gives every group to one call; the lengths are checked.
        split::each(0..self.groups(), parts, &|groups| unsafe { work.inputs(groups) });
        Ok(())
    }

    /// One step of `rows` rows, from their input or from sums that are computed ahead.
    ///
    /// # Errors
    /// `Internal` if a length does not fit.
    pub(crate) fn step(
        &self,
        rows: usize,
        x: std::result::Result<&[f32], Ahead>,
        states: &mut States<'_>,
        sums: &mut [f32],
    ) -> Result<()> {
        let (size, k) = (self.size, self.inputs.k());
        let has = |own: usize, row: usize| rows.checked_mul(row) == Some(own);
        let cells = if self.cell == Cell::Lstm { size } else { 0 };
        if !has(states.hidden.len(), size) || !has(states.next.len(), size) || !has(states.cell.len(), cells) {
            return Err(self.misfit(rows, states.hidden.len()));
        }
        let all = match x {
            Ok(x) if has(x.len(), k) => Some(rows),
            Err(ahead) if ahead.step < ahead.steps => rows.checked_mul(ahead.steps),
            _ => None,
        };
        self.check_sums(all.ok_or_else(|| self.misfit(rows, x.map_or(0, <[f32]>::len)))?, sums)?;
        let work = Work {
            x: x.map_or(std::ptr::null(), <[f32]>::as_ptr),
            ahead: x.err(),
            sums: sums.as_mut_ptr(),
            all: rows,
            hidden: states.hidden.as_ptr(),
            next: states.next.as_mut_ptr(),
            cell: states.cell.as_mut_ptr(),
            ..Work::new(self)
        };
        let parts = split::parts(self.operations(rows, size + if x.is_ok() { k } else { 0 }));
        if parts < 2 || rows >= 2 * parts * tile::rows::<f32>(self.set) {
            // SAFETY: `each` gives every row to one call; the lengths are checked.
            split::each(0..rows, parts, &|rows| unsafe { work.step(rows, 0..self.groups()) });
        } else {
            // SAFETY: `each` gives every group to one call; the lengths are checked.
            split::each(0..self.groups(), parts, &|groups| unsafe { work.step(0..rows, groups) });
        }
        Ok(())
    }

    fn groups(&self) -> usize {
        self.size.div_ceil(tile::width(self.set))
    }

    /// Multiplications and additions of products with `k` numbers a row.
    fn operations(&self, rows: usize, k: usize) -> usize {
        rows.saturating_mul(self.size).saturating_mul(2 * self.cell.gates()).saturating_mul(k)
    }

    fn check_sums(&self, rows: usize, sums: &[f32]) -> Result<()> {
        match sums_len(self.set, self.size, rows) {
            Some(len) if len <= sums.len() => Ok(()),
            _ => Err(self.misfit(rows, sums.len())),
        }
    }

    fn misfit(&self, rows: usize, numbers: usize) -> Error {
        Error::internal(format!("{numbers} numbers for a step of {rows} rows of a layer of {}", self.size))
    }
}

/// What the workers of a step share. Having one in a safe function proves nothing: its methods say what they need.
struct Work<'a> {
    layer: &'a Layer<'a>,
    /// Rows of the input, unless its sums are there already.
    x: *const f32,
    ahead: Option<Ahead>,
    sums: *mut f32,
    /// All rows.
    all: usize,
    hidden: *const f32,
    next: *mut f32,
    cell: *mut f32,
    borrowed: PhantomData<&'a mut [f32]>,
}

// SAFETY: input, hidden states and weights are read alone. The rest is written by unsafe functions, whose
// callers give each part of it to one thread.
unsafe impl Sync for Work<'_> {}

impl<'a> Work<'a> {
    fn new(layer: &'a Layer<'a>) -> Self {
        let (read, written) = (std::ptr::null(), std::ptr::null_mut());
        let (x, hidden, sums, next, cell) = (read, read, written, written, written);
        Self { layer, x, ahead: None, sums, all: 0, hidden, next, cell, borrowed: PhantomData }
    }

    /// The products of the input in all rows, for some groups.
    ///
    /// # Safety
    /// All rows of the input are readable, their sums of all groups writable, and no other thread uses those of `groups`.
    unsafe fn inputs(&self, groups: Range<usize>) {
        let &Self { layer, x, sums, all, .. } = self;
        let (cut, gates) = (Cut::new(layer.set, all), layer.cell.gates());
        let width = cut.width();
        for group in groups {
            let columns = width.min(layer.size - group * width);
            for sum in 0..SUMS {
                if let [Some(gate), _] = layer.cell.products(sum) {
                    let c = sums.wrapping_add((group * SUMS + sum) * all * width);
                    let strip = Strip { a: x, c, columns };
                    // SAFETY: the layer is checked, the caller promises the rest.
                    unsafe { multiply(&cut, &layer.inputs, group * gates + gate, strip, false) };
                }
            }
        }
    }

    /// A step of some rows and groups: of all groups, or of all rows.
    ///
    /// # Safety
    /// The rows are readable at the input, unless its sums are computed, and at the states; sums are there for all rows and
    /// groups, of all steps that are ahead. No other thread uses the parts of `rows` and `groups` meanwhile.
    unsafe fn step(&self, rows: Range<usize>, groups: Range<usize>) {
        let &Self { layer, x, ahead, sums, all, hidden, next, cell, .. } = self;
        let &Layer { set, size, ref inputs, ref states, bias, .. } = layer;
        let (gates, count) = (layer.cell.gates(), rows.len());
        let cut = Cut::new(set, count);
        let width = cut.width();
        // One group after another has its sums in the same place, which stays in the cache.
        let own = (rows.start + groups.start * count) * SUMS * width;
        for group in groups {
            let columns = width.min(size - group * width);
            let (first, stride) = match ahead {
                Some(Ahead { step, steps }) => {
                    ((group * SUMS * steps * all + step * all + rows.start) * width, steps * all * width)
                }
                None => (own, count * width),
            };
            let sums = sums.wrapping_add(first);
            for sum in 0..SUMS {
                let [input, state] = layer.cell.products(sum);
                let c = sums.wrapping_add(sum * stride);
                let strip = |a: *const f32, k: usize| Strip { a: a.wrapping_add(rows.start * k), c, columns };
                // SAFETY: the layer is checked, the caller promises the rest.
                unsafe {
                    if let Some(gate) = input.filter(|_| ahead.is_none()) {
                        multiply(&cut, inputs, group * gates + gate, strip(x, inputs.k()), false);
                    }
                    if let Some(gate) = state {
                        multiply(&cut, states, group * gates + gate, strip(hidden, size), input.is_some());
                    }
                }
            }
            let (column, place) = (group * width, rows.start * size + group * width);
            let group = Group {
                sums,
                sum_stride: stride,
                width,
                bias: bias.as_ptr().wrapping_add(column),
                hidden: hidden.wrapping_add(place),
                next: next.wrapping_add(place),
                cell: cell.wrapping_add(place),
                size,
                rows: count,
                columns,
            };
            // SAFETY: as above; the sums are complete.
            unsafe {
                match layer.cell {
                    Cell::Lstm => set.run(Lstm::new(group)),
                    Cell::Gru => set.run(Gru::new(group)),
                }
            }
        }
    }
}
