//! Operators that move elements and change none.

use gristmill::{
    DType, Tensor,
    testing::{
        op::Operator,
        ops::{
            index::gather::{Gather, OutOfRange},
            moves::{
                bit_cast::BitCast,
                center_crop_pad::CenterCropPad,
                concat::Concat,
                expand::Expand,
                pad::{Pad, PadMode},
                reshape::Reshape,
                reverse_sequence::ReverseSequence,
                slice::Slice,
                split::{Parts, Split},
                tile::Tile,
                transpose::Transpose,
            },
            pool::max_unpool::MaxUnpool,
        },
        shape::Dim,
    },
};

use super::{Oracle, flat, indices, input, op, pick};

/// The operators that this file speaks for.
pub const ORACLES: &[(&str, Oracle)] = &[
    ("BitCast", bit_cast),
    ("CenterCropPad", center_crop_pad),
    ("Concat", concat),
    ("Dropout", dropout),
    ("Expand", expand),
    ("Gather", gather),
    ("Identity", identity),
    ("MaxUnpool", max_unpool),
    ("Pad", pad),
    ("Reshape", reshape),
    ("ReverseSequence", reverse_sequence),
    ("Slice", slice),
    ("Split", split),
    ("Tile", tile),
    ("Transpose", transpose),
    ("Where", choose),
];

fn transpose(operator: &dyn Operator, inputs: &[Option<Tensor>]) -> Vec<Tensor> {
    let from = input(inputs, 0);
    let order = op::<Transpose>(operator).order(from.shape().len()).unwrap();
    let shape: Vec<usize> = order.iter().map(|&axis| from.shape()[axis]).collect();
    let output = pick(from, &shape, |index| {
        let mut own = vec![0; index.len()];
        for (position, &axis) in order.iter().enumerate() {
            own[axis] = index[position];
        }
        flat(from.shape(), &own)
    });
    vec![output]
}

fn reshape(operator: &dyn Operator, inputs: &[Option<Tensor>]) -> Vec<Tensor> {
    let from = input(inputs, 0);
    let asked = &op::<Reshape>(operator).shape;
    let mut shape: Vec<usize> = Vec::new();
    for (axis, dim) in asked.iter().enumerate() {
        shape.push(match dim.as_fixed().unwrap() {
            0 => from.shape()[axis],
            -1 => usize::MAX,
            size => size as usize,
        });
    }
    let known: usize = shape.iter().filter(|&&size| size != usize::MAX).product();
    for size in shape.iter_mut().filter(|size| **size == usize::MAX) {
        *size = from.len() / known;
    }
    vec![from.clone().reshape(shape).unwrap()]
}

fn identity(_: &dyn Operator, inputs: &[Option<Tensor>]) -> Vec<Tensor> {
    vec![input(inputs, 0).clone()]
}

/// Where `index` of an axis of that size points; negative ones count from the end.
fn front(index: i64, size: usize) -> usize {
    let front = if index < 0 { index + size as i64 } else { index };
    assert!((0..size as i64).contains(&front), "index {index} of {size}");
    front as usize
}

pub(super) fn gather(operator: &dyn Operator, inputs: &[Option<Tensor>]) -> Vec<Tensor> {
    let op = op::<Gather>(operator);
    let (data, indices) = (input(inputs, 0), input(inputs, 1));
    let axis = front(op.axis, data.shape().len());
    let (rank, numbers) = (indices.shape().len(), indices.to_i64().unwrap());
    let shape = [&data.shape()[..axis], indices.shape(), &data.shape()[axis + 1..]].concat();
    let output = pick(data, &shape, |index| {
        let asked = numbers[flat(indices.shape(), &index[axis..axis + rank])];
        let size = data.shape()[axis];
        let row = match op.outside {
            OutOfRange::Row(row) if asked < 0 || asked >= size as i64 => row,
            _ => front(asked, size),
        };
        let own = [&index[..axis], &[row], &index[axis + rank..]].concat();
        flat(data.shape(), &own)
    });
    vec![output]
}

/// The positions that NumPy's `start:end:step` names.
fn positions(start: i64, end: i64, step: i64, size: usize) -> Vec<usize> {
    let size = size as i128;
    let (mut at, mut end, step) = (i128::from(start), i128::from(end), i128::from(step));
    if at < 0 {
        at += size;
    }
    if end < 0 {
        end += size;
    }
    at = if step > 0 { at.max(0) } else { at.min(size - 1) };
    let mut positions = Vec::new();
    while if step > 0 { at < end.min(size) } else { at > end && at >= 0 } {
        positions.push(at as usize);
        at += step;
    }
    positions
}

fn slice(operator: &dyn Operator, inputs: &[Option<Tensor>]) -> Vec<Tensor> {
    let from = input(inputs, 0);
    let mut taken: Vec<Vec<usize>> = from.shape().iter().map(|&size| (0..size).collect()).collect();
    for part in &op::<Slice>(operator).parts {
        let (start, end) = (part.start.as_fixed().unwrap(), part.end.as_fixed().unwrap());
        taken[part.axis] = positions(start, end, part.step, from.shape()[part.axis]);
    }
    let shape: Vec<usize> = taken.iter().map(Vec::len).collect();
    let output = pick(from, &shape, |index| {
        let own: Vec<usize> = index.iter().zip(&taken).map(|(&index, taken)| taken[index]).collect();
        flat(from.shape(), &own)
    });
    vec![output]
}

fn concat(operator: &dyn Operator, inputs: &[Option<Tensor>]) -> Vec<Tensor> {
    let first = input(inputs, 0);
    let axis = front(op::<Concat>(operator).axis, first.shape().len());
    let mut shape = first.shape().to_vec();
    shape[axis] = inputs.iter().flatten().map(|tensor| tensor.shape()[axis]).sum();
    let mut bytes = Vec::new();
    for mut index in indices(&shape) {
        let mut own = inputs.iter().flatten();
        let from = loop {
            let tensor = own.next().unwrap();
            match index[axis].checked_sub(tensor.shape()[axis]) {
                Some(rest) => index[axis] = rest,
                None => break tensor,
            }
        };
        let (size, at) = (from.dtype().size(), flat(from.shape(), &index));
        bytes.extend_from_slice(&from.bytes()[at * size..(at + 1) * size]);
    }
    vec![Tensor::from_bytes(first.dtype(), shape, &bytes).unwrap()]
}

fn split(operator: &dyn Operator, inputs: &[Option<Tensor>]) -> Vec<Tensor> {
    let (op, from) = (op::<Split>(operator), input(inputs, 0));
    let axis = front(op.axis, from.shape().len());
    let size = from.shape()[axis];
    let sizes: Vec<usize> = match &op.parts {
        Parts::Sizes(sizes) => sizes.iter().map(|size| size.as_fixed().unwrap() as usize).collect(),
        Parts::Equal(count) | Parts::AboutEqual(count) => {
            let part = size.div_ceil(*count);
            (0..*count).map(|index| part.min(size - index * part)).collect()
        }
    };
    let mut start = 0;
    let mut outputs = Vec::new();
    for size in sizes {
        let mut shape = from.shape().to_vec();
        shape[axis] = size;
        outputs.push(pick(from, &shape, |index| {
            let mut own = index.to_vec();
            own[axis] += start;
            flat(from.shape(), &own)
        }));
        start += size;
    }
    outputs
}

/// The position in `from` of an index of a tensor that it is broadcast to.
fn broadcast(from: &[usize], index: &[usize]) -> usize {
    let own = &index[index.len() - from.len()..];
    let own: Vec<usize> = own.iter().zip(from).map(|(&index, &size)| if size == 1 { 0 } else { index }).collect();
    flat(from, &own)
}

/// The shape that tensors of these shapes are broadcast to.
fn common(shapes: &[&[usize]]) -> Vec<usize> {
    let rank = shapes.iter().map(|shape| shape.len()).max().unwrap();
    let size = |axis: usize| {
        let own = shapes.iter().filter_map(|shape| (axis + shape.len()).checked_sub(rank).map(|own| shape[own]));
        own.fold(1, |size, own| if own == 1 { size } else { own })
    };
    (0..rank).map(size).collect()
}

fn expand(operator: &dyn Operator, inputs: &[Option<Tensor>]) -> Vec<Tensor> {
    let from = input(inputs, 0);
    let asked: Vec<usize> = op::<Expand>(operator).shape.iter().map(|dim| dim.as_fixed().unwrap() as usize).collect();
    vec![pick(from, &common(&[from.shape(), &asked]), |index| broadcast(from.shape(), index))]
}

fn tile(operator: &dyn Operator, inputs: &[Option<Tensor>]) -> Vec<Tensor> {
    let from = input(inputs, 0);
    let repeats = op::<Tile>(operator).repeats.iter().map(|dim| dim.as_fixed().unwrap() as usize);
    let shape: Vec<usize> = from.shape().iter().zip(repeats).map(|(size, repeats)| size * repeats).collect();
    let output = pick(from, &shape, |index| {
        let own: Vec<usize> = index.iter().zip(from.shape()).map(|(index, size)| index % size).collect();
        flat(from.shape(), &own)
    });
    vec![output]
}

fn pad(operator: &dyn Operator, inputs: &[Option<Tensor>]) -> Vec<Tensor> {
    let (op, from) = (op::<Pad>(operator), input(inputs, 0));
    let number = |dim: &Dim| dim.as_fixed().unwrap();
    let size = from.dtype().size();
    let value = op.value.as_ref().map_or_else(|| vec![0; size], |value| value.bytes().to_vec());
    let shape: Vec<usize> = (0..from.shape().len())
        .map(|axis| (from.shape()[axis] as i64 + number(&op.before[axis]) + number(&op.behind[axis])) as usize)
        .collect();
    let mut bytes = Vec::new();
    for index in indices(&shape) {
        let mut own = Vec::new();
        for (axis, &index) in index.iter().enumerate() {
            let size = from.shape()[axis] as i64;
            let mut at = index as i64 - number(&op.before[axis]);
            while op.mode != PadMode::Constant && !(0..size).contains(&at) {
                at = match op.mode {
                    PadMode::Edge if at < 0 => 0,
                    PadMode::Edge => size - 1,
                    PadMode::Wrap if at < 0 => at + size,
                    PadMode::Wrap => at - size,
                    _ if size == 1 => 0,
                    _ if at < 0 => -at,
                    _ => 2 * (size - 1) - at,
                };
            }
            own.push(at);
        }
        let inside = own.iter().zip(from.shape()).all(|(&at, &size)| (0..size as i64).contains(&at));
        if inside {
            let own: Vec<usize> = own.into_iter().map(|at| at as usize).collect();
            let at = flat(from.shape(), &own);
            bytes.extend_from_slice(&from.bytes()[at * size..(at + 1) * size]);
        } else {
            bytes.extend_from_slice(&value);
        }
    }
    vec![Tensor::from_bytes(from.dtype(), shape, &bytes).unwrap()]
}

fn choose(_: &dyn Operator, inputs: &[Option<Tensor>]) -> Vec<Tensor> {
    let (condition, yes, no) = (input(inputs, 0), input(inputs, 1), input(inputs, 2));
    let shape = common(&[condition.shape(), yes.shape(), no.shape()]);
    let size = yes.dtype().size();
    let mut bytes = Vec::new();
    for index in indices(&shape) {
        let from = if condition.bytes()[broadcast(condition.shape(), &index)] == 1 { yes } else { no };
        let at = broadcast(from.shape(), &index);
        bytes.extend_from_slice(&from.bytes()[at * size..(at + 1) * size]);
    }
    vec![Tensor::from_bytes(yes.dtype(), shape, &bytes).unwrap()]
}

/// As [`pick`], with zeros where there is no position.
fn pick_or_zero(from: &Tensor, shape: &[usize], at: impl Fn(&[usize]) -> Option<usize>) -> Tensor {
    let size = from.dtype().size();
    let mut bytes = Vec::new();
    for index in indices(shape) {
        match at(&index) {
            Some(position) => bytes.extend_from_slice(&from.bytes()[position * size..(position + 1) * size]),
            None => bytes.resize(bytes.len() + size, 0),
        }
    }
    Tensor::from_bytes(from.dtype(), shape, &bytes).unwrap()
}

fn center_crop_pad(operator: &dyn Operator, inputs: &[Option<Tensor>]) -> Vec<Tensor> {
    let (op, from) = (op::<CenterCropPad>(operator), input(inputs, 0));
    let rank = from.shape().len() as i64;
    let mut shape = from.shape().to_vec();
    let axes = op.axes.clone().unwrap_or_else(|| (0..rank).collect());
    for (axis, size) in axes.iter().zip(&op.sizes) {
        shape[((axis + rank) % rank) as usize] = size.as_fixed().unwrap() as usize;
    }
    let place = |axis: usize, at: usize| {
        let (old, new) = (from.shape()[axis] as i64, shape[axis] as i64);
        let own = at as i64 + if old > new { (old - new) / 2 } else { -((new - old) / 2) };
        (own >= 0 && own < old).then_some(own as usize)
    };
    let at = |index: &[usize]| -> Option<usize> {
        let own: Option<Vec<usize>> = index.iter().enumerate().map(|(axis, &at)| place(axis, at)).collect();
        Some(flat(from.shape(), &own?))
    };
    vec![pick_or_zero(from, &shape, at)]
}

fn reverse_sequence(operator: &dyn Operator, inputs: &[Option<Tensor>]) -> Vec<Tensor> {
    let (op, from) = (op::<ReverseSequence>(operator), input(inputs, 0));
    let lengths = input(inputs, 1).to_i64().unwrap();
    vec![pick(from, from.shape(), |index| {
        let (sequence, step) = if op.sequences_first { (0, 1) } else { (1, 0) };
        let (length, mut own) = (lengths[index[sequence]] as usize, index.to_vec());
        if own[step] < length {
            own[step] = length - own[step] - 1;
        }
        flat(from.shape(), &own)
    })]
}

fn max_unpool(operator: &dyn Operator, inputs: &[Option<Tensor>]) -> Vec<Tensor> {
    let (op, from, places) = (op::<MaxUnpool>(operator), input(inputs, 0), input(inputs, 1).to_i64().unwrap());
    let mut pooled = from.shape().to_vec();
    for axis in 0..op.kernel.len() {
        let padding = op.pads[axis].0 + op.pads[axis].1;
        pooled[axis + 2] = (pooled[axis + 2] - 1) * op.strides[axis] + op.kernel[axis] - padding;
    }
    let shape: Vec<usize> = match &op.shape {
        Some(shape) => shape.iter().map(|dim| dim.as_fixed().unwrap() as usize).collect(),
        None => pooled.clone(),
    };
    let at = |index: &[usize]| {
        let inside = index.iter().zip(&pooled).all(|(at, size)| at < size);
        inside.then(|| places.iter().position(|&place| place as usize == flat(&pooled, index)))?
    };
    vec![pick_or_zero(from, &shape, at)]
}

fn bit_cast(operator: &dyn Operator, inputs: &[Option<Tensor>]) -> Vec<Tensor> {
    let (from, to) = (input(inputs, 0), op::<BitCast>(operator).to);
    let bits = |byte: u8| match to {
        // The sign is that of the highest of the bits.
        DType::Small(small) if small.is_integer() => {
            let (count, low) = (1i16 << small.bits(), i16::from(byte) & ((1 << small.bits()) - 1));
            let is_signed = small.to_string().starts_with('i');
            (if is_signed && low >= count / 2 { low - count } else { low }) as u8
        }
        _ => byte,
    };
    let bytes: Vec<u8> = from.bytes().iter().map(|&byte| bits(byte)).collect();
    vec![Tensor::from_bytes(to, from.shape(), &bytes).unwrap()]
}

fn dropout(_: &dyn Operator, inputs: &[Option<Tensor>]) -> Vec<Tensor> {
    let x = input(inputs, 0);
    vec![x.clone(), Tensor::from_bools(x.shape(), &vec![true; x.len()]).unwrap()]
}
