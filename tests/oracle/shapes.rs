//! Sizes as numbers, filled tensors, ranges.

use gristmill::{
    DType, Tensor,
    testing::{
        op::Operator,
        ops::generate::{constant_of_shape::ConstantOfShape, range::Range, shape_of::ShapeOf},
    },
};

use super::{Oracle, input, op};

/// The operators that this file speaks for.
pub const ORACLES: &[(&str, Oracle)] =
    &[("ConstantOfShape", constant_of_shape), ("Range", range), ("Shape", shape_of), ("Size", size)];

fn shape_of(operator: &dyn Operator, inputs: &[Option<Tensor>]) -> Vec<Tensor> {
    let (op, shape) = (op::<ShapeOf>(operator), input(inputs, 0).shape());
    let rank = shape.len() as i64;
    let front = |axis: i64| if axis < 0 { axis + rank } else { axis };
    let (start, end) = (front(op.start), op.end.map_or(rank, front));
    let sizes: Vec<i64> =
        (0..rank).filter(|&axis| axis >= start && axis < end).map(|axis| shape[axis as usize] as i64).collect();
    vec![Tensor::new([sizes.len()], &sizes).unwrap()]
}

fn size(_: &dyn Operator, inputs: &[Option<Tensor>]) -> Vec<Tensor> {
    vec![Tensor::scalar(input(inputs, 0).len() as i64)]
}

fn constant_of_shape(operator: &dyn Operator, _: &[Option<Tensor>]) -> Vec<Tensor> {
    let op = op::<ConstantOfShape>(operator);
    let shape: Vec<usize> = op.shape.iter().map(|dim| dim.as_fixed().unwrap() as usize).collect();
    let bytes = op.value.bytes().repeat(shape.iter().product());
    vec![Tensor::from_bytes(op.value.dtype(), shape, &bytes).unwrap()]
}

fn range(operator: &dyn Operator, _: &[Option<Tensor>]) -> Vec<Tensor> {
    let op = op::<Range>(operator);
    let (mut at, limit) = (op.start.as_fixed().unwrap(), op.limit.as_fixed().unwrap());
    let mut numbers = Vec::new();
    while if op.step > 0 { at < limit } else { at > limit } {
        numbers.push(at);
        at += op.step;
    }
    let narrow =
        |size: usize| numbers.iter().flat_map(|number| number.to_le_bytes()[..size].to_vec()).collect::<Vec<_>>();
    let bytes = match op.dtype {
        DType::I16 => narrow(2),
        DType::I32 => narrow(4),
        _ => narrow(8),
    };
    vec![Tensor::from_bytes(op.dtype, [numbers.len()], &bytes).unwrap()]
}
