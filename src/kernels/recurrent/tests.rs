//! Steps against their definitions in double precision, and against themselves in other company.

use super::*;
use crate::{
    kernels::{KernelSet, gemm::PackedRef},
    threads::split::with_workers,
};

/// Numbers from -6 to 6, with extremes among them.
fn numbers(count: usize, seed: usize) -> Vec<f32> {
    let extremes = [-1e30, 1e30, -90.0, 90.0, 0.0, 1e-20];
    let number = |at: usize| match (at * 7 + seed) % 29 {
        0 => extremes[(at / 29 + seed) % extremes.len()],
        _ => spread(at, seed) * 6.0,
    };
    (0..count).map(number).collect()
}

/// Numbers from -1 to 1.
fn small(count: usize, seed: usize) -> Vec<f32> {
    (0..count).map(|at| spread(at, seed)).collect()
}

fn spread(at: usize, seed: usize) -> f32 {
    ((at * 7919 + seed * 104_729) % 2003) as f32 / 1001.0 - 1.0
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// A layer's operands: rows, numbers of an input's row, and of a state.
struct Operands {
    cell: Cell,
    sizes: [usize; 3],
    x: Vec<f32>,
    weights: [Vec<f32>; 2],
    bias: Vec<f32>,
    hidden: Vec<f32>,
    cells: Vec<f32>,
}

impl Operands {
    fn new(cell: Cell, sizes: [usize; 3], x: impl Fn(usize, usize) -> Vec<f32>) -> Self {
        let [rows, k, size] = sizes;
        let gates = cell.gates() * size;
        let weights = [small(gates * k, 2), small(gates * size, 3)];
        let cells = if cell == Cell::Lstm { small(rows * size, 6) } else { Vec::new() };
        Self { cell, sizes, x: x(rows * k, 1), weights, bias: small(4 * size, 4), hidden: small(rows * size, 5), cells }
    }

    /// The states that a step of rows `from..to` leaves, and those of the cell.
    fn step(&self, set: KernelSet, from: usize, to: usize, ahead: bool) -> [Vec<f32>; 2] {
        let [_, k, size] = self.sizes;
        let gates = self.cell.gates();
        let [inputs, states] = [(0, k), (1, size)].map(|(at, k)| pack(set, &self.weights[at], gates, size, k).unwrap());
        let layer = Layer::new(set, self.cell, size, [(&inputs).into(), (&states).into()], &self.bias).unwrap();
        let (rows, x) = (to - from, &self.x[from * k..to * k]);
        let hidden = &self.hidden[from * size..to * size];
        let mut cell = self.cells.get(from * size..to * size).unwrap_or_default().to_vec();
        let (mut next, mut sums) = (vec![0.0; rows * size], vec![f32::NAN; sums_len(set, size, 3 * rows).unwrap()]);
        let input = match ahead {
            true => {
                // The step is the second of three.
                let all = [x, x, x].concat();
                layer.ahead(&all, 3 * rows, &mut sums).unwrap();
                Err(Ahead { step: 1, steps: 3 })
            }
            false => Ok(x),
        };
        layer.step(rows, input, &mut States { hidden, next: &mut next, cell: &mut cell }, &mut sums).unwrap();
        [next, cell]
    }

    /// A state's number by the definition, and that of the cell.
    fn defined(&self, row: usize, column: usize) -> [f64; 2] {
        let [_, k, size] = self.sizes;
        let dot = |a: &[f32], b: &[f32]| -> f64 { a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum() };
        let of = |which: usize, gate: usize, from: &[f32], k: usize| {
            dot(&from[row * k..][..k], &self.weights[which][(gate * size + column) * k..][..k])
        };
        let bias = |sum: usize| f64::from(self.bias[sum * size + column]);
        let (x, h) = (|gate: usize| of(0, gate, &self.x, k), |gate: usize| of(1, gate, &self.hidden, size));
        let both = |gate: usize| x(gate) + h(gate) + bias(gate);
        match self.cell {
            Cell::Lstm => {
                let cell = f64::from(self.cells[row * size + column]);
                let next = sigmoid(both(2)) * cell + sigmoid(both(0)) * both(3).tanh();
                [sigmoid(both(1)) * next.tanh(), next]
            }
            Cell::Gru => {
                let candidate = (x(2) + bias(2) + sigmoid(both(1)) * (h(2) + bias(3))).tanh();
                let update = sigmoid(both(0));
                [(1.0 - update) * candidate + update * f64::from(self.hidden[row * size + column]), 0.0]
            }
        }
    }
}

#[test]
#[cfg_attr(miri, ignore = "long loops")]
fn steps_are_those_of_the_definitions() {
    for set in KernelSet::available() {
        for cell in [Cell::Lstm, Cell::Gru] {
            for sizes in [[1, 1, 1], [3, 5, 16], [7, 2, 17], [15, 40, 40], [2, 300, 33]] {
                // Sums of extremes reach both ends of every gate.
                for fill in [numbers, small] {
                    let operands = Operands::new(cell, sizes, fill);
                    let [rows, k, size] = sizes;
                    let [next, cells] = operands.step(set, 0, rows, false);
                    let near = |got: f32, want: f64| {
                        let bound = 2e-6 * want.abs().max(1.0) + 4e-6 * (k as f64).sqrt();
                        assert!(
                            (f64::from(got) - want).abs() <= bound,
                            "{set} {cell:?} {sizes:?}: {got} instead of {want}"
                        );
                    };
                    for row in 0..rows {
                        for column in 0..size {
                            let [hidden, cell] = operands.defined(row, column);
                            near(next[row * size + column], hidden);
                            cells.get(row * size + column).into_iter().for_each(|&got| near(got, cell));
                        }
                    }
                }
            }
        }
    }
}

#[test]
#[cfg_attr(miri, ignore = "long loops")]
fn a_row_has_the_same_bits_alone_ahead_and_on_many_workers() {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
    for set in KernelSet::available() {
        // The second is split by its groups of columns, the third by rows.
        for (cell, sizes) in [
            (Cell::Lstm, [14, 9, 40]),
            (Cell::Lstm, [5, 700, 200]),
            (Cell::Gru, [100, 90, 70]),
            (Cell::Gru, [4, 500, 300]),
        ] {
            let operands = Operands::new(cell, sizes, small);
            let [rows, _, size] = sizes;
            let whole = operands.step(set, 0, rows, false);
            assert!(whole[0].iter().any(|&x| x != 0.0));
            assert_eq!(whole, operands.step(set, 0, rows, true), "{set} {cell:?} ahead");
            for ahead in [false, true] {
                let many = pool.install(|| with_workers(3, || operands.step(set, 0, rows, ahead)));
                assert_eq!(whole, many, "{set} {cell:?} ahead {ahead} on three workers");
            }
            for row in 0..rows {
                let own = |all: &Vec<f32>| all.get(row * size..(row + 1) * size).unwrap_or_default().to_vec();
                let alone = operands.step(set, row, row + 1, row % 2 == 0);
                assert_eq!(alone, whole.each_ref().map(own), "{set} {cell:?} row {row}");
            }
        }
    }
}

#[test]
fn operands_that_do_not_fit_are_refused() {
    let set = KernelSet::PORTABLE;
    assert!(pack(set, &[0.0; 7], 4, 2, 1).is_err());
    let (inputs, states) = (pack(set, &[0.5; 24], 4, 2, 3).unwrap(), pack(set, &[0.5; 16], 4, 2, 2).unwrap());
    let new = |cell, size, inputs, states, bias: &'static [f32]| {
        Layer::new(set, cell, size, [PackedRef::from(inputs), PackedRef::from(states)], bias)
    };
    assert!(new(Cell::Gru, 2, &inputs, &states, &[0.0; 8]).is_err());
    assert!(new(Cell::Lstm, 3, &inputs, &states, &[0.0; 12]).is_err());
    assert!(new(Cell::Lstm, 2, &states, &inputs, &[0.0; 8]).is_err());
    assert!(new(Cell::Lstm, 2, &inputs, &states, &[0.0; 7]).is_err());
    let layer = new(Cell::Lstm, 2, &inputs, &states, &[0.0; 8]).unwrap();
    let len = sums_len(set, 2, 1).unwrap();
    let step = |x: std::result::Result<&[f32], Ahead>, state: usize, sums: usize| {
        let (hidden, mut next, mut cell) = (vec![0.0; state], vec![0.0; 2], vec![0.0; 2]);
        let mut states = States { hidden: &hidden, next: &mut next, cell: &mut cell };
        layer.step(1, x, &mut states, &mut vec![0.0; sums])
    };
    assert!(step(Ok(&[0.0; 3]), 2, len).is_ok());
    assert!(step(Ok(&[0.0; 4]), 2, len).is_err());
    assert!(step(Ok(&[0.0; 3]), 1, len).is_err());
    assert!(step(Ok(&[0.0; 3]), 2, len - 1).is_err());
    assert!(step(Err(Ahead { step: 0, steps: 2 }), 2, len).is_err());
    assert!(step(Err(Ahead { step: 1, steps: 1 }), 2, len).is_err());
    assert!(layer.ahead(&[0.0; 6], 2, &mut vec![0.0; len]).is_err());
    assert!(layer.ahead(&[0.0; 5], 2, &mut vec![0.0; 2 * len]).is_err());
}
