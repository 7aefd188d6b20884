//! `TreeEnsembleClassifier`: the class of each row, and the scores of all classes.

use std::sync::Arc;

use crate::{
    error::{Error, Result},
    graph::Fact,
    op::{Accuracy, Case, CpuKernel, CpuState, GpuState, Inputs, Io, KernelRequest, OnnxNode, OpDef, Operator, Shapes},
    ops::tabular::{
        Labels, ON_THE_HOST, PostTransform, Trees, labels, rows,
        trees::{self, Aggregate, Names},
    },
    shape::{Dim, Shape},
    tensor::DType,
};

/// For each row of features the label of its class, and a score for each class.
///
/// Features are compared in their own precision; weights are summed in double precision, in the
/// order of the trees.
#[derive(Clone, Debug)]
pub struct TreeEnsembleClassifier {
    /// The trees.
    pub trees: Trees,
    /// The classes.
    pub labels: Labels,
    /// Added to the scores.
    pub base: Vec<f64>,
    /// What happens to the scores.
    pub post_transform: PostTransform,
    /// How the leaves score two classes.
    pub scores: Scores,
}

/// What the weights of the leaves say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scores {
    /// A score for each class.
    Each,
    /// A probability of the second of two classes: all weights are of this class and none is
    /// negative.
    Probability(usize),
    /// A number that is positive for the second of two classes: all weights are of this class.
    Sign(usize),
}

pub(crate) static DEF: OpDef = OpDef {
    name: "ai.onnx.ml.TreeEnsembleClassifier",
    onnx: Some(decode),
    cases,
    accuracy: Accuracy::Pointwise,
    cpu: CpuState::Kernel(kernel),
    gpu: GpuState::Host(ON_THE_HOST),
};

const NAMES: Names =
    Names { ids: "class_ids", nodes: "class_nodeids", trees: "class_treeids", weights: "class_weights" };

fn decode(node: &mut OnnxNode<'_>) -> Result<Arc<dyn Operator>> {
    let labels = Labels::decode(node, "classlabels_int64s", "classlabels_strings")?;
    let trees::Read { trees, used, has_negative } = trees::read(node, &NAMES, labels.len())?;
    let base = trees::numbers(node, "base_values")?.doubles();
    let post_transform = PostTransform::decode(node)?;
    let scores = match (labels.len(), &used[..]) {
        // The sign of a score before the logistic function is what its probability says.
        (2, &[class]) if has_negative || post_transform == PostTransform::Logistic => Scores::Sign(class),
        (2, &[class]) => Scores::Probability(class),
        _ => Scores::Each,
    };
    let most = if scores == Scores::Each { labels.len() } else { 2 };
    let fits = base.is_empty() || base.len() == most || (scores != Scores::Each && base.len() == 1);
    if !fits {
        return Err(Error::invalid_model(format!("{} base values of {} classes", base.len(), labels.len())));
    }
    Ok(Arc::new(TreeEnsembleClassifier { trees, labels, base, post_transform, scores }))
}

impl Operator for TreeEnsembleClassifier {
    fn def(&self) -> &'static OpDef {
        &DEF
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        inputs.expect(1, 1)?;
        let input = inputs.required(0)?;
        rows::check_numbers(input)?;
        self.trees.check(input)?;
        let (count, _) = rows::table(input)?;
        let labels = Fact::new(self.labels.dtype(), Shape::new([count.clone()]));
        Ok(vec![labels, Fact::new(DType::F32, Shape::new([count, Dim::from(self.labels.len())]))])
    }

    fn batch_axes(&self, inputs: &Inputs<'_>, axes: &[Option<usize>], _size: &Dim) -> Option<Vec<Option<usize>>> {
        rows::batch_axes(inputs, axes, 2)
    }
}

struct Kernel {
    op: TreeEnsembleClassifier,
    from: DType,
    labels: Vec<u64>,
}

fn kernel(request: &KernelRequest<'_>) -> Result<Box<dyn CpuKernel>> {
    let op: &TreeEnsembleClassifier = request.op()?;
    let labels = op.labels.elements(request);
    Ok(Box::new(Kernel { op: op.clone(), from: request.input(0)?.dtype, labels }))
}

impl CpuKernel for Kernel {
    fn scratch_bytes(&self, shapes: &Shapes<'_>) -> usize {
        self.op.trees.scratch_bytes(shapes, self.from, self.labels.len())
    }

    fn run(&self, io: &mut Io<'_>) -> Result<()> {
        let classes = self.labels.len();
        let input = io.input(0)?;
        let Io { outputs, scratch, .. } = io;
        let [labels, scores] = &mut outputs[..] else { return Err(Error::internal("a classifier has two results")) };
        let rows = self.op.trees.score(input, Aggregate::Sum, classes, scratch)?;
        let scores = scores.slice::<f32>()?.chunks_exact_mut(classes);
        for ((row, scores), label) in rows.chunks_exact_mut(classes).zip(scores).zip(labels::slots(labels)) {
            *label = self.labels[self.op.classify(row)];
            scores.iter_mut().zip(row).for_each(|(score, number)| *score = *number as f32);
        }
        Ok(())
    }

    fn packed_bytes(&self) -> usize {
        self.op.trees.bytes()
    }
}

impl TreeEnsembleClassifier {
    /// The class of a row, whose sums become scores.
    fn classify(&self, row: &mut [f64]) -> usize {
        let class = match self.scores {
            Scores::Each => {
                row.iter_mut().zip(&self.base).for_each(|(score, base)| *score += base);
                row.iter_mut().for_each(|score| *score = single(*score));
                labels::largest(row)
            }
            // Of two base values the second counts.
            Scores::Probability(class) => {
                let score = single(row[class] + self.base.last().unwrap_or(&0.0));
                row.copy_from_slice(&[1.0 - score, score]);
                usize::from(score > 0.5)
            }
            Scores::Sign(class) => {
                let score = single(row[class] + self.base.last().unwrap_or(&0.0));
                row.copy_from_slice(&[-score, score]);
                usize::from(score > 0.0)
            }
        };
        self.post_transform.apply(row);
        class
    }
}

/// A score in single precision, in which equal shares of the trees are equal.
fn single(score: f64) -> f64 {
    f64::from(score as f32)
}

fn cases() -> Vec<Case> {
    trees::cases::classifiers()
}
