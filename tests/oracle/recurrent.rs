//! Recurrent layers: ONNX's equations, one item and one number at a time.

use gristmill::{
    Tensor,
    testing::{
        op::Operator,
        ops::recurrent::{Cell, Recurrent, StepFunction as F, Way},
    },
};

use super::{Oracle, input, op, pointwise::floats};

/// The operators that this file speaks for.
pub const ORACLES: &[(&str, Oracle)] =
    &[("GRU", recurrent), ("LSTM", recurrent), ("RNN", recurrent), ("com.microsoft.DynamicQuantizeLSTM", dynamic)];

fn apply(function: F, x: f64) -> f64 {
    let wide = f64::from;
    match function {
        F::Affine { alpha, beta } => wide(alpha) * x + wide(beta),
        F::Elu { alpha } if x < 0.0 => wide(alpha) * (x.exp() - 1.0),
        F::HardSigmoid { alpha, beta } => (wide(alpha) * x + wide(beta)).clamp(0.0, 1.0),
        F::LeakyRelu { alpha } if x < 0.0 => wide(alpha) * x,
        F::Relu => x.max(0.0),
        F::ScaledTanh { alpha, beta } => wide(alpha) * (wide(beta) * x).tanh(),
        F::Sigmoid => 1.0 / (1.0 + (-x).exp()),
        F::Softplus => (1.0 + x.exp()).ln(),
        F::Softsign => x / (1.0 + x.abs()),
        F::Tanh => x.tanh(),
        F::ThresholdedRelu { alpha } if x < wide(alpha) => 0.0,
        F::Elu { .. } | F::LeakyRelu { .. } | F::ThresholdedRelu { .. } => x,
    }
}

/// `matrix[row] . vector` of a dense matrix.
fn dot(matrix: &[f64], row: usize, vector: &[f64]) -> f64 {
    matrix[row * vector.len()..][..vector.len()].iter().zip(vector).map(|(a, b)| a * b).sum()
}

fn recurrent(operator: &dyn Operator, inputs: &[Option<Tensor>]) -> Vec<Tensor> {
    let op = op::<Recurrent>(operator);
    let (x, w, r) = (input(inputs, 0), input(inputs, 1), input(inputs, 2));
    let axis = usize::from(!op.batch_first);
    let (steps, batch, width) = (x.shape()[1 - axis], x.shape()[axis], x.shape()[2]);
    let (ways, gates, size) = (op.way.count(), op.cell.gates(), r.shape()[2]);
    let optional = |index: usize| inputs.get(index).and_then(Option::as_ref);
    let or_zeros = |index: usize, len: usize| optional(index).map_or_else(|| vec![0.0; len], floats);
    let (xs, ws, rs) = (floats(x), floats(w), floats(r));
    let biases = or_zeros(3, ways * 2 * gates * size);
    let firsts = [or_zeros(5, ways * batch * size), or_zeros(6, ways * batch * size)];
    let peepholes = or_zeros(7, ways * 3 * size);
    let lengths = optional(4).map_or_else(|| vec![steps as i64; batch], |lengths| lengths.to_i64().unwrap());
    let state_at = |way: usize, item: usize| size * if op.batch_first { item * ways + way } else { way * batch + item };
    let mut all = vec![0f32; steps * ways * batch * size];
    let mut last = [vec![0f32; ways * batch * size], vec![0f32; ways * batch * size]];
    for way in 0..ways {
        let functions = &op.functions[way * op.cell.functions()..];
        let limited = |x: f64| op.clip.map_or(x, |clip| x.clamp(-f64::from(clip), f64::from(clip)));
        let f = |function: usize, x: f64| apply(functions[function], limited(x));
        let (w, r) = (&ws[way * gates * size * width..], &rs[way * gates * size * size..]);
        let (wb, rb) = biases[way * 2 * gates * size..].split_at(gates * size);
        for item in 0..batch {
            let own = |from: &[f64]| from[state_at(way, item)..][..size].to_vec();
            let (mut h, mut c) = (own(&firsts[0]), own(&firsts[1]));
            let length = lengths[item] as usize;
            for step in 0..length {
                let at = if op.way == Way::Reverse || way == 1 { length - 1 - step } else { step };
                let row = if op.batch_first { item * steps + at } else { at * batch + item };
                let x = &xs[row * width..][..width];
                let of_x = |gate: usize, j: usize| dot(w, gate * size + j, x) + wb[gate * size + j];
                let of_h = |gate: usize, j: usize, h: &[f64]| dot(r, gate * size + j, h) + rb[gate * size + j];
                let sum = |gate: usize, j: usize| of_x(gate, j) + of_h(gate, j, &h);
                let p = |gate: usize, j: usize| peepholes[way * 3 * size + gate * size + j];
                let mut next = (h.clone(), c.clone());
                let resets: Vec<f64> = (0..size).map(|j| if gates == 3 { f(0, sum(1, j)) } else { 0.0 }).collect();
                for j in 0..size {
                    match op.cell {
                        Cell::Lstm { coupled } => {
                            let i = f(0, sum(0, j) + p(0, j) * c[j]);
                            let forget = if coupled { 1.0 - i } else { f(0, sum(2, j) + p(2, j) * c[j]) };
                            next.1[j] = forget * c[j] + i * f(1, sum(3, j));
                            next.0[j] = f(0, sum(1, j) + p(1, j) * next.1[j]) * apply(functions[2], next.1[j]);
                        }
                        Cell::Gru { linear_before_reset } => {
                            let reset: Vec<f64> = h.iter().zip(&resets).map(|(h, r)| h * r).collect();
                            let candidate = match linear_before_reset {
                                true => f(1, of_x(2, j) + resets[j] * of_h(2, j, &h)),
                                false => f(1, of_x(2, j) + of_h(2, j, &reset)),
                            };
                            let z = f(0, sum(0, j));
                            next.0[j] = (1.0 - z) * candidate + z * h[j];
                        }
                        Cell::Rnn => next.0[j] = f(0, sum(0, j)),
                    }
                }
                (h, c) = next;
                let row =
                    if op.batch_first { (item * steps + at) * ways + way } else { (at * ways + way) * batch + item };
                h.iter().enumerate().for_each(|(j, &h)| all[row * size + j] = h as f32);
            }
            if length == 0 {
                // As ONNX Runtime has it; ONNX does not say.
                (h, c) = (vec![0.0; size], vec![0.0; size]);
            }
            for (to, from) in last.iter_mut().zip([&h, &c]) {
                from.iter().enumerate().for_each(|(j, &x)| to[state_at(way, item) + j] = x as f32);
            }
        }
    }
    let (shape, state) = match op.batch_first {
        true => (vec![batch, steps, ways, size], vec![batch, ways, size]),
        false => (vec![steps, ways, batch, size], vec![ways, batch, size]),
    };
    let mut results = vec![Tensor::new(shape, &all).unwrap()];
    let count = if matches!(op.cell, Cell::Lstm { .. }) { 2 } else { 1 };
    results.extend(last[..count].iter().map(|state_of| Tensor::new(state.clone(), state_of).unwrap()));
    results
}

/// Numbers as bytes by the range of them all and 0, and back.
fn through_bytes(all: &[f32]) -> Vec<f64> {
    let least = all.iter().copied().fold(0f32, f32::min);
    let most = all.iter().copied().fold(0f32, f32::max);
    let scale = if least == most { 1.0 } else { (most - least) / 255.0 };
    let zero = (-least / scale).clamp(0.0, 255.0).round_ties_even();
    let byte = |x: f32| ((x / scale).round_ties_even() + zero).clamp(0.0, 255.0);
    all.iter().map(|&x| f64::from(byte(x) - zero) * f64::from(scale)).collect()
}

/// An LSTM whose weights are bytes: all items take each step together.
fn dynamic(operator: &dyn Operator, inputs: &[Option<Tensor>]) -> Vec<Tensor> {
    let op = op::<Recurrent>(operator);
    let (x, r) = (input(inputs, 0), input(inputs, 2));
    let &[steps, batch, width] = x.shape() else { panic!("an input of three dimensions") };
    let (ways, size) = (r.shape()[0], r.shape()[1]);
    let gates = 4 * size;
    let optional = |index: usize| inputs.get(index).and_then(Option::as_ref);
    let or_zeros = |index: usize, len: usize| optional(index).map_or_else(|| vec![0.0; len], floats);
    let biases = or_zeros(3, ways * 2 * gates);
    let firsts = [or_zeros(5, ways * batch * size), or_zeros(6, ways * batch * size)];
    let peepholes = or_zeros(7, ways * 3 * size);
    let lengths = optional(4).map_or_else(|| vec![steps as i64; batch], |lengths| lengths.to_i64().unwrap());
    let most = lengths.iter().max().map_or(0, |&most| most as usize);
    let xs = through_bytes(&x.as_slice::<f32>().unwrap()[..most * batch * width]);
    let bytes = |index: usize| input(inputs, index).to_i64().unwrap();
    let mut all = vec![0f32; steps * ways * batch * size];
    let mut last = [vec![0f32; ways * batch * size], vec![0f32; ways * batch * size]];
    for way in 0..ways {
        // The product of a row and a column of weights.
        let product = |weights: usize, row: &[f64], column: usize| -> f64 {
            let (values, scales, zeros) =
                (bytes(weights), floats(input(inputs, weights * 2 + 6)), bytes(weights * 2 + 7));
            let group = if scales.len() == ways { way } else { way * gates + column };
            let of = |(k, x): (usize, &f64)| {
                x * (values[(way * row.len() + k) * gates + column] - zeros[group]) as f64 * scales[group]
            };
            row.iter().enumerate().map(of).sum()
        };
        let (wb, rb) = biases[way * 2 * gates..].split_at(gates);
        let own = |from: &[f64]| from[way * batch * size..][..batch * size].to_vec();
        let (mut h, mut c) = (own(&firsts[0]), own(&firsts[1]));
        for step in 0..steps {
            let narrow: Vec<f32> = h.iter().map(|&x| x as f32).collect();
            let states = through_bytes(&narrow);
            for item in 0..batch {
                let length = lengths[item] as usize;
                let state = item * size..(item + 1) * size;
                if step >= length {
                    h[state].fill(0.0);
                    continue;
                }
                let at = if op.way == Way::Reverse || way == 1 { length - 1 - step } else { step };
                let (row, own) = (&xs[(at * batch + item) * width..][..width], &states[state.clone()]);
                let sum = |gate: usize, j: usize| {
                    let column = gate * size + j;
                    product(1, row, column) + product(2, own, column) + wb[column] + rb[column]
                };
                let p = |gate: usize, j: usize| peepholes[way * 3 * size + gate * size + j];
                for j in 0..size {
                    let cell = c[item * size + j];
                    let (i, forget) = (sum(0, j) + p(0, j) * cell, sum(2, j) + p(2, j) * cell);
                    let next = apply(F::Sigmoid, forget) * cell + apply(F::Sigmoid, i) * apply(F::Tanh, sum(3, j));
                    let output = apply(F::Sigmoid, sum(1, j) + p(1, j) * next) * next.tanh();
                    (c[item * size + j], h[item * size + j]) = (next, output);
                    all[((at * ways + way) * batch + item) * size + j] = output as f32;
                    if step + 1 == length {
                        let place = (way * batch + item) * size + j;
                        (last[0][place], last[1][place]) = (output as f32, next as f32);
                    }
                }
            }
        }
    }
    let state = [ways, batch, size];
    let mut results = vec![Tensor::new([steps, ways, batch, size], &all).unwrap()];
    results.extend(last.iter().map(|state_of| Tensor::new(state, state_of).unwrap()));
    results
}
