//! Operators that slide a window or pool: sums in f64, one element at a time.

use gristmill::{
    Tensor,
    testing::{
        op::Operator,
        ops::{
            conv::{Conv, Layout, chain::ConvChain, transposed::ConvTranspose},
            index::gather::{Gather, OutOfRange},
            moves::segment_windows::SegmentWindows,
            pool::{
                GlobalPool, Pool, PoolFunction,
                channels_last::ChannelsLastPool,
                look_up_pool::LookUpPool,
                max_with_indices::MaxPoolWithIndices,
                segment_pool::{SegmentPool, SegmentPoolMode},
                window::{Pads, Window},
            },
        },
    },
};

use super::{
    Oracle, flat, indices, input, moves, op,
    products::{activate, broadcast, element, largest, made, made_like, numbers, optional},
};

/// The operators that this file speaks for.
pub const ORACLES: &[(&str, Oracle)] = &[
    ("AveragePool", pool),
    ("ChannelsLastPool", channels_last_pool),
    ("Conv", conv),
    ("ConvChain", conv_chain),
    ("ConvTranspose", conv_transpose),
    ("GlobalAveragePool", global_pool),
    ("GlobalLpPool", global_pool),
    ("GlobalMaxPool", global_pool),
    ("LookUpPool", look_up_pool),
    ("LpPool", pool),
    ("MaxPool", pool),
    ("MaxPoolWithIndices", max_pool_with_indices),
    ("SegmentPool", segment_pool),
    ("SegmentWindows", segment_windows),
];

/// The number of windows of an axis and the pads before and behind it, from the definitions of ONNX.
pub fn windows(window: &Window<'_>, axis: usize, size: usize) -> (usize, usize, usize) {
    let (stride, extent) = (window.strides[axis], (window.kernel[axis] - 1) * window.dilations[axis] + 1);
    let same = size.div_ceil(stride);
    let total = (same.saturating_sub(1) * stride + extent).saturating_sub(size);
    match window.pads {
        Pads::SameUpper => (same, total / 2, total - total / 2),
        Pads::SameLower => (same, total - total / 2, total / 2),
        Pads::Explicit(pads) => {
            let (before, behind) = pads[axis];
            // Windows are counted one by one.
            let reach = |start: usize| match window.ceil {
                false => start + extent <= size + before + behind,
                true => start == 0 || (start - stride + extent < size + before + behind && start < size + before),
            };
            ((0..).take_while(|count| reach(count * stride)).count(), before, behind)
        }
    }
}

/// The input's spatial index under a tap, if it is not in the padding.
fn tap(window: &Window<'_>, pads: &[usize], sizes: &[usize], at: &[usize], tap: &[usize]) -> Option<Vec<usize>> {
    (0..sizes.len())
        .map(|axis| {
            let position = at[axis] * window.strides[axis] + tap[axis] * window.dilations[axis];
            position.checked_sub(pads[axis]).filter(|&position| position < sizes[axis])
        })
        .collect()
}

/// Each number of the input times each weight, added where ONNX's definition puts it.
fn conv_transpose(operator: &dyn Operator, inputs: &[Option<Tensor>]) -> Vec<Tensor> {
    let op = op::<ConvTranspose>(operator);
    let (x, w) = (input(inputs, 0), input(inputs, 1));
    let sizes = &x.shape()[2..];
    let whole = |axis: usize| {
        let extent = (op.kernel[axis] - 1) * op.dilations[axis] + 1;
        (sizes[axis] - 1) * op.strides[axis] + op.output_padding[axis] + extent
    };
    // The size of an axis, and what is cut off before it.
    let axis = |axis: usize| {
        let size = match (&op.output_shape, &op.pads) {
            (Some(sizes), _) => sizes[axis],
            (None, Pads::Explicit(pads)) => return (whole(axis) - pads[axis].0 - pads[axis].1, pads[axis].0),
            (None, _) => sizes[axis] * op.strides[axis],
        };
        let total = whole(axis).saturating_sub(size);
        (size, if op.pads == Pads::SameUpper { total / 2 } else { total - total / 2 })
    };
    let axes: Vec<(usize, usize)> = (0..sizes.len()).map(axis).collect();
    let filters = w.shape()[1] * op.groups;
    let mut shape = vec![x.shape()[0], filters];
    shape.extend(axes.iter().map(|axis| axis.0));
    let bias = |filter: usize| optional(inputs, 2).map_or(0.0, |bias| element(bias, filter));
    let mut sums: Vec<f64> = indices(&shape).map(|index| bias(index[1])).collect();
    for from in indices(x.shape()) {
        for own in 0..w.shape()[1] {
            for taps in indices(&op.kernel) {
                let group = from[1] / (x.shape()[1] / op.groups);
                let mut to = vec![from[0], group * w.shape()[1] + own];
                to.extend((0..sizes.len()).map(|axis| {
                    (from[axis + 2] * op.strides[axis] + taps[axis] * op.dilations[axis]).wrapping_sub(axes[axis].1)
                }));
                let mut weight = vec![from[1], own];
                weight.extend(taps);
                if to.iter().zip(&shape).all(|(at, size)| at < size) {
                    let product = element(x, flat(x.shape(), &from)) * element(w, flat(w.shape(), &weight));
                    sums[flat(&shape, &to)] += product;
                }
            }
        }
    }
    let mut sums = sums.into_iter();
    vec![made_like(x, &shape, |_| sums.next().unwrap())]
}

/// One convolution after the other, and the sum.
fn conv_chain(operator: &dyn Operator, inputs: &[Option<Tensor>]) -> Vec<Tensor> {
    let op = op::<ConvChain>(operator);
    let operand = |at: usize| inputs.get(at).cloned().flatten();
    let mut x = input(inputs, 0).clone();
    for (own, at) in [(op.before.as_ref(), 1), (Some(&op.depthwise), 3), (op.behind.as_ref(), 5)] {
        if let Some(own) = own {
            x = conv(own, &[Some(x), operand(at), operand(at + 1)]).remove(0);
        }
    }
    let summand = |index: &[usize]| optional(inputs, 7).map_or(0.0, |summand| broadcast(summand, index));
    vec![made(x.shape(), |index| broadcast(&x, &index) + summand(&index))]
}

fn conv(operator: &dyn Operator, inputs: &[Option<Tensor>]) -> Vec<Tensor> {
    let conv = op::<Conv>(operator);
    let (x, w) = (input(inputs, 0), input(inputs, 1));
    let rank = conv.kernel.len();
    let (channel_axis, spatial) = match conv.layout {
        Layout::ChannelsFirst => (1, 2),
        Layout::ChannelsLast => (rank + 1, 1),
    };
    let sizes = &x.shape()[spatial..spatial + rank];
    let window = conv.window();
    let found: Vec<_> = (0..rank).map(|axis| windows(&window, axis, sizes[axis])).collect();
    let counts: Vec<usize> = found.iter().map(|(count, ..)| *count).collect();
    let pads: Vec<usize> = found.iter().map(|(_, before, _)| *before).collect();
    let (channels, own) = (w.shape()[0], w.shape()[1]);
    let index_of = |item: usize, channel: usize, position: &[usize]| {
        let mut index = vec![item];
        index.extend_from_slice(position);
        index.insert(channel_axis, channel);
        index
    };
    let value = |item: usize, channel: usize, at: &[usize]| {
        let mut sum = optional(inputs, 2).map_or(0.0, |bias| element(bias, channel));
        for c in 0..own {
            for taps in indices(&conv.kernel) {
                if let Some(position) = tap(&window, &pads, sizes, at, &taps) {
                    let from = channel / (channels / conv.groups) * own + c;
                    let mut weight = vec![channel, c];
                    weight.extend(taps);
                    sum += broadcast(x, &index_of(item, from, &position)) * broadcast(w, &weight);
                }
            }
        }
        activate(conv.activation, sum)
    };
    let out = if conv.global_max { vec![1; rank] } else { counts.clone() };
    vec![made_like(x, &index_of(x.shape()[0], channels, &out), |index| {
        let channel = index[channel_axis];
        if conv.global_max {
            indices(&counts).map(|at| value(index[0], channel, &at)).fold(f64::NEG_INFINITY, largest)
        } else {
            value(index[0], channel, &index[spatial..spatial + rank])
        }
    })]
}

fn reduce(function: PoolFunction, values: &[f64], padding: usize) -> f64 {
    match function {
        PoolFunction::Max => values.iter().copied().fold(f64::NEG_INFINITY, largest),
        PoolFunction::Average { count_include_pad } => {
            let count = values.len() + if count_include_pad { padding } else { 0 };
            values.iter().sum::<f64>() / count as f64
        }
        PoolFunction::Lp(order) => {
            let order = f64::from(order);
            values.iter().map(|x| x.abs().powf(order)).sum::<f64>().powf(1.0 / order)
        }
    }
}

fn pool(operator: &dyn Operator, inputs: &[Option<Tensor>]) -> Vec<Tensor> {
    pool_from(op::<Pool>(operator), input(inputs, 0), 2)
}

fn channels_last_pool(operator: &dyn Operator, inputs: &[Option<Tensor>]) -> Vec<Tensor> {
    pool_from(&op::<ChannelsLastPool>(operator).0, input(inputs, 0), 1)
}

/// A pool over the dimensions from `first` on.
fn pool_from(pool: &Pool, x: &Tensor, first: usize) -> Vec<Tensor> {
    let (window, rank) = (pool.window(), pool.kernel.len());
    let sizes = &x.shape()[first..first + rank];
    let found: Vec<_> = (0..sizes.len()).map(|axis| windows(&window, axis, sizes[axis])).collect();
    let pads: Vec<usize> = found.iter().map(|(_, before, _)| *before).collect();
    let mut shape = x.shape().to_vec();
    for (size, (count, ..)) in shape[first..].iter_mut().zip(&found) {
        *size = *count;
    }
    vec![made(&shape, |index| {
        let (mut values, mut padding) = (Vec::new(), 0);
        for taps in indices(&pool.kernel) {
            match tap(&window, &pads, sizes, &index[first..first + rank], &taps) {
                Some(position) => {
                    values.push(broadcast(x, &[&index[..first], &position, &index[first + rank..]].concat()));
                }
                None => {
                    // What lies past the padding does not count.
                    padding += usize::from((0..sizes.len()).all(|axis| {
                        let at = index[axis + first] * window.strides[axis] + taps[axis] * window.dilations[axis];
                        at < sizes[axis] + found[axis].1 + found[axis].2
                    }));
                }
            }
        }
        reduce(pool.function, &values, padding)
    })]
}

fn global_pool(operator: &dyn Operator, inputs: &[Option<Tensor>]) -> Vec<Tensor> {
    let x = input(inputs, 0);
    let mut shape = x.shape()[..2].to_vec();
    shape.resize(x.shape().len(), 1);
    vec![made(&shape, |index| {
        let positions = indices(&x.shape()[2..]).map(|at| broadcast(x, &[&index[..2], &at].concat()));
        reduce(op::<GlobalPool>(operator).function, &positions.collect::<Vec<_>>(), 0)
    })]
}

fn look_up_pool(operator: &dyn Operator, inputs: &[Option<Tensor>]) -> Vec<Tensor> {
    let rows = Gather { axis: 0, outside: OutOfRange::Error };
    let rows = moves::gather(&rows, &inputs[..2]).remove(0);
    let mode = op::<LookUpPool>(operator).mode;
    segment_pool(&SegmentPool { mode }, &[Some(rows), inputs[2].clone()])
}

fn segment_pool(operator: &dyn Operator, inputs: &[Option<Tensor>]) -> Vec<Tensor> {
    let (x, offsets) = (input(inputs, 0), input(inputs, 1));
    let offsets: Vec<usize> = offsets.to_i64().unwrap().into_iter().map(|offset| offset as usize).collect();
    vec![made(&[offsets.len() - 1, x.shape()[1]], |index| {
        let rows = offsets[index[0]]..offsets[index[0] + 1];
        let values: Vec<f64> = rows.map(|row| broadcast(x, &[row, index[1]])).collect();
        match op::<SegmentPool>(operator).mode {
            _ if values.is_empty() => 0.0,
            SegmentPoolMode::Cls => values[0],
            SegmentPoolMode::Mean => reduce(PoolFunction::Average { count_include_pad: false }, &values, 0),
            SegmentPoolMode::Max => reduce(PoolFunction::Max, &values, 0),
            SegmentPoolMode::MeanSqrtLength => values.iter().sum::<f64>() / (values.len() as f64).sqrt(),
            SegmentPoolMode::WeightedMean => {
                let weights = (1..=values.len()).map(|weight| weight as f64);
                let sum: f64 = weights.clone().zip(&values).map(|(weight, value)| weight * value).sum();
                sum / weights.sum::<f64>()
            }
            SegmentPoolMode::Last => values[values.len() - 1],
        }
    })]
}

fn segment_windows(operator: &dyn Operator, inputs: &[Option<Tensor>]) -> Vec<Tensor> {
    let (x, offsets) = (input(inputs, 0), input(inputs, 1));
    let offsets = offsets.to_i64().unwrap();
    let own = op::<SegmentWindows>(operator);
    let (rows, columns) = (x.shape()[0], x.shape()[1]);
    vec![made(&[rows, (own.before + 1 + own.after) * columns], |index| {
        let row = index[0] as i64;
        let start = offsets.iter().copied().filter(|&offset| offset <= row).max().unwrap();
        let end = offsets.iter().copied().find(|&offset| offset > row).unwrap();
        let from = row + (index[1] / columns) as i64 - own.before as i64;
        if (start..end).contains(&from) { broadcast(x, &[from as usize, index[1] % columns]) } else { 0.0 }
    })]
}

fn max_pool_with_indices(operator: &dyn Operator, inputs: &[Option<Tensor>]) -> Vec<Tensor> {
    let op = op::<MaxPoolWithIndices>(operator);
    let values = pool(&op.pool, inputs).remove(0);
    let x = input(inputs, 0);
    let (window, sizes) = (op.pool.window(), &x.shape()[2..]);
    let pads: Vec<usize> = (0..sizes.len()).map(|axis| windows(&window, axis, sizes[axis]).1).collect();
    let size: usize = sizes.iter().product();
    let mut places = Vec::new();
    for (index, &value) in indices(values.shape()).zip(numbers(&values)) {
        let plane = index[0] * x.shape()[1] + index[1];
        let is_largest = |at: &Vec<usize>| {
            let own = numbers(x)[plane * size + flat(sizes, at)];
            own == value || (own.is_nan() && value.is_nan())
        };
        let mut under = indices(&op.pool.kernel).filter_map(|own| tap(&window, &pads, sizes, &index[2..], &own));
        let at = under.find(is_largest).unwrap();
        let (mut sizes, mut at) = (sizes.to_vec(), at);
        if op.first_fastest {
            sizes.reverse();
            at.reverse();
        }
        places.push((plane * size + flat(&sizes, &at)) as i64);
    }
    let places = Tensor::new(values.shape().to_vec(), &places).unwrap();
    vec![values, places]
}
