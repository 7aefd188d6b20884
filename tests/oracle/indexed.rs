//! Operators that read or write where indices say, and those that find indices.

use gristmill::{
    DType, Tensor,
    testing::{
        op::Operator,
        ops::{
            generate::trilu::{EyeLike, Trilu},
            index::{
                gather_elements::GatherElements,
                gather_nd::GatherNd,
                one_hot::OneHot,
                scatter::{Join, ScatterElements, ScatterNd},
                tensor_scatter::TensorScatter,
                top_k::TopK,
            },
            moves::depth_to_space::{BlockOrder, DepthToSpace, SpaceToDepth},
            reduce::{arg_reduce::ArgReduce, cum_prod::CumProd, cum_sum::CumSum},
        },
    },
};

use super::{Oracle, flat, indices, input, op, pick};

/// The operators that this file speaks for.
pub const ORACLES: &[(&str, Oracle)] = &[
    ("ArgMax", arg_reduce),
    ("ArgMin", arg_reduce),
    ("CumProd", cum_prod),
    ("CumSum", cum_sum),
    ("DepthToSpace", depth_to_space),
    ("EyeLike", eye_like),
    ("GatherElements", gather_elements),
    ("GatherND", gather_nd),
    ("OneHot", one_hot),
    ("ScatterElements", scatter_elements),
    ("ScatterND", scatter_nd),
    ("SpaceToDepth", space_to_depth),
    ("TensorScatter", tensor_scatter),
    ("TopK", top_k),
    ("Trilu", trilu),
];

fn front(index: i64, size: usize) -> usize {
    (if index < 0 { index + size as i64 } else { index }) as usize
}

fn gather_elements(operator: &dyn Operator, inputs: &[Option<Tensor>]) -> Vec<Tensor> {
    let (data, places) = (input(inputs, 0), input(inputs, 1));
    let axis = front(op::<GatherElements>(operator).axis, data.shape().len());
    let numbers = places.to_i64().unwrap();
    let output = pick(data, places.shape(), |index| {
        let mut own = index.to_vec();
        own[axis] = front(numbers[flat(places.shape(), index)], data.shape()[axis]);
        flat(data.shape(), &own)
    });
    vec![output]
}

/// The tuple of indices at `outer`, as indices of the axes of `data` from `first` on.
fn tuple(places: &Tensor, outer: &[usize], data: &[usize], first: usize) -> Vec<usize> {
    let numbers = places.to_i64().unwrap();
    let len = *places.shape().last().unwrap();
    (0..len)
        .map(|position| {
            let at = flat(places.shape(), &[outer, &[position]].concat());
            front(numbers[at], data[first + position])
        })
        .collect()
}

fn gather_nd(operator: &dyn Operator, inputs: &[Option<Tensor>]) -> Vec<Tensor> {
    let (data, places) = (input(inputs, 0), input(inputs, 1));
    let batch = op::<GatherNd>(operator).batch_dims;
    let outer = places.shape().len() - 1;
    let len = places.shape()[outer];
    let shape = [&places.shape()[..outer], &data.shape()[batch + len..]].concat();
    let output = pick(data, &shape, |index| {
        let own = tuple(places, &index[..outer], data.shape(), batch);
        flat(data.shape(), &[&index[..batch], &own, &index[outer..]].concat())
    });
    vec![output]
}

/// Puts update `from` at element `to`.
fn put(output: &mut Tensor, to: usize, updates: &Tensor, from: usize, join: Join) {
    if output.dtype() == DType::I64 {
        let new = updates.as_slice::<i64>().unwrap()[from];
        let slot = &mut output.as_mut_slice::<i64>().unwrap()[to];
        *slot = match join {
            Join::Replace => new,
            Join::Add => slot.wrapping_add(new),
            Join::Mul => slot.wrapping_mul(new),
            Join::Max => new.max(*slot),
            Join::Min => new.min(*slot),
        };
        return;
    }
    let new = updates.as_slice::<f32>().unwrap()[from];
    let slot = &mut output.as_mut_slice::<f32>().unwrap()[to];
    *slot = match join {
        Join::Replace => new,
        Join::Add => *slot + new,
        Join::Mul => *slot * new,
        _ if slot.is_nan() || new.is_nan() => f32::NAN,
        Join::Max => new.max(*slot),
        Join::Min => new.min(*slot),
    };
}

fn scatter_elements(operator: &dyn Operator, inputs: &[Option<Tensor>]) -> Vec<Tensor> {
    let (data, places, updates) = (input(inputs, 0), input(inputs, 1), input(inputs, 2));
    let op = op::<ScatterElements>(operator);
    let axis = front(op.axis, data.shape().len());
    let numbers = places.to_i64().unwrap();
    let mut output = data.clone();
    for (position, index) in indices(places.shape()).enumerate() {
        let mut own = index;
        own[axis] = front(numbers[position], data.shape()[axis]);
        put(&mut output, flat(data.shape(), &own), updates, position, op.join);
    }
    vec![output]
}

fn scatter_nd(operator: &dyn Operator, inputs: &[Option<Tensor>]) -> Vec<Tensor> {
    let (data, places, updates) = (input(inputs, 0), input(inputs, 1), input(inputs, 2));
    let outer = places.shape().len() - 1;
    let mut output = data.clone();
    for (position, index) in indices(updates.shape()).enumerate() {
        let own = tuple(places, &index[..outer], data.shape(), 0);
        let at = flat(data.shape(), &[&own, &index[outer..]].concat());
        put(&mut output, at, updates, position, op::<ScatterNd>(operator).join);
    }
    vec![output]
}

fn one_hot(operator: &dyn Operator, inputs: &[Option<Tensor>]) -> Vec<Tensor> {
    let (places, depth, values) = (input(inputs, 0), input(inputs, 1), input(inputs, 2));
    let depth = depth.to_i64().unwrap()[0];
    let axis = front(op::<OneHot>(operator).axis, places.shape().len() + 1);
    let numbers: Vec<i64> = match places.as_slice::<f32>() {
        Ok(numbers) => numbers.iter().map(|number| number.trunc() as i64).collect(),
        Err(_) => places.to_i64().unwrap(),
    };
    let mut shape = places.shape().to_vec();
    shape.insert(axis, depth as usize);
    let output = pick(values, &shape, |index| {
        let mut own = index.to_vec();
        let place = own.remove(axis) as i64;
        let asked = numbers[flat(places.shape(), &own)];
        usize::from(asked == place || asked.checked_add(depth) == Some(place))
    });
    vec![output]
}

fn depth_to_space(operator: &dyn Operator, inputs: &[Option<Tensor>]) -> Vec<Tensor> {
    let (op, from) = (op::<DepthToSpace>(operator), input(inputs, 0));
    let (block, shape) = (op.block, from.shape());
    let channels = shape[1] / (block * block);
    let output = pick(from, &[shape[0], channels, shape[2] * block, shape[3] * block], |index| {
        let (row, column) = (index[2] % block, index[3] % block);
        let channel = match op.order {
            BlockOrder::BlockFirst => (row * block + column) * channels + index[1],
            BlockOrder::ChannelFirst => (index[1] * block + row) * block + column,
        };
        flat(shape, &[index[0], channel, index[2] / block, index[3] / block])
    });
    vec![output]
}

fn space_to_depth(operator: &dyn Operator, inputs: &[Option<Tensor>]) -> Vec<Tensor> {
    let (block, from) = (op::<SpaceToDepth>(operator).block, input(inputs, 0));
    let shape = from.shape();
    let deep = [shape[0], shape[1] * block * block, shape[2] / block, shape[3] / block];
    let output = pick(from, &deep, |index| {
        let (place, channel) = (index[1] / shape[1], index[1] % shape[1]);
        let (row, column) = (place / block, place % block);
        flat(shape, &[index[0], channel, index[2] * block + row, index[3] * block + column])
    });
    vec![output]
}

fn trilu(operator: &dyn Operator, inputs: &[Option<Tensor>]) -> Vec<Tensor> {
    let (op, from) = (op::<Trilu>(operator), input(inputs, 0));
    let size = from.dtype().size();
    let mut bytes = from.bytes().to_vec();
    for (position, index) in indices(from.shape()).enumerate() {
        let [.., row, column] = index[..] else { panic!("a matrix") };
        let above = column as i128 - row as i128 - i128::from(op.diagonal);
        if if op.upper { above < 0 } else { above > 0 } {
            bytes[position * size..(position + 1) * size].fill(0);
        }
    }
    vec![Tensor::from_bytes(from.dtype(), from.shape(), &bytes).unwrap()]
}

fn eye_like(operator: &dyn Operator, inputs: &[Option<Tensor>]) -> Vec<Tensor> {
    let (op, shape) = (op::<EyeLike>(operator), input(inputs, 0).shape());
    let dtype = op.dtype.unwrap_or(DType::F32);
    let values = match dtype {
        DType::F32 => Tensor::new([2], &[0f32, 1.0]).unwrap(),
        DType::I64 => Tensor::new([2], &[0i64, 1]).unwrap(),
        DType::F16 => Tensor::new([2], &[half::f16::ZERO, half::f16::ONE]).unwrap(),
        _ => Tensor::from_bools([2], &[false, true]).unwrap(),
    };
    let on = |index: &[usize]| index[1] as i128 - index[0] as i128 == i128::from(op.diagonal);
    vec![pick(&values, shape, |index| usize::from(on(index)))]
}

/// The elements along `axis` through `index`, as positions in order.
fn lane(shape: &[usize], axis: usize, index: &[usize]) -> Vec<usize> {
    let mut own = index.to_vec();
    let positions = (0..shape[axis]).map(|place| {
        own[axis] = place;
        flat(shape, &own)
    });
    positions.collect()
}

/// Numbers to compare by: all that the cases hold are exact in f64.
fn reals(from: &Tensor) -> Vec<f64> {
    match from.as_slice::<f32>() {
        Ok(all) => all.iter().map(|&value| f64::from(value)).collect(),
        Err(_) => from.to_i64().unwrap().into_iter().map(|value| value as f64).collect(),
    }
}

fn cum_sum(operator: &dyn Operator, inputs: &[Option<Tensor>]) -> Vec<Tensor> {
    let (op, from) = (op::<CumSum>(operator), input(inputs, 0));
    let axis = front(op.axis, from.shape().len());
    let mut output = from.clone();
    for (position, index) in indices(from.shape()).enumerate() {
        let mut lane = lane(from.shape(), axis, &index);
        if op.reverse {
            lane.reverse();
        }
        let own = lane.iter().position(|&at| at == position).unwrap();
        let summed = &lane[..own + usize::from(!op.exclusive)];
        match from.as_slice::<f32>() {
            Ok(all) => {
                let sum = summed.iter().map(|&at| all[at]).reduce(|sum, value| sum + value).unwrap_or(0.0);
                output.as_mut_slice::<f32>().unwrap()[position] = sum;
            }
            Err(_) => {
                let all = from.as_slice::<i64>().unwrap();
                let sum = summed.iter().fold(0i64, |sum, &at| sum.wrapping_add(all[at]));
                output.as_mut_slice::<i64>().unwrap()[position] = sum;
            }
        }
    }
    vec![output]
}

fn cum_prod(operator: &dyn Operator, inputs: &[Option<Tensor>]) -> Vec<Tensor> {
    let (op, from) = (op::<CumProd>(operator), input(inputs, 0));
    let axis = front(op.axis, from.shape().len());
    let mut output = from.clone();
    for (position, index) in indices(from.shape()).enumerate() {
        let mut lane = lane(from.shape(), axis, &index);
        if op.reverse {
            lane.reverse();
        }
        let own = lane.iter().position(|&at| at == position).unwrap();
        let taken = &lane[..own + usize::from(!op.exclusive)];
        match from.as_slice::<f32>() {
            Ok(all) => output.as_mut_slice::<f32>().unwrap()[position] = taken.iter().map(|&at| all[at]).product(),
            Err(_) => {
                let all = from.as_slice::<i64>().unwrap();
                let product = taken.iter().fold(1i64, |product, &at| product.wrapping_mul(all[at]));
                output.as_mut_slice::<i64>().unwrap()[position] = product;
            }
        }
    }
    vec![output]
}

fn arg_reduce(operator: &dyn Operator, inputs: &[Option<Tensor>]) -> Vec<Tensor> {
    let (op, from) = (op::<ArgReduce>(operator), input(inputs, 0));
    let axis = front(op.axis, from.shape().len());
    let values = reals(from);
    let mut shape = from.shape().to_vec();
    shape[axis] = 1;
    let mut found = Vec::new();
    for index in indices(&shape) {
        let lane: Vec<f64> = lane(from.shape(), axis, &index).into_iter().map(|at| values[at]).collect();
        let is_best = |value: f64| {
            let beaten = |&other: &f64| if op.largest { other > value } else { other < value };
            value.is_nan() || !lane.iter().any(|other| other.is_nan() || beaten(other))
        };
        let best: Vec<usize> = (0..lane.len()).filter(|&place| is_best(lane[place])).collect();
        found.push(*(if op.select_last { best.last() } else { best.first() }).unwrap() as i64);
    }
    if !op.keep_dims {
        shape.remove(axis);
    }
    vec![Tensor::new(shape, &found).unwrap()]
}

fn top_k(operator: &dyn Operator, inputs: &[Option<Tensor>]) -> Vec<Tensor> {
    let (op, from) = (op::<TopK>(operator), input(inputs, 0));
    let axis = front(op.axis, from.shape().len());
    let values = reals(from);
    let mut shape = from.shape().to_vec();
    shape[axis] = op.count.as_fixed().unwrap() as usize;
    let mut places = Vec::new();
    let best = pick(from, &shape, |index| {
        let mut lane = lane(from.shape(), axis, index);
        // Elements are taken out one by one, the best of those left each time.
        for _ in 0..index[axis] {
            let best = best(&lane, &values, op.largest);
            lane.remove(best);
        }
        lane[best(&lane, &values, op.largest)]
    });
    for index in indices(&shape) {
        let whole = lane(from.shape(), axis, &index);
        let mut left = whole.clone();
        for _ in 0..index[axis] {
            let best = self::best(&left, &values, op.largest);
            left.remove(best);
        }
        let taken = left[self::best(&left, &values, op.largest)];
        places.push(whole.iter().position(|&at| at == taken).unwrap() as i64);
    }
    vec![best, Tensor::new(shape, &places).unwrap()]
}

/// The first of the best in `lane`; NaN is larger than every number.
fn best(lane: &[usize], values: &[f64], largest: bool) -> usize {
    let above = |a: f64, b: f64| a > b || (a.is_nan() && !b.is_nan());
    let mut best = 0;
    for place in 1..lane.len() {
        let (new, old) = (values[lane[place]], values[lane[best]]);
        if if largest { above(new, old) } else { above(old, new) } {
            best = place;
        }
    }
    best
}

fn tensor_scatter(operator: &dyn Operator, inputs: &[Option<Tensor>]) -> Vec<Tensor> {
    let (own, cache, update) = (op::<TensorScatter>(operator), input(inputs, 0), input(inputs, 1));
    let axis = front(own.axis, cache.shape().len());
    let starts = inputs.get(2).and_then(Option::as_ref).map(|starts| starts.to_i64().unwrap());
    let mut values = cache.as_slice::<f32>().unwrap().to_vec();
    for index in indices(update.shape()) {
        let mut to = index.clone();
        to[axis] += starts.as_ref().map_or(0, |starts| starts[index[0]]) as usize;
        if own.circular {
            to[axis] %= cache.shape()[axis];
        }
        values[flat(cache.shape(), &to)] = update.as_slice::<f32>().unwrap()[flat(update.shape(), &index)];
    }
    vec![Tensor::new(cache.shape(), &values).unwrap()]
}
