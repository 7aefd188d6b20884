//! The attributes of `TreeEnsembleRegressor` and `TreeEnsembleClassifier`.

use std::{collections::HashMap, sync::Arc};

use crate::{
    error::{Error, Result},
    kernels::trees::{Child, Forest, Split},
    op::OnnxNode,
    ops::tabular::{
        Trees,
        trees::{Mode, modes::Number},
    },
    tensor::{DType, Tensor},
};

/// The names of the attributes that hold the leaves' weights.
pub(in crate::ops::tabular) struct Names {
    pub(in crate::ops::tabular) ids: &'static str,
    pub(in crate::ops::tabular) nodes: &'static str,
    pub(in crate::ops::tabular) trees: &'static str,
    pub(in crate::ops::tabular) weights: &'static str,
}

/// The trees of a node, and what their weights are like.
pub(in crate::ops::tabular) struct Read {
    pub(in crate::ops::tabular) trees: Trees,
    /// The targets that have weights, in order.
    pub(in crate::ops::tabular) used: Vec<usize>,
    /// Whether a weight is negative.
    pub(in crate::ops::tabular) has_negative: bool,
}

/// Reads the trees of a node.
pub(in crate::ops::tabular) fn read(node: &mut OnnxNode<'_>, names: &Names, targets: usize) -> Result<Read> {
    let values = numbers(node, "nodes_values")?;
    let input = node.inputs().required(0)?.dtype;
    let lists = Lists::read(node, names)?;
    // Ids that are no targets are refused below.
    let mut used: Vec<usize> = lists.ids.iter().map(|&id| id as usize).collect();
    used.sort_unstable();
    used.dedup();
    let trees = match (input, values) {
        // Thresholds in double precision cut numbers in single precision too.
        (DType::F64, values) | (_, values @ Numbers::F64(_)) => {
            Trees::F64(Arc::new(lists.forest(&values.doubles(), targets)?))
        }
        (_, Numbers::F32(values)) => Trees::F32(Arc::new(lists.forest(&values, targets)?)),
    };
    Ok(Read { trees, used, has_negative: lists.weights.iter().any(|&weight| weight < 0.0) })
}

/// Numbers of an attribute, in the precision of the file.
pub(in crate::ops::tabular) enum Numbers {
    F32(Vec<f32>),
    F64(Vec<f64>),
}

impl Numbers {
    pub(in crate::ops::tabular) fn doubles(self) -> Vec<f64> {
        match self {
            Self::F32(all) => all.into_iter().map(f64::from).collect(),
            Self::F64(all) => all,
        }
    }

    /// The numbers of a tensor.
    pub(in crate::ops::tabular) fn of(tensor: &Tensor) -> Result<Self> {
        match tensor.dtype() {
            DType::F64 => Ok(Self::F64(tensor.as_slice::<f64>()?.to_vec())),
            DType::F16 => Ok(Self::F32(tensor.as_slice::<half::f16>()?.iter().map(|number| number.to_f32()).collect())),
            _ => Ok(Self::F32(tensor.as_slice::<f32>()?.to_vec())),
        }
    }
}

/// The numbers of attribute `name`, or of the tensor `name_as_tensor`.
pub(in crate::ops::tabular) fn numbers(node: &mut OnnxNode<'_>, name: &str) -> Result<Numbers> {
    let list = node.floats(name)?.filter(|list| !list.is_empty());
    match (list, node.tensor(&format!("{name}_as_tensor"))?) {
        (Some(_), Some(_)) => Err(Error::invalid_model(format!("both `{name}` and `{name}_as_tensor` are given"))),
        (Some(list), None) => Ok(Numbers::F32(list)),
        (None, Some(tensor)) => Numbers::of(&tensor),
        (None, None) => Ok(Numbers::F32(Vec::new())),
    }
}

/// The lists that describe nodes and leaves.
struct Lists {
    trees: Vec<i64>,
    nodes: Vec<i64>,
    features: Vec<i64>,
    modes: Vec<Option<Mode>>,
    yes: Vec<i64>,
    no: Vec<i64>,
    missing: Vec<i64>,
    ids: Vec<i64>,
    leaf_nodes: Vec<i64>,
    leaf_trees: Vec<i64>,
    weights: Vec<f64>,
}

impl Lists {
    fn read(node: &mut OnnxNode<'_>, names: &Names) -> Result<Self> {
        // Popularity of the nodes.
        numbers(node, "nodes_hitrates")?;
        let mut integers = |name: &str| node.ints(name).map(Option::unwrap_or_default);
        let mut this = Self {
            trees: integers("nodes_treeids")?,
            nodes: integers("nodes_nodeids")?,
            features: integers("nodes_featureids")?,
            modes: Vec::new(),
            yes: integers("nodes_truenodeids")?,
            no: integers("nodes_falsenodeids")?,
            missing: integers("nodes_missing_value_tracks_true")?,
            ids: integers(names.ids)?,
            leaf_nodes: integers(names.nodes)?,
            leaf_trees: integers(names.trees)?,
            weights: Vec::new(),
        };
        this.modes = node
            .strings("nodes_modes")?
            .unwrap_or_default()
            .iter()
            .map(|name| Mode::named(name))
            .collect::<Result<_>>()?;
        this.weights = numbers(node, names.weights)?.doubles();
        if this.missing.is_empty() {
            this.missing = vec![0; this.nodes.len()];
        }
        let count = this.nodes.len();
        let lengths = [
            this.trees.len(),
            this.features.len(),
            this.modes.len(),
            this.yes.len(),
            this.no.len(),
            this.missing.len(),
        ];
        if lengths.iter().any(|&len| len != count) {
            return Err(Error::invalid_model(format!("the attributes of {count} nodes have the lengths {lengths:?}")));
        }
        let lengths = [this.ids.len(), this.leaf_nodes.len(), this.leaf_trees.len()];
        if lengths.iter().any(|&len| len != this.weights.len()) {
            let count = this.weights.len();
            return Err(Error::invalid_model(format!(
                "the attributes of {count} weights have the lengths {lengths:?}"
            )));
        }
        Ok(this)
    }

    fn forest<T: Number>(&self, thresholds: &[T], targets: usize) -> Result<Forest<T>> {
        if thresholds.len() != self.nodes.len() {
            let (given, count) = (thresholds.len(), self.nodes.len());
            return Err(Error::invalid_model(format!("{given} thresholds of {count} nodes")));
        }
        // Where each node is found: among the splits or among the leaves.
        let mut places = HashMap::with_capacity(self.nodes.len());
        let (mut split_count, mut leaf_count) = (0, 0);
        for (index, mode) in self.modes.iter().enumerate() {
            let counter = if mode.is_some() { &mut split_count } else { &mut leaf_count };
            let child = if mode.is_some() { Child::Split(*counter) } else { Child::Leaf(*counter) };
            *counter += 1;
            let name = (self.trees[index], self.nodes[index]);
            if places.insert(name, (child, true)).is_some() {
                return Err(Error::invalid_model(format!("tree {} has two nodes {}", name.0, name.1)));
            }
        }
        let mut splits = Vec::with_capacity(split_count);
        for (index, mode) in self.modes.iter().enumerate() {
            let Some(mode) = mode else { continue };
            let tree = self.trees[index];
            let mut child = |id: i64| {
                let place = places.get_mut(&(tree, id));
                let (child, is_root) = place
                    .ok_or_else(|| Error::invalid_model(format!("tree {tree} leads to node {id}, which it lacks")))?;
                *is_root = false;
                Ok(*child)
            };
            let sides = [child(self.yes[index])?, child(self.no[index])?];
            let feature = usize::try_from(self.features[index])
                .map_err(|_| Error::invalid_model(format!("tree {tree} tests feature {}", self.features[index])))?;
            splits.push(mode.split(feature, thresholds[index], self.missing[index] == 1, sides));
        }
        let leaves = self.leaves(leaf_count, &places)?;
        let places = self.trees.iter().zip(&self.nodes).filter_map(|(&tree, &node)| places.get(&(tree, node)));
        let roots: Vec<Child> = places.filter(|(_, is_root)| *is_root).map(|(child, _)| *child).collect();
        grown(&splits, &roots, &leaves, targets)
    }

    /// The targets and weights of each leaf; those of inner nodes are never reached.
    fn leaves(&self, count: usize, places: &HashMap<(i64, i64), (Child, bool)>) -> Result<Vec<Vec<(usize, f64)>>> {
        let mut leaves = vec![Vec::new(); count];
        for (index, &weight) in self.weights.iter().enumerate() {
            let (tree, node) = (self.leaf_trees[index], self.leaf_nodes[index]);
            let (child, _) = places
                .get(&(tree, node))
                .ok_or_else(|| Error::invalid_model(format!("a weight is of node {node}, which tree {tree} lacks")))?;
            let target = usize::try_from(self.ids[index])
                .map_err(|_| Error::invalid_model(format!("a weight is of target {}", self.ids[index])))?;
            if let Child::Leaf(leaf) = *child {
                leaves[leaf].push((target, weight));
            }
        }
        Ok(leaves)
    }
}

/// A forest whose trees reach every split.
fn grown<T: Number>(
    splits: &[Split<T>],
    roots: &[Child],
    leaves: &[Vec<(usize, f64)>],
    targets: usize,
) -> Result<Forest<T>> {
    let (forest, reached) = Forest::new(splits, roots, leaves, targets)?;
    if reached < splits.len() {
        let message =
            format!("{} nodes of the trees are reached from no root: they go in a circle", splits.len() - reached);
        return Err(Error::invalid_model(message));
    }
    Ok(forest)
}
