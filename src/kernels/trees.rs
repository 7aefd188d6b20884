//! Decision trees: a block of rows goes through one tree after another, several rows at once.
//!
//! The two children of a node lie side by side and a leaf leads to itself, so that a step down a
//! tree needs no branch, and rows of unlike depth walk together.

mod build;

pub use build::{Child, Split, Test};

use crate::error::{Error, Result};

/// Rows that walk down a tree together.
const LANES: usize = 8;
/// Rows that go through all trees before the next ones.
const BLOCK: usize = 16 * LANES;
/// Steps between two looks whether all rows have arrived.
const STEPS: u32 = 4;

/// In [`Node::test`]: NaN goes left.
const MISSING_LEFT: u32 = 1 << 31;
/// In [`Node::test`]: equal numbers go left, not smaller ones.
const EQUAL: u32 = 1 << 30;
/// In [`Node::test`]: members of a set go left.
const MEMBER: u32 = 1 << 29;
/// In [`Node::test`]: the feature.
const FEATURE: u32 = MEMBER - 1;

/// A number that trees compare: `f32` or `f64`.
pub trait Threshold: Copy + PartialOrd + Send + Sync + 'static {
    /// No number is larger.
    const LARGEST: Self;
}

impl Threshold for f32 {
    const LARGEST: Self = f32::INFINITY;
}

impl Threshold for f64 {
    const LARGEST: Self = f64::INFINITY;
}

/// A node; the right child follows the left one.
#[derive(Clone, Copy)]
#[repr(C)]
struct Node<T> {
    /// Numbers up to it go left.
    threshold: T,
    /// The feature and what is tested.
    test: u32,
    /// The left child; a leaf's own index.
    left: u32,
    /// The leaf, or the set of a node that tests for members.
    data: u32,
}

#[derive(Clone, Copy)]
struct Tree {
    root: u32,
    depth: u32,
}

/// What a leaf adds: the weights of some targets.
type Weight = (u32, f64);

/// How the weights of several trees are combined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Combine {
    /// Their sum.
    Sum,
    /// The smallest.
    Min,
    /// The largest.
    Max,
}

/// Decision trees whose leaves hold weights of targets.
pub struct Forest<T> {
    nodes: Vec<Node<T>>,
    trees: Vec<Tree>,
    sets: Vec<Vec<T>>,
    /// Where the weights of each leaf begin, and the end of all.
    starts: Vec<u32>,
    weights: Vec<Weight>,
    targets: usize,
    /// Features that rows must have.
    columns: usize,
    /// Whether a node tests for other than an order.
    is_general: bool,
}

impl<T> std::fmt::Debug for Forest<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (trees, nodes) = (self.trees.len(), self.nodes.len());
        write!(f, "Forest({trees} trees, {nodes} nodes, {} targets)", self.targets)
    }
}

impl<T: Threshold> Forest<T> {
    /// The number of trees.
    pub fn trees(&self) -> usize {
        self.trees.len()
    }

    /// The features that rows must have.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// The bytes of all nodes and weights.
    pub fn bytes(&self) -> usize {
        size_of_val(&*self.nodes) + size_of_val(&*self.trees) + size_of_val(&*self.weights) + size_of_val(&*self.starts)
    }

    /// Combines for each row of `columns` numbers the weights of the leaves that it reaches.
    ///
    /// `scores` holds the numbers of all targets of each row; the trees go in order. With
    /// [`Combine::Sum`] a target without weights is 0, otherwise NaN.
    ///
    /// # Errors
    /// `InvalidInput` if a row has fewer numbers than the trees test, `Internal` if the lengths do
    /// not fit.
    pub fn score(&self, rows: &[T], columns: usize, combine: Combine, scores: &mut [f64]) -> Result<()> {
        if columns < self.columns {
            let asked = self.columns;
            return Err(Error::invalid_input(format!("rows of {columns} features, where the trees test {asked}")));
        }
        let count = scores.len() / self.targets.max(1);
        if count.checked_mul(columns) != Some(rows.len()) || count * self.targets != scores.len() {
            let (given, asked) = (rows.len(), scores.len());
            return Err(Error::internal(format!("{given} numbers in rows of {columns}, for {asked} scores")));
        }
        scores.fill(if combine == Combine::Sum { 0.0 } else { f64::NAN });
        for start in (0..count).step_by(BLOCK) {
            let end = count.min(start + BLOCK);
            let scores = &mut scores[start * self.targets..end * self.targets];
            self.score_block(&rows[start * columns..end * columns], columns, end - start, combine, scores);
        }
        Ok(())
    }

    /// [`score`](Self::score) of at most [`BLOCK`] rows, at least one, whose lengths fit.
    fn score_block(&self, rows: &[T], columns: usize, count: usize, combine: Combine, scores: &mut [f64]) {
        // Rows behind the last one stand in for it.
        let start = |group: usize, lane: usize| (group * LANES + lane).min(count - 1) * columns;
        let groups = count.div_ceil(LANES);
        let mut general = [self.is_general; BLOCK / LANES];
        for (group, general) in general.iter_mut().enumerate().take(groups) {
            let rows = &rows[start(group, 0)..start(group, LANES - 1) + columns];
            // A number that is unlike itself is NaN.
            #[allow(clippy::eq_op, reason = "only NaN differs from itself")]
            let has_nan = rows.iter().fold(false, |found, number| found | (number != number));
            *general |= has_nan;
        }
        for tree in &self.trees {
            for (group, scores) in scores.chunks_mut(LANES * self.targets).enumerate() {
                let starts: [usize; LANES] = std::array::from_fn(|lane| start(group, lane));
                // SAFETY: a row begins at each start, and has the features that the trees test.
                let leaves = unsafe {
                    match general[group] {
                        true => self.walk::<true>(*tree, rows, starts),
                        false => self.walk::<false>(*tree, rows, starts),
                    }
                };
                self.add(&leaves, combine, scores);
            }
        }
    }

    /// Adds the weights of the leaves that the rows of a group reach.
    #[inline(always)]
    fn add(&self, leaves: &[u32; LANES], combine: Combine, scores: &mut [f64]) {
        for (scores, &leaf) in scores.chunks_exact_mut(self.targets).zip(leaves) {
            let span = self.starts[leaf as usize] as usize..self.starts[leaf as usize + 1] as usize;
            for &(target, weight) in &self.weights[span] {
                let score = &mut scores[target as usize];
                let replaces = match combine {
                    Combine::Sum => {
                        *score += weight;
                        continue;
                    }
                    Combine::Min => weight < *score,
                    Combine::Max => weight > *score,
                };
                if replaces || score.is_nan() {
                    *score = weight;
                }
            }
        }
    }

    /// The leaves that rows reach; `GENERAL` where a row has NaN or a node tests for other than an
    /// order.
    ///
    /// # Safety
    /// At each of `starts` lie [`columns`](Self::columns) numbers in `rows`.
    #[inline(always)]
    unsafe fn walk<const GENERAL: bool>(&self, tree: Tree, rows: &[T], starts: [usize; LANES]) -> [u32; LANES] {
        let nodes = self.nodes.as_ptr();
        let mut at = [tree.root; LANES];
        let mut left = tree.depth;
        while left > 0 {
            for _ in 0..left.min(STEPS) {
                for (at, &start) in at.iter_mut().zip(&starts) {
                    // SAFETY: `build` makes children that exist, and features below `columns`.
                    let (node, number) = unsafe {
                        let node = *nodes.add(*at as usize);
                        (node, *rows.as_ptr().add(start + (node.test & FEATURE) as usize))
                    };
                    let goes_left = match GENERAL {
                        true => self.goes_left(node, number),
                        false => number <= node.threshold,
                    };
                    *at = node.left + u32::from(!goes_left);
                }
            }
            left -= left.min(STEPS);
            // SAFETY: as above.
            if at.iter().all(|&at| unsafe { (*nodes.add(at as usize)).left == at }) {
                break;
            }
        }
        // SAFETY: as above.
        at.map(|at| unsafe { (*nodes.add(at as usize)).data })
    }

    #[inline(always)]
    #[allow(clippy::eq_op, reason = "only NaN differs from itself")]
    fn goes_left(&self, node: Node<T>, number: T) -> bool {
        let missing = number != number && node.test & MISSING_LEFT != 0;
        if node.test & MEMBER != 0 {
            return missing || self.sets[node.data as usize].contains(&number);
        }
        let fits = number <= node.threshold && (node.test & EQUAL == 0 || number == node.threshold);
        fits || missing
    }
}
