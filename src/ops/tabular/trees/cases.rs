//! Cases of tree operators on one forest, which an oracle can walk.

use std::sync::Arc;

use super::{Aggregate, Mode, Trees, modes::Number};
use crate::{
    kernels::trees::{Child, Forest, Split, Test},
    op::{Case, Fill, OpDef},
    ops::tabular::{
        Labels, PostTransform,
        tree_ensemble_classifier::{Scores, TreeEnsembleClassifier},
        tree_ensemble_regressor::TreeEnsembleRegressor,
    },
    tensor::{DType, Tensor},
};

/// What a forest is built from: splits, roots, and the weights of leaves.
pub type Parts<T> = (Vec<Split<T>>, Vec<Child>, Vec<Vec<(usize, f64)>>);

/// The number of features that the trees test.
pub const COLUMNS: usize = 4;

/// Five trees of several depths and comparisons, with weights of `targets`.
pub fn parts<T: Number>(thresholds: [T; 4], targets: usize) -> Parts<T> {
    use Child::{Leaf, Split as To};
    let [a, b, c, d] = thresholds;
    let splits = vec![
        Mode::Leq.split(0, b, true, [To(1), Leaf(1)]),
        Mode::Gt.split(1, a, true, [To(2), Leaf(2)]),
        Mode::Lt.split(2, c, false, [Leaf(3), To(3)]),
        Mode::Gte.split(3, b, false, [Leaf(4), Leaf(5)]),
        Mode::Eq.split(3, d, false, [Leaf(0), To(5)]),
        Mode::Neq.split(0, d, false, [Leaf(2), Leaf(6)]),
        Mode::Leq.split(1, d, false, [Leaf(1), Leaf(6)]),
        Split { feature: 2, test: Test::Member(vec![a, d]), missing_left: true, left: Leaf(3), right: Leaf(4) },
    ];
    let leaves = (0..7).map(|leaf| {
        let targets = (0..targets).filter(|target| (leaf + target) % 3 != 1);
        targets.map(|target| (target, leaf as f64 * 0.25 - 0.5 + target as f64 * 0.125)).collect()
    });
    (splits, vec![To(0), To(4), To(6), Leaf(5), To(7)], leaves.collect())
}

/// The thresholds of the cases in each precision.
pub const THRESHOLDS: [f32; 4] = [-0.5, 0.25, 1.0, 2.0];

fn single(targets: usize) -> Trees {
    let (splits, roots, leaves) = parts(THRESHOLDS, targets);
    Trees::F32(Arc::new(Forest::new(&splits, &roots, &leaves, targets).expect("the forest is right").0))
}

fn double(targets: usize) -> Trees {
    let (splits, roots, leaves) = parts(THRESHOLDS.map(f64::from), targets);
    Trees::F64(Arc::new(Forest::new(&splits, &roots, &leaves, targets).expect("the forest is right").0))
}

/// Cases of an operator that gives numbers.
pub(in crate::ops::tabular) fn regressors(def: &'static OpDef) -> Vec<Case> {
    let of = |trees, targets, aggregate, post_transform| TreeEnsembleRegressor {
        trees,
        targets,
        aggregate,
        base: Vec::new(),
        post_transform,
        to: DType::F32,
        def,
    };
    let sum = |targets| of(single(targets), targets, Aggregate::Sum, PostTransform::None);
    let doubles = Tensor::new([2, COLUMNS], &[0.25f64, -0.5, 1.0, 2.0, 0.250_000_001, f64::NAN, 2.0, 0.0]);
    let doubles = doubles.expect("two rows");
    let mut cases = vec![
        Case::new("rows", sum(1)).value(&[300, COLUMNS], Fill::Spread),
        Case::new("more columns", sum(2)).value(&[11, COLUMNS + 3], Fill::Spread),
        Case::new("missing", sum(3)).value(&[150, COLUMNS], Fill::Hostile),
        Case::new("one row", sum(1)).value(&[COLUMNS], Fill::Spread),
        Case::new("integers", sum(1)).integers(&[2, COLUMNS], &[0, 1, 2, 2, -1, 2, -1, 1]),
        Case::new(
            "doubles",
            TreeEnsembleRegressor { to: DType::F64, ..of(double(2), 2, Aggregate::Sum, PostTransform::None) },
        )
        .tensor(doubles),
        Case::new("base", TreeEnsembleRegressor { base: vec![1.5, -0.25], ..sum(2) })
            .value(&[9, COLUMNS], Fill::Spread),
        Case::new("empty", sum(2)).value(&[0, COLUMNS], Fill::Spread),
    ];
    for aggregate in [Aggregate::Average, Aggregate::Min, Aggregate::Max] {
        let op = of(single(3), 3, aggregate, PostTransform::None);
        cases.push(Case::new(format!("{aggregate:?}"), op).value(&[20, COLUMNS], Fill::Hostile));
    }
    for transform in
        [PostTransform::Logistic, PostTransform::Softmax, PostTransform::SoftmaxZero, PostTransform::Probit]
    {
        let op = of(single(2), 2, Aggregate::Average, transform);
        cases.push(Case::new(format!("{transform:?}"), op).value(&[20, COLUMNS], Fill::Spread));
    }
    cases
}

/// Cases of the operator that gives classes.
pub(in crate::ops::tabular) fn classifiers() -> Vec<Case> {
    let of = |classes: i64, scores, post_transform| TreeEnsembleClassifier {
        trees: single(classes as usize),
        labels: Labels::Integers((0..classes).map(|class| class * 7 - 3).collect()),
        base: Vec::new(),
        post_transform,
        scores,
    };
    let strings = ["low", "middle", "high"].map(String::from).to_vec();
    let named = TreeEnsembleClassifier { labels: Labels::Strings(strings), ..of(3, Scores::Each, PostTransform::None) };
    let based = TreeEnsembleClassifier { base: vec![0.5, 0.0, -0.5], ..of(3, Scores::Each, PostTransform::Softmax) };
    let shifted = TreeEnsembleClassifier { base: vec![-1.25], ..of(2, Scores::Sign(0), PostTransform::Logistic) };
    vec![
        Case::new("three classes", of(3, Scores::Each, PostTransform::None)).value(&[40, COLUMNS], Fill::Hostile),
        Case::new("strings", named).value(&[40, COLUMNS], Fill::Spread),
        Case::new("base", based).value(&[40, COLUMNS], Fill::Spread),
        Case::new("probability", of(2, Scores::Probability(1), PostTransform::None))
            .value(&[40, COLUMNS], Fill::Spread),
        Case::new("sign", shifted).value(&[40, COLUMNS], Fill::Spread),
        Case::new("one row", of(3, Scores::Each, PostTransform::None)).value(&[COLUMNS], Fill::Spread),
        Case::new("empty", of(3, Scores::Each, PostTransform::None)).value(&[0, COLUMNS], Fill::Spread),
    ]
}
