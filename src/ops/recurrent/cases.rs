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
            cases.push(full(&name("full"), op, [6, 4, 3, 7]));
        }
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

/// All operands, with lengths from 0 on.
fn full(name: &str, op: Recurrent, sizes: [usize; 4]) -> Case {
    let [steps, batch, _, size] = sizes;
    let (ways, rows, lstm) = (op.way.count(), op.cell.gates() * size, matches!(op.cell, Cell::Lstm { .. }));
    let state = if op.batch_first { [batch, ways, size] } else { [ways, batch, size] };
    let lengths: Vec<i32> = (0..batch).map(|item| (item * steps / (batch - 1)) as i32).collect();
    let lengths = Tensor::new([batch], &lengths).expect("one length an item");
    let case = bare(name, op, sizes, false);
    let case = case.constant(&[ways, 2 * rows], Fill::Spread).tensor(lengths).value(&state, Fill::Spread);
    if lstm { case.value(&state, Fill::Spread).constant(&[ways, 3 * size], Fill::Spread) } else { case }
}
