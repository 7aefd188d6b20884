//! Operators that move elements and change none.

use gristmill::{
    Tensor,
    ops::{Operator, reshape::Reshape, transpose::Transpose},
};

use super::{flat, input, op, pick};

pub fn transpose(operator: &dyn Operator, inputs: &[Option<Tensor>]) -> Vec<Tensor> {
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

pub fn reshape(operator: &dyn Operator, inputs: &[Option<Tensor>]) -> Vec<Tensor> {
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
