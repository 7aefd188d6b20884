//! `SVMClassifier`: a vote of one classifier for each pair of classes.

mod probabilities;

use std::sync::Arc;

use crate::{
    error::{Error, Result},
    graph::Fact,
    op::{
        Accuracy, Case, CpuKernel, CpuState, Fill, GpuState, Inputs, Io, KernelRequest, OnnxNode, OpDef, Operator,
        Shapes,
    },
    ops::tabular::{
        Labels, ON_THE_HOST, PostTransform, SvmKernel, labels, rows, svm_kernel,
        svm_regressor::{KERNELS, spread},
    },
    shape::{Dim, Shape},
    tensor::DType,
};

/// For each row the label of the class with most votes, and scores.
///
/// Scores are a probability for each class where the model has their coefficients, otherwise the
/// sums of all pairs; of one pair also the negative sum, for the first class. Without support
/// vectors the coefficients are weights of the features for each class. Sums are in double
/// precision.
#[derive(Clone, Debug, PartialEq)]
pub struct SvmClassifier {
    /// The kernel function.
    pub kernel: SvmKernel,
    /// The support vectors, one after another, those of one class together.
    pub vectors: Vec<f32>,
    /// The number of vectors of each class.
    pub counts: Vec<usize>,
    /// The weight of each vector in the pairs of its class, for each of the other classes.
    pub coefficients: Vec<f32>,
    /// Added to the sum of each pair.
    pub rho: Vec<f32>,
    /// Two coefficients of the probability of each pair, or none.
    pub probabilities: Vec<(f32, f32)>,
    /// The classes.
    pub labels: Labels,
    /// What happens to the scores.
    pub post_transform: PostTransform,
}

pub(crate) static DEF: OpDef = OpDef {
    name: "ai.onnx.ml.SVMClassifier",
    onnx: Some(decode),
    cases,
    accuracy: Accuracy::Reduction,
    cpu: CpuState::Kernel(kernel),
    gpu: GpuState::Host(ON_THE_HOST),
};

fn decode(node: &mut OnnxNode<'_>) -> Result<Arc<dyn Operator>> {
    let labels = Labels::decode(node, "classlabels_ints", "classlabels_strings")?;
    let classes = labels.len();
    let mut floats = |name: &str| node.floats(name).map(Option::unwrap_or_default);
    let vectors = floats("support_vectors")?;
    let (coefficients, rho) = (floats("coefficients")?, floats("rho")?);
    let (a, b) = (floats("prob_a")?, floats("prob_b")?);
    let counts = svm_kernel::sizes(&node.ints("vectors_per_class")?.unwrap_or_default())?;
    let kernel = SvmKernel::decode(node)?;
    let total = counts.iter().try_fold(0usize, |sum, &count| sum.checked_add(count));
    let total = total.ok_or_else(|| Error::invalid_model("too many support vectors"))?;
    let pairs = classes.saturating_mul(classes - 1) / 2;
    let invalid = |what: String| Err(Error::invalid_model(what));
    if total > 0 {
        svm_kernel::columns(&vectors, total)?;
        if counts.len() != classes || coefficients.len() != (classes - 1).saturating_mul(total) || classes < 2 {
            let weights = coefficients.len();
            return invalid(format!("{weights} coefficients of {total} vectors of {classes} classes"));
        }
        if rho.len() != pairs || a.len() != b.len() || !(a.is_empty() || a.len() == pairs) {
            return invalid(format!("{} offsets and {} probabilities of {pairs} pairs", rho.len(), a.len()));
        }
    } else if rho.is_empty() || coefficients.is_empty() || !coefficients.len().is_multiple_of(classes) {
        return invalid(format!("{} coefficients and {} offsets of {classes} classes", coefficients.len(), rho.len()));
    }
    Ok(Arc::new(SvmClassifier {
        kernel: if total > 0 { kernel } else { SvmKernel::Linear },
        vectors: if total > 0 { vectors } else { Vec::new() },
        counts: if total > 0 { counts } else { Vec::new() },
        coefficients,
        rho,
        probabilities: a.into_iter().zip(b).collect(),
        labels,
        post_transform: PostTransform::decode(node)?,
    }))
}

impl SvmClassifier {
    fn columns(&self) -> usize {
        match self.vectors.len().checked_div(self.counts.iter().sum::<usize>()) {
            Some(columns) => columns,
            None => self.coefficients.len() / self.labels.len().max(1),
        }
    }

    /// The number of scores of a row.
    fn scores(&self) -> usize {
        let classes = self.labels.len();
        let pairs = classes * classes.saturating_sub(1) / 2;
        if self.counts.is_empty() || !self.probabilities.is_empty() || classes == 2 { classes } else { pairs }
    }
}

impl Operator for SvmClassifier {
    fn def(&self) -> &'static OpDef {
        &DEF
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        let count = rows::counted(inputs, self.columns())?;
        let labels = Fact::new(self.labels.dtype(), Shape::new([count.clone()]));
        Ok(vec![labels, Fact::new(DType::F32, Shape::new([count, Dim::from(self.scores())]))])
    }

    fn batch_axes(&self, inputs: &Inputs<'_>, axes: &[Option<usize>], _size: &Dim) -> Option<Vec<Option<usize>>> {
        rows::batch_axes(inputs, axes, 2)
    }
}

struct Kernel {
    op: SvmClassifier,
    labels: Vec<u64>,
    from: DType,
}

fn kernel(request: &KernelRequest<'_>) -> Result<Box<dyn CpuKernel>> {
    let op: &SvmClassifier = request.op()?;
    Ok(Box::new(Kernel { labels: op.labels.elements(request), op: op.clone(), from: request.input(0)?.dtype }))
}

impl CpuKernel for Kernel {
    fn scratch_bytes(&self, shapes: &Shapes<'_>) -> usize {
        rows::converted_bytes(shapes, self.from, DType::F32)
    }

    fn run(&self, io: &mut Io<'_>) -> Result<()> {
        let input = io.input(0)?;
        let (_, columns) = rows::sizes(input.shape);
        rows::expect_columns(columns, self.op.columns())?;
        let Io { outputs, scratch, .. } = io;
        let input = rows::convert(input, DType::F32, scratch)?.slice::<f32>()?;
        let [labels, output] = &mut outputs[..] else { return Err(Error::internal("a classifier has two results")) };
        let output = output.slice::<f32>()?.chunks_exact_mut(self.op.scores());
        let mut pairs = Pairs::default();
        for (row, (output, label)) in output.zip(labels::slots(labels)).enumerate() {
            let row = &input[row * columns..(row + 1) * columns];
            let (class, scores) = if self.op.counts.is_empty() { self.linear(row) } else { self.vote(row, &mut pairs) };
            *label = self.labels[class];
            output.iter_mut().zip(&scores).for_each(|(output, score)| *output = *score as f32);
        }
        Ok(())
    }

    fn packed_bytes(&self) -> usize {
        size_of_val(&*self.op.vectors) + size_of_val(&*self.op.coefficients)
    }
}

/// What is computed of a row, kept for the next one.
#[derive(Default)]
struct Pairs {
    /// The kernel function of each support vector.
    values: Vec<f64>,
    votes: Vec<usize>,
    sums: Vec<f64>,
}

impl Kernel {
    /// The class and scores of a row by weights of the features.
    fn linear(&self, row: &[f32]) -> (usize, Vec<f64>) {
        let weights = self.op.coefficients.chunks_exact(row.len().max(1));
        let rho = f64::from(self.op.rho[0]);
        let mut scores: Vec<f64> = weights.map(|weights| self.op.kernel.of(row, weights) + rho).collect();
        let mut class = labels::largest(&scores);
        // Of two classes the second, where a score is positive or, with weights that are no
        // negative numbers, at least one half: as in ONNX Runtime.
        if scores.len() == 2 {
            let all_positive = self.op.coefficients.iter().all(|&weight| weight >= 0.0);
            let most = scores[class];
            if if all_positive { most >= 0.5 } else { most > 0.0 } {
                class = 1;
            }
        }
        self.op.post_transform.apply(&mut scores);
        (class, scores)
    }

    /// The class and scores of a row by pairs of classes.
    fn vote(&self, row: &[f32], pairs: &mut Pairs) -> (usize, Vec<f64>) {
        let op = &self.op;
        let Pairs { values, votes, sums } = pairs;
        values.clear();
        values.extend(op.vectors.chunks_exact(row.len().max(1)).map(|vector| op.kernel.of(row, vector)));
        votes.clear();
        votes.resize(op.counts.len(), 0);
        sums.clear();
        let total = values.len();
        let part = |start: usize, count: usize, other: usize| -> f64 {
            let weights = &op.coefficients[other * total + start..other * total + start + count];
            weights.iter().zip(&values[start..]).map(|(&weight, value)| f64::from(weight) * value).sum()
        };
        let mut start = 0;
        for (first, &count) in op.counts.iter().enumerate() {
            let mut other_start = start + count;
            for (second, &other_count) in op.counts.iter().enumerate().skip(first + 1) {
                let sum = part(start, count, second - 1) + part(other_start, other_count, first);
                let sum = sum + f64::from(op.rho[sums.len()]);
                votes[if sum > 0.0 { first } else { second }] += 1;
                sums.push(sum);
                other_start += other_count;
            }
            start += count;
        }
        let most = votes.iter().copied().max().unwrap_or(0);
        let class = votes.iter().position(|&votes| votes == most).unwrap_or(0);
        let mut scores = if !op.probabilities.is_empty() {
            probabilities::of(sums, &op.probabilities, op.counts.len())
        } else if let [sum] = sums[..] {
            match op.post_transform {
                PostTransform::None => return (class, vec![-sum, sum]),
                PostTransform::Logistic => vec![-sum, sum],
                _ => return (class, vec![1.0 - sum, sum]),
            }
        } else {
            sums.clone()
        };
        op.post_transform.apply(&mut scores);
        (class, scores)
    }
}

fn cases() -> Vec<Case> {
    let of = |kernel, counts: &[usize]| {
        let (total, classes) = (counts.iter().sum::<usize>(), counts.len());
        SvmClassifier {
            kernel,
            vectors: spread(total * 3),
            counts: counts.to_vec(),
            coefficients: spread(total * (classes - 1)),
            rho: spread(classes * (classes - 1) / 2),
            probabilities: Vec::new(),
            labels: Labels::Integers((0..classes as i64).map(|class| class * 3 - 1).collect()),
            post_transform: PostTransform::None,
        }
    };
    let mut cases: Vec<_> = KERNELS
        .iter()
        .map(|&kernel| Case::new(format!("{kernel:?}"), of(kernel, &[2, 3, 1])).value(&[7, 3], Fill::Spread))
        .collect();
    let three = |a: f32| vec![(a, 0.1), (a, -0.2), (a * 0.5, 0.0)];
    let likely = SvmClassifier { probabilities: three(-1.0), ..of(KERNELS[2], &[2, 3, 1]) };
    let named = SvmClassifier { labels: Labels::Strings(vec!["no".into(), "yes".into()]), ..of(KERNELS[2], &[2, 2]) };
    let linear = SvmClassifier {
        vectors: Vec::new(),
        coefficients: spread(9),
        counts: Vec::new(),
        rho: vec![0.25],
        ..of(SvmKernel::Linear, &[1, 1, 1])
    };
    cases.extend([
        Case::new("two classes", of(KERNELS[2], &[3, 2])).value(&[7, 3], Fill::Spread),
        Case::new("probabilities", likely).value(&[7, 3], Fill::Spread),
        Case::new("strings", named).value(&[7, 3], Fill::Spread),
        Case::new("no vectors", linear).value(&[7, 3], Fill::Spread),
        Case::new("one row", of(KERNELS[0], &[1, 2])).value(&[3], Fill::Spread),
        Case::new("empty", of(KERNELS[0], &[1, 2])).value(&[0, 3], Fill::Spread),
    ]);
    cases
}
