//! Losses of classes, position by position.

use gristmill::{
    Tensor,
    testing::{
        op::Operator,
        ops::loss::likelihood::{LikelihoodLoss, Reduction},
    },
};

use super::{
    Oracle, flat, indices, input, op,
    pointwise::{floats, of_floats},
};

/// The operators that this file speaks for.
pub const ORACLES: &[(&str, Oracle)] = &[("NegativeLogLikelihoodLoss", loss), ("SoftmaxCrossEntropyLoss", loss)];

fn loss(operator: &dyn Operator, inputs: &[Option<Tensor>]) -> Vec<Tensor> {
    let op = op::<LikelihoodLoss>(operator);
    let (scores, classes) = (input(inputs, 0), input(inputs, 1));
    let weights = inputs.get(2).and_then(Option::as_ref).map(floats);
    let (values, targets) = (floats(scores), classes.to_i64().unwrap());
    let count = scores.shape()[1];
    let with_class = |index: &[usize], class: usize| {
        let mut own = index.to_vec();
        own.insert(1, class);
        flat(scores.shape(), &own)
    };
    let score = |index: &[usize], class: usize| {
        let sum: f64 = (0..count).map(|other| values[with_class(index, other)].exp()).sum();
        values[with_class(index, class)] - if op.softmax { sum.ln() } else { 0.0 }
    };
    let (mut losses, mut weight_sum) = (Vec::new(), 0.0);
    for (index, &class) in indices(classes.shape()).zip(&targets) {
        if op.ignored == Some(class) {
            losses.push(0.0);
            continue;
        }
        let weight = weights.as_ref().map_or(1.0, |weights| weights[class as usize]);
        weight_sum += weight;
        losses.push(-score(&index, class as usize) * weight);
    }
    let sum: f64 = losses.iter().sum();
    let mut results = vec![match op.reduction {
        Reduction::None => of_floats(scores.dtype(), classes.shape(), &losses),
        Reduction::Sum => of_floats(scores.dtype(), &[], &[sum]),
        Reduction::Mean => of_floats(scores.dtype(), &[], &[sum / weight_sum]),
    }];
    if op.softmax {
        let logarithm = |mut index: Vec<usize>| {
            let class = index.remove(1);
            score(&index, class)
        };
        results.push(of_floats(
            scores.dtype(),
            scores.shape(),
            &indices(scores.shape()).map(logarithm).collect::<Vec<_>>(),
        ));
    }
    results
}
