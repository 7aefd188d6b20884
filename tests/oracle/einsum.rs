//! Sums of products by labels: every combination of all labels' positions.

use gristmill::{
    Tensor,
    testing::{op::Operator, ops::product::einsum::Einsum},
};

use super::{
    Oracle, flat, indices, op,
    pointwise::{floats, integers, of_floats, of_integers},
};

/// The operators that this file speaks for.
pub const ORACLES: &[(&str, Oracle)] = &[("Einsum", einsum)];

fn einsum(operator: &dyn Operator, inputs: &[Option<Tensor>]) -> Vec<Tensor> {
    let op = op::<Einsum>(operator);
    let operands: Vec<&Tensor> = inputs.iter().flatten().collect();
    let mut sizes = vec![1; op.operands.iter().flatten().max().map_or(0, |last| last + 1)];
    for (labels, operand) in op.operands.iter().zip(&operands) {
        for (&label, &size) in labels.iter().zip(operand.shape()) {
            if size != 1 {
                sizes[label] = size;
            }
        }
    }
    let shape: Vec<usize> = op.result.iter().map(|&label| sizes[label]).collect();
    // The place in the result, and in each operand, of every combination.
    let places = indices(&sizes).map(|at| {
        let own: Vec<usize> = op.result.iter().map(|&label| at[label]).collect();
        let in_operand = |(labels, operand): (&Vec<usize>, &&Tensor)| {
            let own: Vec<usize> =
                labels.iter().zip(operand.shape()).map(|(&label, &size)| at[label].min(size - 1)).collect();
            flat(operand.shape(), &own)
        };
        (flat(&shape, &own), op.operands.iter().zip(&operands).map(in_operand).collect::<Vec<_>>())
    });
    let (dtype, count) = (operands[0].dtype(), shape.iter().product());
    if dtype.is_float() {
        let values: Vec<Vec<f64>> = operands.iter().map(|operand| floats(operand)).collect();
        let mut sums = vec![0.0; count];
        for (place, own) in places {
            sums[place] += own.iter().zip(&values).map(|(&at, values)| values[at]).product::<f64>();
        }
        return vec![of_floats(dtype, &shape, &sums)];
    }
    let values: Vec<Vec<i128>> = operands.iter().map(|operand| integers(operand)).collect();
    let mut sums = vec![0i128; count];
    for (place, own) in places {
        sums[place] += own.iter().zip(&values).map(|(&at, values)| values[at]).product::<i128>();
    }
    vec![of_integers(dtype, &shape, &sums)]
}
