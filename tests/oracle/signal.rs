//! Signals: transforms as the sums that define them.

use gristmill::{
    DType, Tensor,
    testing::{
        op::Operator,
        ops::{
            conv::deform::DeformConv,
            pool::window::Pads,
            signal::{
                dft::Dft,
                mel_weight_matrix::MelWeightMatrix,
                stft::Stft,
                window::{Window, WindowForm},
            },
        },
    },
};

use super::{
    Oracle, flat, indices, input, op,
    pointwise::{floats, of_floats},
};

/// The operators that this file speaks for.
pub const ORACLES: &[(&str, Oracle)] = &[
    ("BlackmanWindow", window),
    ("DFT", dft),
    ("DeformConv", deform_conv),
    ("HammingWindow", window),
    ("HannWindow", window),
    ("MelWeightMatrix", mel_weight_matrix),
    ("STFT", stft),
];

/// Numbers of any numeric type, truncated to it.
fn of_numbers(dtype: DType, shape: &[usize], values: &[f64]) -> Tensor {
    match dtype {
        DType::I32 => Tensor::new(shape, &values.iter().map(|&x| x as i32).collect::<Vec<_>>()).unwrap(),
        DType::I8 => Tensor::new(shape, &values.iter().map(|&x| x as i8).collect::<Vec<_>>()).unwrap(),
        _ => of_floats(dtype, shape, values),
    }
}

fn window(operator: &dyn Operator, _: &[Option<Tensor>]) -> Vec<Tensor> {
    let op = op::<Window>(operator);
    let size = op.size.as_fixed().unwrap() as usize;
    let around = size as f64 - f64::from(u8::from(!op.periodic));
    let weight = |at: usize| {
        let half = std::f64::consts::PI * at as f64 / around;
        let square = half.sin() * half.sin();
        match op.form {
            WindowForm::Hann => square,
            WindowForm::Hamming => 4.0 / 46.0 + 42.0 / 46.0 * square,
            WindowForm::Blackman => 0.42 - 0.5 * (2.0 * half).cos() + 0.08 * (4.0 * half).cos(),
        }
    };
    vec![of_numbers(op.dtype, &[size], &(0..size).map(weight).collect::<Vec<_>>())]
}

/// The sum of numbers, each turned by its position times `frequency`.
fn turned(numbers: &[[f64; 2]], frequency: usize, direction: f64) -> [f64; 2] {
    let mut sum = [0.0; 2];
    for (at, [real, imaginary]) in numbers.iter().enumerate() {
        let turn = (at * frequency % numbers.len()) as f64 / numbers.len() as f64;
        let (sin, cos) = (direction * std::f64::consts::TAU * turn).sin_cos();
        sum = [sum[0] + real * cos - imaginary * sin, sum[1] + real * sin + imaginary * cos];
    }
    sum
}

fn dft(operator: &dyn Operator, inputs: &[Option<Tensor>]) -> Vec<Tensor> {
    let (op, x) = (op::<Dft>(operator), input(inputs, 0));
    let (values, rank) = (floats(x), x.shape().len());
    let axis = (op.axis + if op.axis < 0 { rank as i64 } else { 0 }) as usize;
    let (size, parts) = (x.shape()[axis], x.shape()[rank - 1]);
    let to_real = op.inverse && op.onesided;
    let given = op.length.as_ref().map(|length| length.as_fixed().unwrap() as usize);
    let length = given.unwrap_or(if to_real { 2 * (size - 1) } else { size });
    let mut shape = x.shape().to_vec();
    shape[axis] = if op.onesided && !op.inverse { length / 2 + 1 } else { length };
    shape[rank - 1] = if to_real { 1 } else { 2 };
    let at = |index: Vec<usize>| {
        let number = |place: usize| {
            let part = |part: usize| {
                let mut own = index.clone();
                (own[axis], own[rank - 1]) = (place, part);
                if part < parts && place < size { values[flat(x.shape(), &own)] } else { 0.0 }
            };
            [part(0), part(1)]
        };
        let list: Vec<[f64; 2]> = (0..length)
            .map(|place| match to_real {
                false => number(place),
                true if place == 0 || 2 * place == length => [number(place)[0], 0.0],
                true if 2 * place < length => number(place),
                true => [number(length - place)[0], -number(length - place)[1]],
            })
            .collect();
        let (direction, scale) = if op.inverse { (1.0, 1.0 / length as f64) } else { (-1.0, 1.0) };
        turned(&list, index[axis], direction)[index[rank - 1]] * scale
    };
    vec![of_floats(x.dtype(), &shape, &indices(&shape).map(at).collect::<Vec<_>>())]
}

fn stft(operator: &dyn Operator, inputs: &[Option<Tensor>]) -> Vec<Tensor> {
    let (op, x) = (op::<Stft>(operator), input(inputs, 0));
    let optional = |index: usize| inputs.get(index).and_then(Option::as_ref);
    let whole = |tensor: &Tensor| tensor.to_i64().unwrap()[0] as usize;
    let (values, step, window) = (floats(x), whole(input(inputs, 1)), optional(2).map(floats));
    let length = optional(3).map_or_else(|| window.as_ref().unwrap().len(), whole);
    let parts = x.shape().get(2).copied().unwrap_or(1);
    let frames = (0..x.shape()[1]).step_by(step).filter(|start| start + length <= x.shape()[1]).count();
    let shape = [x.shape()[0], frames, if op.onesided { length / 2 + 1 } else { length }, 2];
    let at = |index: Vec<usize>| {
        let sample = |at: usize| {
            let place = (index[0] * x.shape()[1] + index[1] * step + at) * parts;
            let weight = window.as_ref().map_or(1.0, |window| window[at]);
            [weight * values[place], if parts == 2 { weight * values[place + 1] } else { 0.0 }]
        };
        turned(&(0..length).map(sample).collect::<Vec<_>>(), index[2], -1.0)[index[3]]
    };
    vec![of_floats(x.dtype(), &shape, &indices(&shape).map(at).collect::<Vec<_>>())]
}

/// A mel for each unit of the logarithm.
const SCALE: f64 = 2595.0 / std::f64::consts::LN_10;

fn mel_weight_matrix(operator: &dyn Operator, _: &[Option<Tensor>]) -> Vec<Tensor> {
    let op = op::<MelWeightMatrix>(operator);
    let mel = |frequency: f64| SCALE * (1.0 + frequency / 700.0).ln();
    let width = (mel(op.upper) - mel(op.lower)) / (op.bins as f64 + 2.0);
    let row = |bin: usize| {
        let frequency = 700.0 * (((mel(op.lower) + bin as f64 * width) / SCALE).exp() - 1.0);
        ((op.length as f64 + 1.0) * frequency / op.rate as f64).floor()
    };
    let shape = [op.length / 2 + 1, op.bins];
    let at = |index: Vec<usize>| {
        let (at, start, top, end) = (index[0] as f64, row(index[1]), row(index[1] + 1), row(index[1] + 2));
        match () {
            () if at == top => 1.0,
            () if at > start && at < top => (at - start) / (top - start),
            () if at > top && at < end => (end - at) / (end - top),
            () => 0.0,
        }
    };
    vec![of_numbers(op.dtype, &shape, &indices(&shape).map(at).collect::<Vec<_>>())]
}

fn deform_conv(operator: &dyn Operator, inputs: &[Option<Tensor>]) -> Vec<Tensor> {
    let op = op::<DeformConv>(operator);
    let optional = |index: usize| inputs.get(index).and_then(Option::as_ref).map(floats);
    let (x, weights, offsets) = (input(inputs, 0), input(inputs, 1), input(inputs, 2));
    let (values, filters, moves) = (floats(x), floats(weights), floats(offsets));
    let (bias, mask) = (optional(3), optional(4));
    let Pads::Explicit(pads) = &op.pads else { panic!("the cases have explicit pads") };
    let (channels, made, out) = (x.shape()[1], weights.shape()[0], &offsets.shape()[2..]);
    let shape = [x.shape()[0], made, out[0], out[1]];
    let taps = op.kernel[0] * op.kernel[1];
    let at = |index: Vec<usize>| {
        let group = index[1] / (made / op.groups);
        let mut sum = bias.as_ref().map_or(0.0, |bias| bias[index[1]]);
        for own in indices(&[channels / op.groups, op.kernel[0], op.kernel[1]]) {
            let channel = group * (channels / op.groups) + own[0];
            let row = channel / (channels / op.offset_groups) * taps + own[1] * op.kernel[1] + own[2];
            let moved = |axis: usize| {
                let start = (index[2 + axis] * op.strides[axis] + own[1 + axis] * op.dilations[axis]) as f64;
                let place = [index[0], row * 2 + axis, index[2], index[3]];
                start - pads[axis].0 as f64 + moves[flat(offsets.shape(), &place)]
            };
            let (y, x_at) = (moved(0), moved(1));
            let near = |at: usize, place: f64| (1.0 - (at as f64 - place).abs()).max(0.0);
            let read: f64 = indices(&x.shape()[2..])
                .map(|pixel| {
                    let value = values[flat(x.shape(), &[index[0], channel, pixel[0], pixel[1]])];
                    value * near(pixel[0], y) * near(pixel[1], x_at)
                })
                .sum();
            let factor = mask.as_ref().map_or(1.0, |mask| {
                mask[flat(&[shape[0], op.offset_groups * taps, out[0], out[1]], &[index[0], row, index[2], index[3]])]
            });
            let weight = filters[flat(weights.shape(), &[index[1], own[0], own[1], own[2]])];
            sum += weight * factor * read;
        }
        sum
    };
    vec![of_floats(x.dtype(), &shape, &indices(&shape).map(at).collect::<Vec<_>>())]
}
