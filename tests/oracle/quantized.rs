//! Numbers as integers with a scale, and their products, in wide integers.

use gristmill::{
    DType, SmallType, Tensor,
    testing::{
        kernels::{Rounding, ToSmall},
        op::Operator,
        ops::quantized::{
            conv::QuantizedConv, dequantize::Dequantize, matmul::QuantizedMatMul, quantize::Quantize,
            scaled::ScaledIntegerProduct,
        },
    },
};

use super::{
    Oracle, cast, flat, indices, input, op,
    pointwise::{floats, integers, of_floats, of_integers, position},
    products::dressed,
};

/// The operators that this file speaks for.
pub const ORACLES: &[(&str, Oracle)] = &[
    ("ConvInteger", conv),
    ("DequantizeLinear", dequantize),
    ("DynamicQuantizeLinear", dynamic),
    ("MatMulInteger", matmul),
    ("ScaledIntegerProduct", scaled),
    ("QLinearConv", conv),
    ("QLinearMatMul", matmul),
    ("QuantizeLinear", quantize),
];

fn optional(inputs: &[Option<Tensor>], index: usize) -> Option<&Tensor> {
    inputs.get(index).and_then(Option::as_ref)
}

fn limits(dtype: DType) -> (f64, f64) {
    match dtype {
        DType::I8 => (-128.0, 127.0),
        DType::U8 => (0.0, 255.0),
        DType::I16 => (-32768.0, 32767.0),
        DType::U16 => (0.0, 65535.0),
        other => panic!("{other} is no quantized type"),
    }
}

/// Rounded, halves to even, and limited to the type.
fn rounded(dtype: DType, x: f64, zero: i128) -> i128 {
    let (least, most) = limits(dtype);
    (x.round_ties_even() + zero as f64).clamp(least, most) as i128
}

/// The position of an element's scale.
fn scale_at(shape: &[usize], index: &[usize], axis: i64, block: usize) -> usize {
    let axis = (axis + if axis < 0 { index.len() as i64 } else { 0 }) as usize;
    match shape {
        _ if shape.iter().product::<usize>() == 1 && block == 0 => 0,
        [_] if block == 0 => index[axis],
        _ => {
            let mut own = index.to_vec();
            own[axis] /= block;
            flat(shape, &own)
        }
    }
}

/// The elements of a tensor of numbers of any type.
fn reals(tensor: &Tensor) -> Vec<f64> {
    match tensor.dtype() {
        DType::Small(small) => tensor.bytes().iter().map(|&byte| cast::number(small, byte)).collect(),
        dtype if dtype.is_float() => floats(tensor),
        _ => integers(tensor).into_iter().map(|x| x as f64).collect(),
    }
}

/// A quotient in a small type.
fn small(op: &Quantize, to: SmallType, quotient: f32, zero: Option<f64>) -> u8 {
    if !to.is_integer() {
        let quotient = if to.bits() == 8 { quotient } else { zero.map_or(quotient, |zero| quotient + zero as f32) };
        return cast::nearest(ToSmall { to, saturate: op.saturate, rounding: Rounding::Up }, quotient.into());
    }
    let (least, most) = match to {
        SmallType::I4 => (-8.0, 7.0),
        SmallType::U4 => (0.0, 15.0),
        SmallType::I2 => (-2.0, 1.0),
        _ => (0.0, 3.0),
    };
    let whole = (f64::from(quotient).round_ties_even() + zero.unwrap_or(0.0)).clamp(least, most);
    (whole as i8).cast_unsigned()
}

fn quantize(operator: &dyn Operator, inputs: &[Option<Tensor>]) -> Vec<Tensor> {
    let (op, x, scale) = (op::<Quantize>(operator), input(inputs, 0), input(inputs, 1));
    let (values, scales) = (floats(x), floats(scale));
    if let DType::Small(to) = op.to {
        let zeros = optional(inputs, 2).map(reals);
        let of = |index: Vec<usize>| {
            let at = scale_at(scale.shape(), &index, op.axis, op.block);
            let quotient = values[flat(x.shape(), &index)] as f32 / scales[at] as f32;
            small(op, to, quotient, zeros.as_ref().map(|zeros| zeros[at]))
        };
        let bytes: Vec<u8> = indices(x.shape()).map(of).collect();
        return vec![Tensor::from_bytes(op.to, x.shape(), &bytes).unwrap()];
    }
    let zeros = optional(inputs, 2).map(integers);
    let of = |index: Vec<usize>| {
        let at = scale_at(scale.shape(), &index, op.axis, op.block);
        let quotient = values[flat(x.shape(), &index)] as f32 / scales[at] as f32;
        rounded(op.to, quotient.into(), zeros.as_ref().map_or(0, |zeros| zeros[at]))
    };
    vec![of_integers(op.to, x.shape(), &indices(x.shape()).map(of).collect::<Vec<_>>())]
}

fn dequantize(operator: &dyn Operator, inputs: &[Option<Tensor>]) -> Vec<Tensor> {
    let (op, x, scale) = (op::<Dequantize>(operator), input(inputs, 0), input(inputs, 1));
    let (values, scales) = (reals(x), reals(scale));
    let zeros = optional(inputs, 2).map(reals);
    let of = |index: Vec<usize>| {
        let at = scale_at(scale.shape(), &index, op.axis, op.block);
        let zero = zeros.as_ref().map_or(0.0, |zeros| zeros[at]);
        f64::from((values[flat(x.shape(), &index)] - zero) as f32 * scales[at] as f32)
    };
    vec![of_floats(op.to, x.shape(), &indices(x.shape()).map(of).collect::<Vec<_>>())]
}

fn dynamic(_: &dyn Operator, inputs: &[Option<Tensor>]) -> Vec<Tensor> {
    let x = input(inputs, 0);
    let values: Vec<f32> = x.as_slice().unwrap().to_vec();
    let (least, most) = (values.iter().copied().fold(0.0, f32::min), values.iter().copied().fold(0.0, f32::max));
    let scale = if least == most { 1.0 } else { (most - least) / 255.0 };
    let zero = rounded(DType::U8, f64::from(-least / scale), 0);
    let bytes: Vec<i128> = values.iter().map(|x| rounded(DType::U8, f64::from(x / scale), zero)).collect();
    vec![of_integers(DType::U8, x.shape(), &bytes), Tensor::scalar(scale), of_integers(DType::U8, &[], &[zero])]
}

/// One of the numbers of an operand that has one for all, or one for each group.
fn group<T: Copy>(all: &[T], at: usize) -> T {
    if all.len() == 1 { all[0] } else { all[at] }
}

fn sums(
    dtype: DType,
    shape: &[usize],
    scaled: Option<(&Tensor, &[f64], &[f64], i128)>,
    of: impl Fn(&[usize]) -> (i128, usize, usize),
) -> Tensor {
    let values = indices(shape).map(|index| {
        let (sum, left, right) = of(&index);
        match scaled {
            None => sum,
            Some((scale, a, b, zero)) => {
                let scale = group(a, left) as f32 * group(b, right) as f32 / floats(scale)[0] as f32;
                rounded(dtype, f64::from(sum as f32 * scale), zero)
            }
        }
    });
    of_integers(dtype, shape, &values.collect::<Vec<_>>())
}

fn matmul(operator: &dyn Operator, inputs: &[Option<Tensor>]) -> Vec<Tensor> {
    let scaled = op::<QuantizedMatMul>(operator).scaled;
    let [b, a_zero, b_zero] = if scaled { [3, 2, 5] } else { [1, 2, 3] };
    let (a, b) = (input(inputs, 0), input(inputs, b));
    let zeros = |index: usize| optional(inputs, index).map_or_else(|| vec![0], integers);
    let (za, zb, xs, ys) = (zeros(a_zero), zeros(b_zero), integers(a), integers(b));
    let (ra, rb) = (a.shape().len(), b.shape().len());
    let (k, rank) = (a.shape()[ra - 1], ra.max(rb));
    let dim = |tensor: &Tensor, axis: usize| {
        (axis + tensor.shape().len()).checked_sub(rank).map_or(1, |axis| tensor.shape()[axis])
    };
    let mut shape: Vec<usize> = (0..rank - 2).map(|axis| dim(a, axis).max(dim(b, axis))).collect();
    shape.extend([a.shape()[ra - 2], b.shape()[rb - 1]]);
    let of = |index: &[usize]| {
        let (row, column) = (index[rank - 2], index[rank - 1]);
        let product = |at: usize| {
            let (mut left, mut right) = (index.to_vec(), index.to_vec());
            (left[rank - 1], right[rank - 2]) = (at, at);
            let (x, y) = (xs[position(a.shape(), &left)], ys[position(b.shape(), &right)]);
            (x - group(&za, row)) * (y - group(&zb, column))
        };
        ((0..k).map(product).sum(), row, column)
    };
    if !scaled {
        return vec![sums(DType::I32, &shape, None, of)];
    }
    let (sa, sb, zero) = (floats(input(inputs, 1)), floats(input(inputs, 4)), input(inputs, 7));
    vec![sums(zero.dtype(), &shape, Some((input(inputs, 6), &sa, &sb, integers(zero)[0])), of)]
}

fn scaled(operator: &dyn Operator, inputs: &[Option<Tensor>]) -> Vec<Tensor> {
    let ScaledIntegerProduct { activation, layer_norm } = op::<ScaledIntegerProduct>(operator);
    let sums = matmul(&QuantizedMatMul { scaled: false }, &inputs[..4]).remove(0);
    let columns = *sums.shape().last().expect("a product has columns");
    let (scales, all) = (floats(input(inputs, 4)), integers(&sums));
    let number = |row: usize, column: usize| {
        let scale = group(&scales, column) as f32;
        f64::from(all[row * columns + column] as f32 * scale)
    };
    let rows = sums.shape()[..sums.shape().len() - 1].iter().product();
    dressed(sums.shape(), rows, number, *activation, *layer_norm, |index| optional(inputs, 5 + index))
}

fn conv(operator: &dyn Operator, inputs: &[Option<Tensor>]) -> Vec<Tensor> {
    let QuantizedConv { conv, scaled } = op::<QuantizedConv>(operator);
    let [w, x_zero, w_zero] = if *scaled { [3, 2, 5] } else { [1, 2, 3] };
    let (x, w) = (input(inputs, 0), input(inputs, w));
    let zeros = |index: usize| optional(inputs, index).map_or_else(|| vec![0], integers);
    let (zx, zw, xs, ws) = (zeros(x_zero), zeros(w_zero), integers(x), integers(w));
    let rank = conv.kernel.len();
    let found: Vec<_> =
        (0..rank).map(|axis| super::windows::windows(&conv.window(), axis, x.shape()[axis + 2])).collect();
    let mut shape = vec![x.shape()[0], w.shape()[0]];
    shape.extend(found.iter().map(|axis| axis.0));
    let bias = optional(inputs, 8).map(integers);
    let of = |index: &[usize]| {
        let group_of = index[1] / (w.shape()[0] / conv.groups);
        let mut sum = bias.as_ref().map_or(0, |bias| bias[index[1]]);
        for channel in 0..w.shape()[1] {
            for taps in indices(&conv.kernel) {
                let mut from = vec![index[0], group_of * w.shape()[1] + channel];
                from.extend((0..rank).map(|axis| {
                    (index[axis + 2] * conv.strides[axis] + taps[axis] * conv.dilations[axis])
                        .wrapping_sub(found[axis].1)
                }));
                let mut weight = vec![index[1], channel];
                weight.extend(taps);
                if from.iter().zip(x.shape()).all(|(at, size)| at < size) {
                    let number = xs[flat(x.shape(), &from)] - zx[0];
                    sum += number * (ws[flat(w.shape(), &weight)] - group(&zw, index[1]));
                }
            }
        }
        (sum, 0, index[1])
    };
    if !scaled {
        return vec![sums(DType::I32, &shape, None, of)];
    }
    let (sx, sw, zero) = (floats(input(inputs, 1)), floats(input(inputs, 4)), input(inputs, 7));
    vec![sums(zero.dtype(), &shape, Some((input(inputs, 6), &sx, &sw, integers(zero)[0])), of)]
}
