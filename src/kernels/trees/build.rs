//! Building a forest from splits that refer to one another, in files that need not be trusted.

use std::collections::VecDeque;

use super::{EQUAL, FEATURE, Forest, MEMBER, MISSING_LEFT, Node, Threshold, Tree};
use crate::error::{Error, Result};

/// What the left child of a split takes.
#[derive(Clone, Debug, PartialEq)]
pub enum Test<T> {
    /// Numbers up to this one.
    AtMost(T),
    /// This number.
    Equal(T),
    /// The numbers of a set.
    Member(Vec<T>),
}

/// Where a side of a split leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Child {
    /// To another split.
    Split(usize),
    /// To a leaf.
    Leaf(usize),
}

/// An inner node of a tree.
#[derive(Clone, Debug, PartialEq)]
pub struct Split<T> {
    /// The feature that is tested.
    pub feature: usize,
    /// The test.
    pub test: Test<T>,
    /// Whether NaN goes left.
    pub missing_left: bool,
    /// Where rows go that pass.
    pub left: Child,
    /// Where the others go.
    pub right: Child,
}

impl<T: Threshold> Forest<T> {
    /// A forest whose trees begin at `roots`; a leaf is a list of targets and weights.
    ///
    /// Also returns how many splits the trees reach.
    ///
    /// # Errors
    /// `InvalidModel` if a split, leaf or target does not exist, or splits lead in a circle. `Limit` if there is too much
    /// of something.
    pub fn new(
        splits: &[Split<T>],
        roots: &[Child],
        leaves: &[Vec<(usize, f64)>],
        targets: usize,
    ) -> Result<(Self, usize)> {
        let count = leaves.iter().map(Vec::len).sum::<usize>();
        if splits.len().max(roots.len()).max(leaves.len()).max(count) > u32::MAX as usize / 4 {
            return Err(Error::limit("a forest of more than 2^30 nodes or weights"));
        }
        if targets == 0 {
            return Err(Error::invalid_model("a forest without targets"));
        }
        let mut this = Self {
            nodes: Vec::new(),
            trees: Vec::with_capacity(roots.len()),
            sets: Vec::new(),
            starts: vec![0],
            weights: Vec::with_capacity(count),
            targets,
            columns: 0,
            is_general: false,
        };
        for leaf in leaves {
            for &(target, weight) in leaf {
                if target >= targets {
                    let message = format!("a leaf has a weight of target {target}, of {targets}");
                    return Err(Error::invalid_model(message));
                }
                this.weights.push((target as u32, weight));
            }
            this.starts.push(this.weights.len() as u32);
        }
        let mut reached = vec![None; splits.len()];
        for &root in roots {
            this.tree(splits, root, leaves.len(), &mut reached)?;
        }
        let mut depths = vec![Depth::Unknown; splits.len()];
        for (tree, &root) in this.trees.iter_mut().zip(roots) {
            tree.depth = depth(splits, root, &mut depths)?;
        }
        Ok((this, reached.into_iter().flatten().count()))
    }

    /// Adds the tree at `root`, level by level; `reached` has the node of each split so far.
    ///
    /// Branches may join, as those of a split by several categories do: the split has a node for each way that leads
    /// to it, and all of them the same children.
    fn tree(&mut self, splits: &[Split<T>], root: Child, leaves: usize, reached: &mut [Option<u32>]) -> Result<()> {
        let first = self.nodes.len() as u32;
        let mut queue = VecDeque::from([(root, first)]);
        self.nodes.push(leaf(0, first));
        while let Some((child, at)) = queue.pop_front() {
            let index = match child {
                Child::Leaf(own) if own < leaves => {
                    self.nodes[at as usize] = leaf(own as u32, at);
                    continue;
                }
                Child::Leaf(own) => {
                    return Err(Error::invalid_model(format!("a tree leads to leaf {own}, of {leaves}")));
                }
                Child::Split(index) => index,
            };
            let split = splits
                .get(index)
                .ok_or_else(|| Error::invalid_model(format!("a tree leads to node {index}, of {}", splits.len())))?;
            if let Some(same) = reached[index] {
                self.nodes[at as usize] = self.nodes[same as usize];
                continue;
            }
            reached[index] = Some(at);
            let left = self.nodes.len() as u32;
            self.nodes.extend([leaf(0, left), leaf(0, left + 1)]);
            self.nodes[at as usize] = self.node(split, left)?;
            queue.extend([(split.left, left), (split.right, left + 1)]);
        }
        self.trees.push(Tree { root: first, depth: 0 });
        Ok(())
    }

    fn node(&mut self, split: &Split<T>, left: u32) -> Result<Node<T>> {
        if split.feature >= FEATURE as usize {
            return Err(Error::invalid_model(format!("a tree tests feature {}", split.feature)));
        }
        self.columns = self.columns.max(split.feature + 1);
        let (flag, threshold, data) = match &split.test {
            Test::AtMost(threshold) => (0, *threshold, 0),
            Test::Equal(threshold) => (EQUAL, *threshold, 0),
            Test::Member(set) => {
                self.sets.push(set.clone());
                (MEMBER, T::LARGEST, self.sets.len() as u32 - 1)
            }
        };
        self.is_general |= flag != 0;
        let missing = if split.missing_left { MISSING_LEFT } else { 0 };
        Ok(Node { threshold, test: split.feature as u32 | flag | missing, left, data })
    }
}

/// The splits on the longest way from a split to a leaf.
#[derive(Clone, Copy, Debug)]
enum Depth {
    Unknown,
    /// One of its ways is being followed.
    Open,
    Known(u32),
}

/// The splits on the longest way from `root`, whose splits are all there.
fn depth<T>(splits: &[Split<T>], root: Child, depths: &mut [Depth]) -> Result<u32> {
    let Child::Split(root) = root else { return Ok(0) };
    let mut way = vec![root];
    while let Some(&index) = way.last() {
        depths[index] = Depth::Open;
        let mut longest = 0;
        let mut missing = None;
        for child in [splits[index].left, splits[index].right] {
            let Child::Split(child) = child else { continue };
            match depths[child] {
                Depth::Known(depth) => longest = longest.max(depth),
                Depth::Unknown => missing = Some(child),
                Depth::Open => {
                    return Err(Error::invalid_model(format!("node {child} of the trees leads to itself")));
                }
            }
        }
        match missing {
            Some(child) => way.push(child),
            None => {
                depths[index] = Depth::Known(longest + 1);
                way.pop();
            }
        }
    }
    match depths[root] {
        Depth::Known(depth) => Ok(depth),
        _ => Err(Error::internal("a tree without a depth")),
    }
}

/// A node at index `at` that every row stays on.
fn leaf<T: Threshold>(data: u32, at: u32) -> Node<T> {
    Node { threshold: T::LARGEST, test: MISSING_LEFT, left: at, data }
}

#[cfg(test)]
mod tests {
    use super::super::Combine;
    use super::*;

    fn split(feature: usize, at_most: f32, left: Child, right: Child) -> Split<f32> {
        Split { feature, test: Test::AtMost(at_most), missing_left: false, left, right }
    }

    #[test]
    fn rows_reach_their_leaves_at_any_depth() {
        use Child::{Leaf, Split as To};
        // A chain of nine splits: number `n` reaches leaf `n`.
        let splits: Vec<_> =
            (0..9).map(|n| split(0, n as f32, Leaf(n), if n == 8 { Leaf(9) } else { To(n + 1) })).collect();
        let leaves: Vec<_> = (0..10).map(|n| vec![(0, n as f64)]).collect();
        let (forest, reached) = Forest::new(&splits, &[To(0), Leaf(1)], &leaves, 1).unwrap();
        assert_eq!((reached, forest.columns(), forest.trees()), (9, 1, 2));
        let rows: Vec<f32> = (0..300).map(|row| (row % 11) as f32).chain([f32::NAN]).collect();
        let mut scores = vec![f64::NAN; rows.len()];
        forest.score(&rows, 1, Combine::Sum, &mut scores).unwrap();
        for (row, score) in rows.iter().zip(scores) {
            let leaf = if row.is_nan() { 9.0 } else { f64::from(*row).min(9.0) };
            assert_eq!(score, leaf + 1.0, "{row}");
        }
    }

    #[test]
    fn branches_may_join() {
        use Child::{Leaf, Split as To};
        // Rows from 3 to 4 and rows up to 1 go to the same split, the one two steps further than the other.
        let splits = [
            split(0, 1.0, To(3), To(1)),
            split(0, 3.0, Leaf(2), To(2)),
            split(0, 4.0, To(3), Leaf(2)),
            split(1, 0.0, Leaf(0), Leaf(1)),
        ];
        let leaves: Vec<_> = (0..3).map(|n| vec![(0, n as f64)]).collect();
        let (forest, reached) = Forest::new(&splits, &[To(0)], &leaves, 1).unwrap();
        assert_eq!(reached, 4);
        let rows: Vec<f32> = [[0.5, -1.0], [0.5, 1.0], [2.0, 1.0], [3.5, -1.0], [3.5, 1.0], [9.0, -1.0]].concat();
        let mut scores = vec![f64::NAN; 6];
        forest.score(&rows, 2, Combine::Sum, &mut scores).unwrap();
        assert_eq!(scores, [0.0, 1.0, 2.0, 0.0, 1.0, 2.0]);
    }

    #[test]
    fn trees_that_go_in_a_circle_or_lead_outside_are_refused() {
        use Child::{Leaf, Split as To};
        let leaves = vec![vec![(0, 1.0)]];
        for (splits, root) in [
            (vec![split(0, 0.0, To(0), Leaf(0))], To(0)),
            (vec![split(0, 0.0, To(1), Leaf(0)), split(0, 0.0, To(0), Leaf(0))], To(0)),
            (vec![split(0, 0.0, Leaf(0), To(1)), split(0, 0.0, To(2), Leaf(0)), split(0, 0.0, Leaf(0), To(1))], To(0)),
            (vec![split(0, 0.0, To(7), Leaf(0))], To(0)),
            (vec![split(0, 0.0, Leaf(0), Leaf(1))], To(0)),
            (vec![split(usize::MAX, 0.0, Leaf(0), Leaf(0))], To(0)),
            (vec![], To(0)),
        ] {
            let error = Forest::new(&splits, &[root], &leaves, 1).unwrap_err();
            assert_eq!(error.kind(), crate::error::ErrorKind::InvalidModel, "{error}");
        }
        assert!(Forest::<f32>::new(&[], &[Leaf(0)], &leaves, 0).is_err());
    }
}
