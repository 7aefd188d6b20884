//! Reductions, softmax and norms: plain sums in double precision.

use gristmill::{
    DType, Tensor,
    testing::{
        op::Operator,
        ops::{
            norm::{
                channel_norm::{ChannelNorm, Statistics},
                hardmax::Hardmax,
                l2_normalize::L2Normalize,
                layer_norm::LayerNorm,
                layer_norm_statistics::LayerNormStatistics,
                local_response::LocalResponseNorm,
                lp_normalize::{LpNormalize, RmsNorm},
                mean_variance::MeanVarianceNorm,
                softmax::Softmax,
            },
            reduce::{Reduce, ReduceFunction as F},
        },
    },
};

use super::{
    Oracle, flat, indices, input, op,
    pointwise::{floats, integers, of_floats, of_integers, position},
};

/// The operators that this file speaks for.
pub const ORACLES: &[(&str, Oracle)] = &[
    ("BatchNormalization", channel_norm),
    ("GroupNormalization", channel_norm),
    ("Hardmax", hardmax),
    ("InstanceNormalization", channel_norm),
    ("L2Normalize", l2_normalize),
    ("LRN", local_response),
    ("LayerNormStatistics", layer_norm_statistics),
    ("LayerNormalization", layer_norm),
    ("LogSoftmax", softmax),
    ("LpNormalization", lp_normalize),
    ("MeanVarianceNormalization", mean_variance),
    ("RMSNormalization", rms_norm),
    ("Softmax", softmax),
];

/// For each result, in order, the positions of the elements that go into it.
fn members(shape: &[usize], reduced: &[bool]) -> Vec<Vec<usize>> {
    let kept: Vec<usize> = shape.iter().zip(reduced).map(|(&size, &reduced)| if reduced { 1 } else { size }).collect();
    let mut members = vec![Vec::new(); kept.iter().product()];
    for index in indices(shape) {
        let own: Vec<usize> = index.iter().zip(reduced).map(|(&i, &reduced)| if reduced { 0 } else { i }).collect();
        members[flat(&kept, &own)].push(flat(shape, &index));
    }
    members
}

pub fn reduce(operator: &dyn Operator, inputs: &[Option<Tensor>]) -> Vec<Tensor> {
    let from = input(inputs, 0);
    let reduce = op::<Reduce>(operator);
    let rank = from.shape().len();
    let mut reduced = vec![reduce.axes.is_none(); rank];
    for &axis in reduce.axes.iter().flatten() {
        reduced[(axis + if axis < 0 { rank as i64 } else { 0 }) as usize] = true;
    }
    let shape: Vec<usize> = (0..rank)
        .filter(|&axis| !reduced[axis] || reduce.keep_dims)
        .map(|axis| if reduced[axis] { 1 } else { from.shape()[axis] })
        .collect();
    let members = members(from.shape(), &reduced);
    if from.dtype().is_float() {
        let values = floats(from);
        let of = |all: &Vec<usize>| {
            let all: Vec<f64> = all.iter().map(|&at| values[at]).collect();
            let sum = |f: fn(f64) -> f64| all.iter().map(|&x| f(x)).sum::<f64>();
            let any_nan = all.iter().any(|x| x.is_nan());
            let most = if any_nan { f64::NAN } else { all.iter().copied().fold(f64::NEG_INFINITY, f64::max) };
            let least = if any_nan { f64::NAN } else { all.iter().copied().fold(f64::INFINITY, f64::min) };
            // Single precision overflows in a square.
            let square = |x: f64| if from.dtype() == DType::F32 { f64::from((x * x) as f32) } else { x * x };
            match reduce.function {
                F::Sum => sum(|x| x),
                F::Mean => sum(|x| x) / all.len() as f64,
                F::L1 => sum(f64::abs),
                F::L2 => all.iter().map(|&x| square(x)).sum::<f64>().sqrt(),
                F::SumSquare => all.iter().map(|&x| square(x)).sum(),
                F::Prod => all.iter().product(),
                F::Max => most,
                F::Min => least,
                F::LogSum => sum(|x| x).ln(),
                F::LogSumExp if most.is_infinite() => most,
                F::LogSumExp => all.iter().map(|x| (x - most).exp()).sum::<f64>().ln() + most,
            }
        };
        return vec![of_floats(from.dtype(), &shape, &members.iter().map(of).collect::<Vec<_>>())];
    }
    let values = integers(from);
    let of = |all: &Vec<usize>| {
        let all = all.iter().map(|&at| values[at]);
        match reduce.function {
            F::Sum => all.sum(),
            F::Mean => all.clone().sum::<i128>() / all.len() as i128,
            F::L1 => all.map(i128::abs).sum(),
            F::SumSquare => all.map(|x| x * x).sum(),
            F::Prod => all.product::<i128>(),
            F::Max => all.max().unwrap(),
            F::Min => all.min().unwrap(),
            other => panic!("{other:?} of integers"),
        }
    };
    vec![of_integers(from.dtype(), &shape, &members.iter().map(of).collect::<Vec<_>>())]
}

pub fn softmax(operator: &dyn Operator, inputs: &[Option<Tensor>]) -> Vec<Tensor> {
    let from = input(inputs, 0);
    let softmax = op::<Softmax>(operator);
    let rank = from.shape().len();
    let axis = (softmax.axis + if softmax.axis < 0 { rank as i64 } else { 0 }) as usize;
    let summed: Vec<bool> = (0..rank).map(|own| own == axis || (softmax.to_end && own > axis)).collect();
    let values = floats(from);
    let mut results = vec![0.0; values.len()];
    for members in members(from.shape(), &summed) {
        let most = members.iter().map(|&at| values[at]).fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = members.iter().map(|&at| (values[at] - most).exp()).sum();
        for at in members {
            let x = values[at] - most;
            results[at] = if softmax.log { x - sum.ln() } else { x.exp() / sum };
        }
    }
    vec![of_floats(from.dtype(), from.shape(), &results)]
}

fn hardmax(operator: &dyn Operator, inputs: &[Option<Tensor>]) -> Vec<Tensor> {
    let (from, hardmax) = (input(inputs, 0), op::<Hardmax>(operator));
    let rank = from.shape().len();
    let axis = (hardmax.axis + if hardmax.axis < 0 { rank as i64 } else { 0 }) as usize;
    let row: Vec<bool> = (0..rank).map(|own| own == axis || (hardmax.to_end && own > axis)).collect();
    let (values, mut results) = (floats(from), vec![0.0; from.len()]);
    for members in members(from.shape(), &row).into_iter().filter(|members| !members.is_empty()) {
        let nan = members.iter().find(|&&at| values[at].is_nan());
        let most = members.iter().map(|&at| values[at]).fold(f64::NEG_INFINITY, f64::max);
        let first = nan.or_else(|| members.iter().find(|&&at| values[at] == most)).expect("one is the largest");
        results[*first] = 1.0;
    }
    vec![of_floats(from.dtype(), from.shape(), &results)]
}

pub fn layer_norm(operator: &dyn Operator, inputs: &[Option<Tensor>]) -> Vec<Tensor> {
    let from = input(inputs, 0);
    let norm = op::<LayerNorm>(operator);
    let normalized: Vec<bool> = (0..from.shape().len()).map(|axis| norm.axes.contains(&axis)).collect();
    let sizes: Vec<usize> = norm.axes.iter().map(|&axis| from.shape()[axis]).collect();
    let weight = |index: usize, own: &[usize], absent: f64| {
        let weight = inputs.get(index).and_then(Option::as_ref);
        // Further axes are of size 1.
        let shape = |weight: &Tensor| weight.shape()[weight.shape().len().saturating_sub(own.len())..].to_vec();
        weight.map_or(absent, |weight| floats(weight)[position(&shape(weight), own)])
    };
    let values = floats(from);
    let mut results = vec![0.0; values.len()];
    for members in members(from.shape(), &normalized) {
        let count = members.len() as f64;
        let mean = members.iter().map(|&at| values[at]).sum::<f64>() / count;
        let variance = members.iter().map(|&at| (values[at] - mean).powi(2)).sum::<f64>() / count;
        // Members are in order of the normalised axes.
        for (&at, own) in members.iter().zip(indices(&sizes)) {
            let x = (values[at] - mean) / (variance + f64::from(norm.epsilon)).sqrt();
            results[at] = x * weight(1, &own, 1.0) + weight(2, &own, 0.0);
        }
    }
    vec![of_floats(from.dtype(), from.shape(), &results)]
}

fn layer_norm_statistics(operator: &dyn Operator, inputs: &[Option<Tensor>]) -> Vec<Tensor> {
    let (from, norm) = (input(inputs, 0), op::<LayerNormStatistics>(operator));
    let rank = from.shape().len();
    let plain = LayerNorm { axes: (norm.axis..rank).collect(), epsilon: norm.epsilon };
    let mut results = layer_norm(&plain, inputs);
    let normalized: Vec<bool> = (0..rank).map(|axis| axis >= norm.axis).collect();
    let (values, mut means, mut inverses) = (floats(from), Vec::new(), Vec::new());
    for members in members(from.shape(), &normalized) {
        let count = members.len() as f64;
        let mean = members.iter().map(|&at| values[at]).sum::<f64>() / count;
        let variance = members.iter().map(|&at| (values[at] - mean).powi(2)).sum::<f64>() / count;
        means.push(mean);
        inverses.push(1.0 / (variance + f64::from(norm.epsilon)).sqrt());
    }
    let shape: Vec<usize> = (0..rank).map(|axis| if axis < norm.axis { from.shape()[axis] } else { 1 }).collect();
    results.extend([means, inverses].map(|all| of_floats(DType::F32, &shape, &all)));
    results
}

pub fn l2_normalize(operator: &dyn Operator, inputs: &[Option<Tensor>]) -> Vec<Tensor> {
    let from = input(inputs, 0);
    let floor = f64::from(op::<L2Normalize>(operator).epsilon);
    let last: Vec<bool> = (1..=from.shape().len()).map(|axis| axis == from.shape().len()).collect();
    let values = floats(from);
    let mut results = vec![0.0; values.len()];
    for members in members(from.shape(), &last) {
        let length = members.iter().map(|&at| values[at].powi(2)).sum::<f64>().sqrt();
        for at in members {
            results[at] = values[at] / length.max(floor);
        }
    }
    vec![of_floats(from.dtype(), from.shape(), &results)]
}

pub fn lp_normalize(operator: &dyn Operator, inputs: &[Option<Tensor>]) -> Vec<Tensor> {
    let from = input(inputs, 0);
    let norm = op::<LpNormalize>(operator);
    let rank = from.shape().len() as i64;
    let own: Vec<bool> = (0..rank).map(|axis| axis == norm.axis || axis == norm.axis + rank).collect();
    let mut values = floats(from);
    for members in members(from.shape(), &own) {
        let all = members.iter().map(|&at| values[at]);
        let length = if norm.euclidean { all.map(|x| x * x).sum::<f64>().sqrt() } else { all.map(f64::abs).sum() };
        if length > 0.0 {
            members.iter().for_each(|&at| values[at] /= length);
        }
    }
    vec![of_floats(from.dtype(), from.shape(), &values)]
}

pub fn rms_norm(operator: &dyn Operator, inputs: &[Option<Tensor>]) -> Vec<Tensor> {
    let from = input(inputs, 0);
    let norm = op::<RmsNorm>(operator);
    let scale = floats(input(inputs, 1));
    let mut values = floats(from);
    for row in values.chunks_mut(scale.len()) {
        let mean = row.iter().map(|x| x * x).sum::<f64>() / scale.len() as f64;
        row.iter_mut().zip(&scale).for_each(|(x, scale)| *x *= scale / (mean + f64::from(norm.epsilon)).sqrt());
    }
    vec![of_floats(from.dtype(), from.shape(), &values)]
}

pub fn channel_norm(operator: &dyn Operator, inputs: &[Option<Tensor>]) -> Vec<Tensor> {
    let from = input(inputs, 0);
    let norm = op::<ChannelNorm>(operator);
    let channels = from.shape()[1];
    let (groups, grouped_weights) = match norm.statistics {
        Statistics::Group { groups, grouped_weights } => (groups, grouped_weights),
        _ => (channels, false),
    };
    let group_of = |channel: usize| channel * groups / channels;
    let values = floats(from);
    let all: Vec<Vec<usize>> = indices(from.shape()).collect();
    let results: Vec<f64> = all
        .iter()
        .map(|index| {
            let group = group_of(index[1]);
            let (mean, variance) = if norm.statistics == Statistics::Given {
                (floats(input(inputs, 3))[index[1]], floats(input(inputs, 4))[index[1]])
            } else {
                let members = all.iter().filter(|other| other[0] == index[0] && group_of(other[1]) == group);
                let members: Vec<f64> = members.map(|other| values[flat(from.shape(), other)]).collect();
                let mean = members.iter().sum::<f64>() / members.len() as f64;
                (mean, members.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / members.len() as f64)
            };
            let weight = if grouped_weights { group } else { index[1] };
            let x = (values[flat(from.shape(), index)] - mean) / (variance + f64::from(norm.epsilon)).sqrt();
            x * floats(input(inputs, 1))[weight] + floats(input(inputs, 2))[weight]
        })
        .collect();
    vec![of_floats(from.dtype(), from.shape(), &results)]
}

fn local_response(operator: &dyn Operator, inputs: &[Option<Tensor>]) -> Vec<Tensor> {
    let (op, x) = (op::<LocalResponseNorm>(operator), input(inputs, 0));
    let (shape, values) = (x.shape(), floats(x));
    let (before, after) = ((op.size as i128 - 1) / 2, op.size as i128 / 2);
    let at = |index: Vec<usize>| {
        let distance = |channel: usize| channel as i128 - index[1] as i128;
        let near = (0..shape[1]).filter(|&channel| distance(channel) >= -before && distance(channel) <= after);
        let square = |channel| {
            let mut own = index.clone();
            own[1] = channel;
            values[flat(shape, &own)].powi(2)
        };
        let mean = near.map(square).sum::<f64>() / op.size as f64;
        values[flat(shape, &index)] / (f64::from(op.bias) + f64::from(op.alpha) * mean).powf(f64::from(op.beta))
    };
    vec![of_floats(x.dtype(), shape, &indices(shape).map(at).collect::<Vec<_>>())]
}

fn mean_variance(operator: &dyn Operator, inputs: &[Option<Tensor>]) -> Vec<Tensor> {
    let (op, x) = (op::<MeanVarianceNorm>(operator), input(inputs, 0));
    let rank = x.shape().len() as i64;
    let reduced: Vec<bool> =
        (0..rank).map(|axis| op.axes.contains(&axis) || op.axes.contains(&(axis - rank))).collect();
    let values = floats(x);
    let mut results = values.clone();
    for members in members(x.shape(), &reduced) {
        let mean_of =
            |f: &dyn Fn(f64) -> f64| members.iter().map(|&at| f(values[at])).sum::<f64>() / members.len() as f64;
        let mean = mean_of(&|x| x);
        let deviation = mean_of(&|x| (x - mean).powi(2)).sqrt();
        for &at in &members {
            results[at] = (values[at] - mean) / (deviation + 1e-9);
        }
    }
    vec![of_floats(x.dtype(), x.shape(), &results)]
}
