//! Cases of recurrent layers.

use crate::{
    op::{Case, Fill},
    ops::recurrent::{Cell, Recurrent, StepFunction as F, Way},
    tensor::Tensor,
};

pub(super) fn lstm() -> Vec<Case> {
    let mut cases = all(Cell::Lstm { coupled: false });
    cases.extend(all(Cell::Lstm { coupled: true }));
    cases
}

pub(super) fn gru() -> Vec<Case> {
    let mut cases = all(Cell::Gru { linear_before_reset: false });
    cases.extend(all(Cell::Gru { linear_before_reset: true }));
    cases
}

pub(super) fn rnn() -> Vec<Case> {
    all(Cell::Rnn)
}

fn all(cell: Cell) -> Vec<Case> {
    let mut cases = Vec::new();
    for way in [Way::Forward, Way::Reverse, Way::Both] {
        for batch_first in [false, true] {
            let functions = Recurrent::new(cell).functions.repeat(way.count());
            let op = Recurrent { way, batch_first, functions, ..Recurrent::new(cell) };
            let name = |what: &str| format!("{what}, {cell:?}, {way:?}, batch first {batch_first}");
            cases.push(bare(&name("bare"), op.clone(), [5, 3, 4, 6], false));
            cases.push(usual(&name("usual"), op.clone(), [6, 14, 3, 20]));
            cases.push(full(&name("full"), op, [6, 4, 3, 7]));
        }
    }
    // Panels of whole groups of columns and of a part, many rows, and blocks of steps.
    for sizes in [[5, 3, 4, 20], [3, 30, 9, 40], [13, 11, 3, 128], [2, 100, 300, 33]] {
        cases.push(wide(&format!("{sizes:?} of {cell:?}"), Recurrent::new(cell), sizes));
    }
    let one = Recurrent::new(cell);
    cases.push(bare("run-time weights", one.clone(), [3, 2, 5, 17], true));
    cases.push(bare("no items", one.clone(), [3, 0, 5, 2], false));
    cases.push(bare("no steps", one.clone(), [0, 2, 5, 2], false));
    cases.push(full("clipped", Recurrent { clip: Some(0.3), ..one.clone() }, [4, 2, 3, 5]));
    let others = [
        [F::Softsign, F::ScaledTanh { alpha: 0.9, beta: 0.7 }, F::Affine { alpha: 0.5, beta: 0.1 }],
        [F::HardSigmoid { alpha: 0.2, beta: 0.5 }, F::Softplus, F::Elu { alpha: 0.8 }],
        [F::Sigmoid, F::LeakyRelu { alpha: 0.1 }, F::ThresholdedRelu { alpha: 0.2 }],
        [F::Elu { alpha: 1.0 }, F::Relu, F::Tanh],
    ];
    for functions in others {
        let op = Recurrent { functions: functions[..cell.functions()].to_vec(), ..one.clone() };
        cases.push(full(&format!("{functions:?} of {cell:?}"), op, [2, 2, 2, 3]));
    }
    cases
}

/// Weights of bytes, with scales for each way or each column.
pub(super) fn dynamic() -> Vec<Case> {
    let mut cases = Vec::new();
    for (way, columns, signed) in [(Way::Forward, false, true), (Way::Reverse, true, false), (Way::Both, true, true)] {
        for full in [false, true] {
            cases.push(of_bytes(way, columns, signed, full, [4, 3, 5, 6]));
        }
    }
    cases.push(of_bytes(Way::Forward, false, true, false, [2, 0, 3, 4]));
    cases
}

fn of_bytes(way: Way, columns: bool, signed: bool, full: bool, sizes: [usize; 4]) -> Case {
    let cell = Cell::Lstm { coupled: false };
    let functions = Recurrent::new(cell).functions.repeat(way.count());
    let op = Recurrent { way, functions, bytes: true, ..Recurrent::new(cell) };
    let [steps, batch, width, size] = sizes;
    let (ways, gates) = (way.count(), 4 * size);
    let weights = |rows: usize, seed: usize| {
        let all = (0..ways * rows * gates).map(|at| ((at * 97 + seed * 31) % 251) as u8);
        let shape = [ways, rows, gates];
        match signed {
            true => Tensor::new(shape, &all.map(|byte| byte as i8).collect::<Vec<_>>()),
            false => Tensor::new(shape, &all.collect::<Vec<_>>()),
        }
        .expect("one byte an index")
    };
    let groups = if columns { vec![ways, gates] } else { vec![ways] };
    let count = groups.iter().product::<usize>();
    let scale = |seed: usize| {
        let all: Vec<f32> = (0..count).map(|at| 0.002 + ((at * 7 + seed) % 5) as f32 / 900.0).collect();
        Tensor::new(groups.clone(), &all).expect("one scale a group")
    };
    let zero = |signed: bool| match signed {
        true => Tensor::new(groups.clone(), &vec![0i8; count]),
        false => Tensor::new(groups.clone(), &vec![121u8; count]),
    };
    let name = format!("{way:?}, columns {columns}, signed {signed}, full {full}, {batch} items");
    let case = Case::new(&name, op).value(&[steps, batch, width], Fill::Spread);
    let case = case.constant_tensor(weights(width, 1)).constant_tensor(weights(size, 2));
    let state = [ways, batch, size];
    let case = match full {
        true => {
            let lengths: Vec<i32> = (0..batch).map(|item| (steps - item.min(steps - 1)) as i32).collect();
            let lengths = Tensor::new([batch], &lengths).expect("one length an item");
            let case = case.constant(&[ways, 2 * gates], Fill::Spread).tensor(lengths);
            let case = case.value(&state, Fill::Spread).value(&state, Fill::Spread);
            case.constant(&[ways, 3 * size], Fill::Spread)
        }
        false => case.absent().absent().absent().absent().absent(),
    };
    let zero = zero(signed).expect("one zero point a group");
    let case = case.constant_tensor(scale(1)).constant_tensor(zero.clone());
    case.constant_tensor(scale(2)).constant_tensor(zero)
}

/// Operands without biases and states; sizes are steps, batch, input and state.
fn bare(name: &str, op: Recurrent, [steps, batch, width, size]: [usize; 4], late: bool) -> Case {
    let (ways, rows) = (op.way.count(), op.cell.gates() * size);
    let x = if op.batch_first { [batch, steps, width] } else { [steps, batch, width] };
    let case = Case::new(name, op).value(&x, Fill::Spread);
    if late {
        case.value(&[ways, rows, width], Fill::Spread).value(&[ways, rows, size], Fill::Spread)
    } else {
        case.constant(&[ways, rows, width], Fill::Spread).constant(&[ways, rows, size], Fill::Spread)
    }
}

/// Weights so small that many steps of many numbers keep rounding errors small.
fn wide(name: &str, op: Recurrent, [steps, batch, width, size]: [usize; 4]) -> Case {
    let rows = op.cell.gates() * size;
    let weights = |columns: usize| {
        let small = |at: usize| ((at * 7919) % 2003) as f32 / 10_010.0 - 0.1;
        Tensor::new([1, rows, columns], &(0..rows * columns).map(small).collect::<Vec<_>>()).expect("a number a place")
    };
    let case = Case::new(name, op).value(&[steps, batch, width], Fill::Spread);
    case.constant_tensor(weights(width)).constant_tensor(weights(size))
}

/// All operands but the peepholes, with lengths from 0 on.
fn usual(name: &str, op: Recurrent, sizes: [usize; 4]) -> Case {
    let [steps, batch, _, size] = sizes;
    let (ways, rows, lstm) = (op.way.count(), op.cell.gates() * size, matches!(op.cell, Cell::Lstm { .. }));
    let state = if op.batch_first { [batch, ways, size] } else { [ways, batch, size] };
    let lengths: Vec<i32> = (0..batch).map(|item| (item * steps / (batch - 1)) as i32).collect();
    let lengths = Tensor::new([batch], &lengths).expect("one length an item");
    let case = bare(name, op, sizes, false);
    let case = case.constant(&[ways, 2 * rows], Fill::Spread).tensor(lengths).value(&state, Fill::Spread);
    if lstm { case.value(&state, Fill::Spread) } else { case }
}

/// All operands, with lengths from 0 on.
fn full(name: &str, op: Recurrent, sizes: [usize; 4]) -> Case {
    let (ways, size, lstm) = (op.way.count(), sizes[3], matches!(op.cell, Cell::Lstm { .. }));
    let case = usual(name, op, sizes);
    if lstm { case.constant(&[ways, 3 * size], Fill::Spread) } else { case }
}
