//! From the sums of the gates of a group of columns to the next states.
//!
//! A product of a sigmoid and another factor takes one division for both.

use crate::kernels::simd::{
    Kernel, Simd, math,
    reduce::{load_some, store_some},
};

/// A cell, and so the sums that a step needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cell {
    /// The input, output and forget gates and the candidate.
    Lstm,
    /// The update and reset gates and the candidate; the reset gate is applied after the product of
    /// the state.
    Gru,
}

/// Sums for each number of the state, of either cell.
pub(super) const SUMS: usize = 4;

impl Cell {
    /// The gates, and so the rows of weights for each number of the state.
    pub(super) fn gates(self) -> usize {
        match self {
            Self::Lstm => 4,
            Self::Gru => 3,
        }
    }

    /// The gates whose products of the input and of the state make up the sum `sum`.
    ///
    /// A GRU's candidate has two sums, since the reset gate multiplies that of the state alone.
    pub(super) fn products(self, sum: usize) -> [Option<usize>; 2] {
        match (self, sum) {
            (Self::Gru, 2) => [Some(2), None],
            (Self::Gru, 3) => [None, Some(2)],
            (_, gate) => [Some(gate); 2],
        }
    }
}

/// The sums and states of a group of columns in some rows.
#[derive(Clone, Copy)]
pub(super) struct Group {
    /// The first of the [`SUMS`]: one row after another, `width` apart.
    pub(super) sums: *mut f32,
    /// Distance from one sum to the next.
    pub(super) sum_stride: usize,
    pub(super) width: usize,
    /// The first column's bias of the first sum.
    pub(super) bias: *const f32,
    /// The first column of the first row of the states, `size` apart; so are the biases of the sums.
    pub(super) hidden: *const f32,
    pub(super) next: *mut f32,
    pub(super) cell: *mut f32,
    pub(super) size: usize,
    pub(super) rows: usize,
    pub(super) columns: usize,
}

/// The next states of LSTM cells.
pub(super) struct Lstm(Group);

impl Lstm {
    /// # Safety
    /// The group's rows and columns are readable at all four sums, its columns at their biases; both are
    /// readable and writable at `cell` and writable at `next`, and nobody else uses them meanwhile.
    #[inline(always)]
    pub(super) unsafe fn new(group: Group) -> Self {
        Self(group)
    }
}

impl Kernel for Lstm {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Group { sums, sum_stride, width, bias, next, cell, size, rows, columns, .. } = self.0;
        for at in (0..columns).step_by(S::LANES) {
            let count = (columns - at).min(S::LANES);
            // SAFETY: `new` requires these rows and columns; `at + count <= columns`.
            unsafe {
                let bias = |sum: usize| load_some(s, bias.add(sum * size), at, count);
                let bias = [bias(0), bias(1), bias(2), bias(3)];
                for row in 0..rows {
                    let sum = |index: usize| {
                        s.add(load_some(s, sums.add(index * sum_stride + row * width), at, count), bias[index])
                    };
                    let (input, forget) = (math::gate_below(s, sum(0)), math::gate_below(s, sum(2)));
                    let (above, below) = math::tanh_parts(s, sum(3));
                    let cell = cell.add(row * size);
                    let kept = s.div(load_some(s, cell, at, count), forget);
                    store_some(s, cell, at, count, s.add(kept, s.div(above, s.mul(input, below))));
                }
                // In a loop of its own, whose rows need not wait for what a long chain of operations leaves.
                for row in 0..rows {
                    let output = s.add(load_some(s, sums.add(sum_stride + row * width), at, count), bias[1]);
                    let (above, below) = math::tanh_parts(s, load_some(s, cell.add(row * size), at, count));
                    let shown = s.div(above, s.mul(math::gate_below(s, output), below));
                    store_some(s, next.add(row * size), at, count, shown);
                }
            }
        }
    }
}

/// The next states of GRU cells.
pub(super) struct Gru(Group);

impl Gru {
    /// # Safety
    /// The group's rows and columns are readable at all four sums and at `hidden`, its columns at the
    /// biases; both are writable at the sums and at `next`, and nobody else uses those meanwhile.
    #[inline(always)]
    pub(super) unsafe fn new(group: Group) -> Self {
        Self(group)
    }
}

impl Kernel for Gru {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Group { sums, sum_stride, width, bias, hidden, next, size, rows, columns, .. } = self.0;
        for at in (0..columns).step_by(S::LANES) {
            let count = (columns - at).min(S::LANES);
            // SAFETY: `new` requires these rows and columns; `at + count <= columns`.
            unsafe {
                let bias = |sum: usize| load_some(s, bias.add(sum * size), at, count);
                let bias = [bias(0), bias(1), bias(2), bias(3)];
                for row in 0..rows {
                    let sum = |index: usize| {
                        s.add(load_some(s, sums.add(index * sum_stride + row * width), at, count), bias[index])
                    };
                    let reset = math::gate_below(s, sum(1));
                    let own = sums.add(2 * sum_stride + row * width);
                    store_some(s, own, at, count, s.add(sum(2), s.div(sum(3), reset)));
                }
                // In a loop of its own, whose rows need not wait for what a long chain of operations leaves.
                for row in 0..rows {
                    let sum = |index: usize| load_some(s, sums.add(index * sum_stride + row * width), at, count);
                    let update = math::gate_below(s, s.add(sum(0), bias[0]));
                    let (above, below) = math::tanh_parts(s, sum(2));
                    let candidate = s.div(above, below);
                    let rest = s.sub(load_some(s, hidden.add(row * size), at, count), candidate);
                    store_some(s, next.add(row * size), at, count, s.add(candidate, s.div(rest, update)));
                }
            }
        }
    }
}
