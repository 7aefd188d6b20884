//! `TreeEnsemble`: trees whose leaves are listed apart from their nodes.

use std::sync::Arc;

use crate::{
    error::{Error, Result},
    kernels::trees::{Child, Forest, Split, Test},
    op::{Accuracy, CpuState, GpuState, OnnxNode, OpDef, Operator},
    ops::tabular::{
        ON_THE_HOST, PostTransform, Trees,
        tree_ensemble_regressor::{TreeEnsembleRegressor, kernel},
        trees::{self, Aggregate, Mode, Number, Numbers},
    },
    tensor::DType,
};

pub(crate) static DEF: OpDef = OpDef {
    name: "ai.onnx.ml.TreeEnsemble",
    onnx: Some(decode),
    cases: || trees::cases::regressors(&DEF),
    accuracy: Accuracy::Pointwise,
    cpu: CpuState::Kernel(kernel),
    gpu: GpuState::Host(ON_THE_HOST),
};

/// The node mode of a set's members.
const MEMBER: u8 = 6;

fn decode(node: &mut OnnxNode<'_>) -> Result<Arc<dyn Operator>> {
    let to = node.inputs().required(0)?.dtype;
    if !matches!(to, DType::F16 | DType::F32 | DType::F64) {
        return Err(Error::invalid_model(format!("trees on {to}")));
    }
    let targets = node.int("n_targets")?.unwrap_or(1);
    let targets = usize::try_from(targets).ok().filter(|&targets| targets > 0 && targets <= u32::MAX as usize);
    let targets = targets.ok_or_else(|| Error::invalid_model("`n_targets` must be positive"))?;
    let aggregate = match node.int("aggregate_function")?.unwrap_or(1) {
        0 => Aggregate::Average,
        1 => Aggregate::Sum,
        2 => Aggregate::Min,
        3 => Aggregate::Max,
        other => return Err(Error::invalid_model(format!("the aggregate function {other}"))),
    };
    let post_transform = match node.int("post_transform")?.unwrap_or(0) {
        0 => PostTransform::None,
        1 => PostTransform::Softmax,
        2 => PostTransform::Logistic,
        3 => PostTransform::SoftmaxZero,
        4 => PostTransform::Probit,
        other => return Err(Error::invalid_model(format!("the post transform {other}"))),
    };
    let lists = Lists::read(node)?;
    let splits = numbers(node, "nodes_splits")?;
    let members = optional_numbers(node, "membership_values")?;
    let trees = match (splits, members) {
        (Numbers::F32(splits), Numbers::F32(members)) => {
            Trees::F32(Arc::new(lists.forest(&splits, &members, targets)?))
        }
        (splits, members) => Trees::F64(Arc::new(lists.forest(&splits.doubles(), &members.doubles(), targets)?)),
    };
    Ok(Arc::new(TreeEnsembleRegressor { trees, targets, aggregate, base: Vec::new(), post_transform, to, def: &DEF }))
}

fn optional_numbers(node: &mut OnnxNode<'_>, name: &str) -> Result<Numbers> {
    match node.tensor(name)? {
        Some(tensor) => Numbers::of(&tensor),
        None => Ok(Numbers::F32(Vec::new())),
    }
}

fn numbers(node: &mut OnnxNode<'_>, name: &str) -> Result<Numbers> {
    let tensor = node.tensor(name)?.ok_or_else(|| Error::invalid_model(format!("`{name}` is missing")))?;
    Numbers::of(&tensor)
}

/// The lists that describe nodes and leaves.
struct Lists {
    roots: Vec<i64>,
    features: Vec<i64>,
    modes: Vec<u8>,
    missing: Vec<i64>,
    /// The node or leaf of the true and of the false side.
    sides: [Vec<i64>; 2],
    /// Whether it is a leaf.
    are_leaves: [Vec<i64>; 2],
    leaf_targets: Vec<i64>,
    leaf_weights: Vec<f64>,
}

impl Lists {
    fn read(node: &mut OnnxNode<'_>) -> Result<Self> {
        // Popularity of the nodes.
        node.tensor("nodes_hitrates")?;
        let modes = node.tensor("nodes_modes")?.ok_or_else(|| Error::invalid_model("`nodes_modes` is missing"))?;
        let leaf_weights = numbers(node, "leaf_weights")?.doubles();
        let mut integers = |name: &str| node.ints(name).map(Option::unwrap_or_default);
        let mut this = Self {
            roots: integers("tree_roots")?,
            features: integers("nodes_featureids")?,
            modes: modes.as_slice::<u8>()?.to_vec(),
            missing: integers("nodes_missing_value_tracks_true")?,
            sides: [integers("nodes_truenodeids")?, integers("nodes_falsenodeids")?],
            are_leaves: [integers("nodes_trueleafs")?, integers("nodes_falseleafs")?],
            leaf_targets: integers("leaf_targetids")?,
            leaf_weights,
        };
        let count = this.modes.len();
        if this.missing.is_empty() {
            this.missing = vec![0; count];
        }
        let ([yes, no], [yes_leaf, no_leaf]) = (&this.sides, &this.are_leaves);
        let lengths = [&this.features, &this.missing, yes, no, yes_leaf, no_leaf].map(Vec::len);
        if lengths.iter().any(|&len| len != count) {
            return Err(Error::invalid_model(format!("the attributes of {count} nodes have the lengths {lengths:?}")));
        }
        if this.leaf_targets.len() != this.leaf_weights.len() {
            let (targets, weights) = (this.leaf_targets.len(), this.leaf_weights.len());
            return Err(Error::invalid_model(format!("{targets} targets of {weights} leaf weights")));
        }
        Ok(this)
    }

    fn forest<T: Number>(&self, thresholds: &[T], members: &[T], targets: usize) -> Result<Forest<T>> {
        if thresholds.len() != self.modes.len() {
            let (given, count) = (thresholds.len(), self.modes.len());
            return Err(Error::invalid_model(format!("{given} thresholds of {count} nodes")));
        }
        let index = |what: &str, id: i64| {
            usize::try_from(id).map_err(|_| Error::invalid_model(format!("the trees have {what} {id}")))
        };
        // The sets follow one another, each ended by NaN.
        let mut sets = members.split(|member| member.is_nan());
        let mut splits = Vec::with_capacity(self.modes.len());
        for (node, &threshold) in thresholds.iter().enumerate() {
            let child = |side: usize| {
                let id = index("a side to", self.sides[side][node])?;
                Ok(if self.are_leaves[side][node] == 0 { Child::Split(id) } else { Child::Leaf(id) })
            };
            let (yes, no) = (child(0)?, child(1)?);
            let (feature, missing) = (index("feature", self.features[node])?, self.missing[node] == 1);
            splits.push(match Mode::numbered(self.modes[node]) {
                Some(mode) => mode.split(feature, threshold, missing, [yes, no]),
                None if self.modes[node] == MEMBER => {
                    let set = sets.next().filter(|_| !members.is_empty());
                    let set = set.ok_or_else(|| Error::invalid_model("`membership_values` has too few sets"))?;
                    Split { feature, test: Test::Member(set.to_vec()), missing_left: missing, left: yes, right: no }
                }
                None => return Err(Error::invalid_model(format!("the node mode {}", self.modes[node]))),
            });
        }
        let leaves = self.leaf_targets.iter().zip(&self.leaf_weights);
        let leaves = leaves.map(|(&target, &weight)| Ok(vec![(index("target", target)?, weight)]));
        let leaves = leaves.collect::<Result<Vec<_>>>()?;
        let roots = self.roots.iter().map(|&root| self.root(root, &splits));
        let roots = roots.collect::<Result<Vec<_>>>()?;
        // Nodes that no tree reaches do no harm.
        Forest::new(&splits, &roots, &leaves, targets).map(|(forest, _)| forest)
    }

    /// The start of a tree; one whose node leads to one leaf on both sides is that leaf.
    fn root<T: Number>(&self, root: i64, splits: &[Split<T>]) -> Result<Child> {
        let split = usize::try_from(root).ok().and_then(|root| splits.get(root));
        match split {
            Some(Split { left: Child::Leaf(left), right: Child::Leaf(right), .. }) if left == right => {
                Ok(Child::Leaf(*left))
            }
            Some(_) => Ok(Child::Split(root as usize)),
            None => Err(Error::invalid_model(format!("a tree begins at node {root}, of {}", splits.len()))),
        }
    }
}
