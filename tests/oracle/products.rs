//! Operators whose arithmetic is in products: sums in f64, one element at a time.

use gristmill::{
    DType, Tensor,
    testing::{
        kernels::Activation,
        op::Operator,
        ops::product::{
            attention::{
                Attention, DisentangledAttention, HeadsLastAttention, PackedAttention, RotaryHeads,
                standard::{Scores, StandardAttention},
            },
            experts::Experts,
            gemm::Gemm,
            linear::{Linear, LinearInPlace},
            linear_attention::LinearAttention,
            rotary::RotaryEmbedding,
        },
    },
};

use super::{Oracle, flat, indices, input, op};

/// The operators that this file speaks for.
pub const ORACLES: &[(&str, Oracle)] = &[
    ("Attention", attention),
    ("DisentangledAttention", disentangled_attention),
    ("Experts", experts),
    ("Gemm", gemm),
    ("HeadsLastAttention", heads_last_attention),
    ("LinearAttention", linear_attention),
    ("Linear", linear),
    ("LinearInPlace", linear_in_place),
    ("MatMul", matmul),
    ("PackedAttention", packed_attention),
    ("RotaryHeads", rotary_heads),
    ("RotaryEmbedding", rotary),
    ("StandardAttention", standard_attention),
];

pub fn numbers(tensor: &Tensor) -> &[f32] {
    tensor.as_slice().expect("f32")
}

pub fn optional(inputs: &[Option<Tensor>], index: usize) -> Option<&Tensor> {
    inputs.get(index).and_then(Option::as_ref)
}

/// A tensor of a number for each index.
pub fn made(shape: &[usize], at: impl FnMut(Vec<usize>) -> f64) -> Tensor {
    let values: Vec<f32> = indices(shape).map(at).map(|value| value as f32).collect();
    Tensor::new(shape, &values).expect("one number an index")
}

/// The element of a tensor that stands at `index` of what it is broadcast to.
pub fn broadcast(tensor: &Tensor, index: &[usize]) -> f64 {
    let skipped = index.len() - tensor.shape().len();
    let own: Vec<usize> = index[skipped..].iter().zip(tensor.shape()).map(|(&i, &dim)| i.min(dim - 1)).collect();
    element(tensor, flat(tensor.shape(), &own))
}

/// A number of a tensor of f32 or f64.
pub fn element(tensor: &Tensor, at: usize) -> f64 {
    match tensor.as_slice::<f64>() {
        Ok(doubles) => doubles[at],
        Err(_) => f64::from(numbers(tensor)[at]),
    }
}

/// As [`made`], of the type of `like`.
pub fn made_like(like: &Tensor, shape: &[usize], at: impl FnMut(Vec<usize>) -> f64) -> Tensor {
    match like.dtype() {
        DType::F64 => Tensor::new(shape, &indices(shape).map(at).collect::<Vec<f64>>()).expect("one number an index"),
        _ => made(shape, at),
    }
}

/// The error function by its power series; past 5 it is 1 in f32.
fn erf(x: f64) -> f64 {
    if x.is_nan() || x.abs() > 5.0 {
        return if x.is_nan() { x } else { x.signum() };
    }
    let (mut term, mut sum) = (x, 0.0);
    for n in 1..200 {
        sum += term / f64::from(2 * n - 1);
        term *= -x * x / f64::from(n);
    }
    sum * 2.0 / std::f64::consts::PI.sqrt()
}

pub fn activate(activation: Activation, x: f64) -> f64 {
    match activation {
        Activation::None => x,
        Activation::Relu if x < 0.0 => 0.0,
        Activation::Relu => x,
        Activation::Tanh => x.tanh(),
        Activation::Silu if x == f64::NEG_INFINITY => 0.0,
        Activation::Silu => x / (1.0 + (-x).exp()),
        Activation::Gelu => x * (1.0 + erf(x / 2f64.sqrt())) / 2.0,
        Activation::GeluTanh => {
            x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x)).tanh()) / 2.0
        }
        other => panic!("the cases here do not use {other:?}"),
    }
}

/// Each pair of numbers as a complex number, turned.
fn rotary(operator: &dyn Operator, inputs: &[Option<Tensor>]) -> Vec<Tensor> {
    let op = op::<RotaryEmbedding>(operator);
    let (x, cosines, sines) = (input(inputs, 0), input(inputs, 1), input(inputs, 2));
    let late = x.shape().len() == 3;
    let size = if late { x.shape()[2] / op.heads } else { x.shape()[3] };
    let pairs = *cosines.shape().last().unwrap();
    let places = optional(inputs, 3).map(|places| places.to_i64().unwrap());
    vec![made(x.shape(), |index| {
        let (item, at) = if late { (index[0], index[1]) } else { (index[0], index[2]) };
        let own = index[index.len() - 1] % size;
        let place = places.as_ref().map_or(item * cosines.shape()[cosines.shape().len() - 2] + at, |places| {
            places[item * x.shape()[if late { 1 } else { 2 }] + at] as usize
        });
        let value = |own: usize| {
            let mut index = index.clone();
            *index.last_mut().unwrap() += own;
            *index.last_mut().unwrap() -= self_of(&index, size, own);
            f64::from(numbers(x)[flat(x.shape(), &index)])
        };
        if own >= 2 * pairs {
            return f64::from(numbers(x)[flat(x.shape(), &index)]);
        }
        let (pair, second) = if op.interleaved { (own / 2, own % 2 == 1) } else { (own % pairs, own >= pairs) };
        let (a, b) = if op.interleaved { (2 * pair, 2 * pair + 1) } else { (pair, pair + pairs) };
        let angle = |of: &Tensor| f64::from(numbers(of)[place * pairs + pair]);
        match second {
            false => value(a) * angle(cosines) - value(b) * angle(sines),
            true => value(a) * angle(sines) + value(b) * angle(cosines),
        }
    })]
}

/// How far the last index, to which `own` was added, is past `own` within its head.
fn self_of(index: &[usize], size: usize, own: usize) -> usize {
    (index[index.len() - 1] - own) % size
}

/// The operand as `[batch, heads, length, size]`.
fn four(tensor: &Tensor, heads: Option<usize>) -> Tensor {
    let (&[batch, length, width], Some(heads)) = (tensor.shape(), heads) else { return tensor.clone() };
    made(&[batch, heads, length, width / heads], |index| {
        let column = index[1] * (width / heads) + index[3];
        f64::from(numbers(tensor)[flat(tensor.shape(), &[index[0], index[2], column])])
    })
}

fn standard_attention(operator: &dyn Operator, inputs: &[Option<Tensor>]) -> Vec<Tensor> {
    let op = op::<StandardAttention>(operator);
    let (of_q, of_kv) = op.heads.unzip();
    let q = four(input(inputs, 0), of_q);
    let past = optional(inputs, 4).map_or(0, |past| past.shape()[2]);
    let whole = |index: usize| {
        let new = four(input(inputs, index), of_kv);
        let mut shape = new.shape().to_vec();
        shape[2] += past;
        made(&shape, |mut index_of| match (index_of[2].checked_sub(past), optional(inputs, index + 3)) {
            (None, Some(old)) => f64::from(numbers(old)[flat(old.shape(), &index_of)]),
            (at, _) => {
                index_of[2] = at.unwrap();
                f64::from(numbers(&new)[flat(new.shape(), &index_of)])
            }
        })
    };
    let (k, v) = (whole(1), whole(2));
    let (&[batch, heads, queries, size], &[_, groups, keys, _]) = (q.shape(), k.shape()) else { panic!("four") };
    let lengths = optional(inputs, 6).map(|lengths| lengths.to_i64().unwrap());
    let group = |head: usize| head / (heads / groups);
    let product = |index: &[usize]| -> f64 {
        let scale = op.scale.map_or(1.0 / (size as f64).sqrt(), f64::from);
        let of = |at: usize| {
            let left = numbers(&q)[flat(q.shape(), &[index[0], index[1], index[2], at])];
            f64::from(left) * f64::from(numbers(&k)[flat(k.shape(), &[index[0], group(index[1]), index[3], at])])
        };
        scale * (0..size).map(of).sum::<f64>()
    };
    let cap = f64::from(op.softcap);
    let capped = |index: &[usize]| if cap > 0.0 { (product(index) / cap).tanh() * cap } else { product(index) };
    let bias = |index: &[usize]| {
        let offset = lengths.as_ref().map_or(past as i64, |lengths| lengths[index[0]] - queries as i64);
        let (query, key) = (index[2] as i64 + offset, index[3] as i64);
        let [left, right] = op.window.map(|side| side.map_or(i64::MAX / 2, |side| side as i64));
        let counts = !(op.causal && key > query) && key >= query - left && key <= query + right;
        let counts = counts && lengths.as_ref().is_none_or(|lengths| key < lengths[index[0]]);
        let given = optional(inputs, 3).map_or(0.0, |mask| {
            let skipped = 4 - mask.shape().len();
            let own: Vec<usize> = index[skipped..].to_vec();
            if own[own.len() - 1] >= *mask.shape().last().unwrap() {
                return f64::NEG_INFINITY;
            }
            let at = super::pointwise::position(mask.shape(), &own);
            match mask.dtype() {
                DType::Bool if mask.bytes()[at] == 0 => f64::NEG_INFINITY,
                DType::Bool => 0.0,
                _ => f64::from(numbers(mask)[at]),
            }
        });
        if counts { given } else { f64::NEG_INFINITY }
    };
    let weight = |index: &[usize]| {
        let at = |key: usize| [index[0], index[1], index[2], key];
        let sum: f64 = (0..keys).map(|key| (capped(&at(key)) + bias(&at(key))).exp()).sum();
        if sum == 0.0 { 0.0 } else { (capped(index) + bias(index)).exp() / sum }
    };
    let shape = [batch, heads, queries, v.shape()[3]];
    let y = made(&shape, |index| {
        let of = |key: usize| {
            let own = flat(v.shape(), &[index[0], group(index[1]), key, index[3]]);
            weight(&[index[0], index[1], index[2], key]) * f64::from(numbers(&v)[own])
        };
        (0..keys).map(of).sum()
    });
    let y = match op.heads {
        None => y,
        Some(_) => made(&[batch, queries, heads * shape[3]], |index| {
            let (head, column) = (index[2] / shape[3], index[2] % shape[3]);
            f64::from(numbers(&y)[flat(&shape, &[index[0], head, index[1], column])])
        }),
    };
    let scores = made(&[batch, heads, queries, keys], |index| match op.scores {
        Scores::Products => product(&index),
        Scores::Capped => capped(&index),
        Scores::Masked => capped(&index) + bias(&index),
        Scores::Softmax => weight(&index),
    });
    [y, k, v, scores].into_iter().take(op.results).collect()
}

fn matmul(_: &dyn Operator, inputs: &[Option<Tensor>]) -> Vec<Tensor> {
    let (a, b) = (input(inputs, 0), input(inputs, 1));
    let (row, column) = (a.shape().len() > 1, b.shape().len() > 1);
    let a = if row { a.clone() } else { a.clone().reshape([1, a.len()]).unwrap() };
    let b = if column { b.clone() } else { b.clone().reshape([b.len(), 1]).unwrap() };
    let rank = a.shape().len().max(b.shape().len());
    let dim = |tensor: &Tensor, axis: usize| {
        (axis + tensor.shape().len()).checked_sub(rank).map_or(1, |axis| tensor.shape()[axis])
    };
    let (k, m, n) = (dim(&a, rank - 1), dim(&a, rank - 2), dim(&b, rank - 1));
    // 1 gives way to the other size, be it 0.
    let broadcast_dim = |axis| if dim(&a, axis) == 1 { dim(&b, axis) } else { dim(&a, axis) };
    let mut shape: Vec<usize> = (0..rank - 2).map(broadcast_dim).collect();
    shape.extend([m, n]);
    let product = made(&shape, |index| {
        let (mut left, mut right) = (index.clone(), index.clone());
        (0..k)
            .map(|at| {
                left[rank - 1] = at;
                right[rank - 2] = at;
                broadcast(&a, &left) * broadcast(&b, &right)
            })
            .sum()
    });
    shape.truncate(rank - 2);
    shape.extend(row.then_some(m));
    shape.extend(column.then_some(n));
    vec![product.reshape(shape).unwrap()]
}

fn experts(operator: &dyn Operator, inputs: &[Option<Tensor>]) -> Vec<Tensor> {
    let own = op::<Experts>(operator);
    let [x, up, down, weights] = [0, 1, 2, 3].map(|index| input(inputs, index));
    let &[count, k, m] = up.shape() else { panic!() };
    let (rows, n) = (x.shape()[0], down.shape()[2]);
    vec![made(&[rows, n], |index| {
        let shares = &numbers(weights)[index[0] * count..][..count];
        let mut order: Vec<usize> = (0..count).collect();
        // Stable: of equal ones the first.
        order.sort_by(|a, b| shares[*b].total_cmp(&shares[*a]));
        let of = |expert: usize| {
            let inner = (0..m).map(|inner| {
                let terms = (0..k).map(|at| {
                    f64::from(numbers(x)[index[0] * k + at]) * f64::from(numbers(up)[(expert * k + at) * m + inner])
                });
                activate(own.activation, terms.sum()) * f64::from(numbers(down)[(expert * m + inner) * n + index[1]])
            });
            f64::from(shares[expert]) * inner.sum::<f64>()
        };
        let bias = optional(inputs, 4).map_or(0.0, |bias| f64::from(numbers(bias)[index[1]]));
        bias + order[..own.chosen].iter().map(|&expert| of(expert)).sum::<f64>()
    })]
}

fn linear(operator: &dyn Operator, inputs: &[Option<Tensor>]) -> Vec<Tensor> {
    let Linear { activation, layer_norm, .. } = op::<Linear>(operator);
    let (x, w) = (input(inputs, 0), input(inputs, 1));
    let (k, n) = (w.shape()[0], w.shape()[1]);
    let rows = x.shape()[..x.shape().len() - 1].iter().product::<usize>();
    let product = |row: usize, column: usize| {
        (0..k).map(|at| f64::from(numbers(x)[row * k + at]) * f64::from(numbers(w)[at * n + column])).sum::<f64>()
    };
    let mut shape = x.shape().to_vec();
    *shape.last_mut().unwrap() = n;
    dressed(&shape, rows, product, *activation, *layer_norm, |index| optional(inputs, 2 + index))
}

/// Products with an epilogue, whose operands are the bias, the residual, and the scale and bias of the layer norm.
pub fn dressed<'t>(
    shape: &[usize],
    rows: usize,
    product: impl Fn(usize, usize) -> f64,
    activation: Activation,
    layer_norm: Option<f32>,
    operand: impl Fn(usize) -> Option<&'t Tensor>,
) -> Vec<Tensor> {
    let n = *shape.last().expect("a product has columns");
    let at = |index: usize, position: usize| operand(index).map(|tensor| f64::from(numbers(tensor)[position]));
    let mut result = Vec::new();
    for row in 0..rows {
        let element = |column: usize| {
            let sum = product(row, column) + at(0, column).unwrap_or(0.0);
            activate(activation, sum) + at(1, row * n + column).unwrap_or(0.0)
        };
        let mut line: Vec<f64> = (0..n).map(element).collect();
        if let Some(epsilon) = layer_norm {
            let mean = line.iter().sum::<f64>() / n as f64;
            let variance = line.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n as f64;
            for (column, x) in line.iter_mut().enumerate() {
                let normal = (*x - mean) / (variance + f64::from(epsilon)).sqrt();
                *x = normal * at(2, column).unwrap() + at(3, column).unwrap_or(0.0);
            }
        }
        result.extend(line.into_iter().map(|x| x as f32));
    }
    vec![Tensor::new(shape, &result).unwrap()]
}

fn linear_in_place(operator: &dyn Operator, inputs: &[Option<Tensor>]) -> Vec<Tensor> {
    let LinearInPlace(op) = op::<LinearInPlace>(operator);
    let w = input(inputs, 1);
    let (n, k) = (w.shape()[0], w.shape()[1]);
    let mut inputs = inputs.to_vec();
    inputs[1] = Some(made(&[k, n], |index| f64::from(numbers(w)[index[1] * k + index[0]])));
    linear(op, &inputs)
}

fn gemm(operator: &dyn Operator, inputs: &[Option<Tensor>]) -> Vec<Tensor> {
    let Gemm { alpha, beta, trans_a, trans_b } = *op::<Gemm>(operator);
    let (a, b) = (input(inputs, 0), input(inputs, 1));
    let order = |transposed: bool, pair: [usize; 2]| if transposed { [pair[1], pair[0]] } else { pair };
    let [m, k] = order(trans_a, [a.shape()[0], a.shape()[1]]);
    let [_, n] = order(trans_b, [b.shape()[0], b.shape()[1]]);
    vec![made(&[m, n], |index| {
        let term = |at: usize| {
            let left = broadcast(a, &order(trans_a, [index[0], at]));
            left * broadcast(b, &order(trans_b, [at, index[1]]))
        };
        let product: f64 = (0..k).map(term).sum();
        f64::from(alpha) * product + optional(inputs, 2).map_or(0.0, |c| f64::from(beta) * broadcast(c, &index))
    })]
}

/// The larger, NaN if either is; the first of equals.
pub fn largest(a: f64, b: f64) -> f64 {
    if b > a || (b.is_nan() && !a.is_nan()) { b } else { a }
}

/// `softmax(scores) values` of one query; one score and one row of `columns` values a key.
fn attend(scores: &[f64], value: impl Fn(usize) -> f64) -> f64 {
    let largest = scores.iter().copied().fold(f64::NEG_INFINITY, largest);
    let weights: Vec<f64> = scores.iter().map(|score| (score - largest).exp()).collect();
    let sum: f64 = weights.iter().sum();
    weights.iter().enumerate().map(|(key, weight)| weight / sum * value(key)).sum()
}

fn heads_last_attention(operator: &dyn Operator, inputs: &[Option<Tensor>]) -> Vec<Tensor> {
    let HeadsLastAttention(op) = op::<HeadsLastAttention>(operator);
    let swapped = |tensor: &Tensor| {
        let shape = tensor.shape();
        made(&[shape[0], shape[2], shape[1], shape[3]], |at| broadcast(tensor, &[at[0], at[2], at[1], at[3]]))
    };
    let operands = inputs.iter().enumerate();
    let operands = operands.map(|(at, own)| if at < 3 { own.as_ref().map(swapped) } else { own.clone() });
    vec![swapped(&attention(op, &operands.collect::<Vec<_>>())[0])]
}

fn attention(operator: &dyn Operator, inputs: &[Option<Tensor>]) -> Vec<Tensor> {
    let (q, k, v) = (input(inputs, 0), input(inputs, 1), input(inputs, 2));
    let scale = f64::from(op::<Attention>(operator).scale);
    let shape = [q.shape()[0], q.shape()[1], q.shape()[2], v.shape()[3]];
    vec![made(&shape, |index| {
        let [batch, head, row, column] = index[..] else { unreachable!() };
        let scores: Vec<f64> = (0..k.shape()[2])
            .map(|key| {
                let terms = (0..q.shape()[3])
                    .map(|at| broadcast(q, &[batch, head, row, at]) * broadcast(k, &[batch, head, key, at]));
                let mask = optional(inputs, 3).map_or(0.0, |mask| broadcast(mask, &[batch, head, row, key]));
                terms.sum::<f64>() * scale + mask
            })
            .collect();
        attend(&scores, |key| broadcast(v, &[batch, head, key, column]))
    })]
}

/// The sequence's rows that row `row` is in.
fn sequence(offsets: &Tensor, row: usize) -> std::ops::Range<usize> {
    let offsets: Vec<usize> = offsets.to_i64().unwrap().into_iter().map(|offset| offset as usize).collect();
    offsets.windows(2).map(|pair| pair[0]..pair[1]).find(|rows| rows.contains(&row)).expect("every row is in one")
}

fn packed_attention(operator: &dyn Operator, inputs: &[Option<Tensor>]) -> Vec<Tensor> {
    let PackedAttention { heads, key_heads, reach, scale, .. } = *op::<PackedAttention>(operator);
    let (qkv, offsets) = (input(inputs, 0), input(inputs, 1));
    let (bias, visible) = (optional(inputs, 2), optional(inputs, 3));
    let width = qkv.shape()[1] / (heads + 2 * key_heads);
    vec![made(&[qkv.shape()[0], heads * width], |index| {
        let (row, column) = (index[0], index[1]);
        let rows = sequence(offsets, row);
        let head = column / width;
        let (keys, values) = (heads * width, (heads + key_heads) * width);
        let shared = head / (heads / key_heads) * width;
        let score = |key: usize| {
            let hidden = if key < row { row - key > reach.before } else { key - row > reach.after };
            let seen = visible.map(|visible| visible.as_slice::<i32>().expect("i32")[row] as usize);
            if hidden || seen.is_some_and(|seen| key - rows.start >= seen) {
                return f64::NEG_INFINITY;
            }
            let product = |at| broadcast(qkv, &[row, head * width + at]) * broadcast(qkv, &[key, keys + shared + at]);
            let bias = bias.map_or(0.0, |bias| {
                let most = bias.shape()[1] as i64 / 2;
                let distance = (key as i64 - row as i64).clamp(-most, most);
                broadcast(bias, &[head, (distance + most) as usize])
            });
            (0..width).map(product).sum::<f64>() * f64::from(scale) + bias
        };
        let scores: Vec<f64> = rows.clone().map(score).collect();
        if scores.iter().all(|score| *score == f64::NEG_INFINITY) {
            return 0.0;
        }
        attend(&scores, |key| broadcast(qkv, &[rows.start + key, values + shared + column % width]))
    })]
}

fn disentangled_attention(operator: &dyn Operator, inputs: &[Option<Tensor>]) -> Vec<Tensor> {
    let own = op::<DisentangledAttention>(operator);
    let (qkv, offsets) = (input(inputs, 0), input(inputs, 1));
    let hidden = qkv.shape()[1] / 3;
    let width = hidden / own.heads;
    vec![made(&[qkv.shape()[0], hidden], |index| {
        let (row, column) = (index[0], index[1]);
        let rows = sequence(offsets, row);
        let first = column / width * width;
        let score = |key: usize| {
            let query = |at: usize| broadcast(qkv, &[row, first + at]);
            let key_at = |at: usize| broadcast(qkv, &[key, hidden + first + at]);
            let position = own.position(row as i64 - key as i64);
            let of = |table: usize, at: usize| {
                optional(inputs, table).map_or(0.0, |table| broadcast(table, &[position, first + at]))
            };
            let term = |at: usize| query(at) * key_at(at) + query(at) * of(2, at) + key_at(at) * of(3, at);
            (0..width).map(term).sum::<f64>() * f64::from(own.scale)
        };
        let scores: Vec<f64> = rows.clone().map(score).collect();
        attend(&scores, |key| broadcast(qkv, &[rows.start + key, 2 * hidden + column]))
    })]
}

fn rotary_heads(operator: &dyn Operator, inputs: &[Option<Tensor>]) -> Vec<Tensor> {
    let RotaryHeads { heads, key_heads, turned, epsilon } = *op::<RotaryHeads>(operator);
    let qkv = input(inputs, 0);
    let width = qkv.shape()[1] / (heads + 2 * key_heads);
    vec![made(qkv.shape(), |index| {
        let (row, column) = (index[0], index[1]);
        let (head, own) = (column / width, column % width);
        if head >= heads + key_heads {
            return broadcast(qkv, &index);
        }
        let normed = |own: usize| {
            let at = |own: usize| broadcast(qkv, &[row, head * width + own]);
            match optional(inputs, if head < heads { 4 } else { 5 }) {
                Some(scale) => {
                    let mean = (0..width).map(|own| at(own) * at(own)).sum::<f64>() / width as f64;
                    at(own) / (mean + f64::from(epsilon)).sqrt() * broadcast(scale, &[own])
                }
                None => at(own),
            }
        };
        let half = turned / 2;
        if own >= turned {
            return normed(own);
        }
        let position = input(inputs, 1).to_i64().unwrap()[row] as usize;
        let angle = |table: usize| broadcast(input(inputs, table), &[position, own % half]);
        let other = if own < half { -normed(own + half) } else { normed(own - half) };
        normed(own) * angle(2) + other * angle(3)
    })]
}

fn linear_attention(operator: &dyn Operator, inputs: &[Option<Tensor>]) -> Vec<Tensor> {
    let own = op::<LinearAttention>(operator);
    let operand = |index: usize| -> Option<Vec<f64>> {
        let tensor = inputs.get(index)?.as_ref()?;
        Some(tensor.as_slice::<f32>().unwrap().iter().map(|&x| f64::from(x)).collect())
    };
    let shape = |index: usize| input(inputs, index).shape();
    let (batch, positions) = (shape(0)[0], shape(0)[1]);
    let (keys, width) = (shape(0)[2] / own.query_heads, shape(2)[2] / own.heads);
    let (query, key, value) = (operand(0).unwrap(), operand(1).unwrap(), operand(2).unwrap());
    let (decay, rate) = (operand(4), operand(5));
    let of = [batch, own.heads, keys, width];
    let mut state = operand(3).unwrap_or_else(|| vec![0.0; of.iter().product()]);
    let scale = if own.scale == 0.0 { (keys as f64).powf(-0.5) } else { own.scale.into() };
    let result = [batch, positions, own.query_heads, width];
    let mut results = vec![0.0; result.iter().product()];
    // The element of an operand with these axes, of which those of size 1 stand for all.
    let at = |all: &[f64], sizes: [usize; 4], index: [usize; 4]| {
        let index: Vec<usize> = index.iter().zip(sizes).map(|(&at, size)| if size == 1 { 0 } else { at }).collect();
        all[flat(&sizes, &index)]
    };
    for (b, t) in (0..batch).flat_map(|b| (0..positions).map(move |t| (b, t))) {
        for h in 0..own.heads {
            let key_of = |k: usize| key[flat(&[batch, positions, own.heads, keys], &[b, t, h, k])];
            if let Some(decay) = &decay {
                let each = decay.len() / (batch * positions * own.heads);
                for (k, m) in (0..keys).flat_map(|k| (0..width).map(move |m| (k, m))) {
                    let factor = at(decay, [batch, positions, own.heads, each], [b, t, h, k]).exp();
                    state[flat(&of, &[b, h, k, m])] *= factor;
                }
            }
            for m in 0..width {
                let mut new = value[flat(&[batch, positions, own.heads, width], &[b, t, h, m])];
                if let Some(rate) = &rate {
                    let held: f64 = (0..keys).map(|k| key_of(k) * state[flat(&of, &[b, h, k, m])]).sum();
                    let each = rate.len() / (batch * positions);
                    new = at(rate, [batch, positions, each, 1], [b, t, h, 0]) * (new - held);
                }
                (0..keys).for_each(|k| state[flat(&of, &[b, h, k, m])] += key_of(k) * new);
            }
        }
        for (q, m) in (0..own.query_heads).flat_map(|q| (0..width).map(move |m| (q, m))) {
            let h = q / (own.query_heads / own.heads);
            let read = |k: usize| {
                query[flat(&[batch, positions, own.query_heads, keys], &[b, t, q, k])] * state[flat(&of, &[b, h, k, m])]
            };
            results[flat(&result, &[b, t, q, m])] = scale * (0..keys).map(read).sum::<f64>();
        }
    }
    let tensor = |shape: &[usize], values: &[f64]| {
        Tensor::new(shape, &values.iter().map(|&x| x as f32).collect::<Vec<_>>()).unwrap()
    };
    vec![tensor(&[batch, positions, own.query_heads * width], &results), tensor(&of, &state)]
}
