//! `LinearRegressor`: a weighted sum of features for each target.

use std::sync::Arc;

use crate::{
    error::{Error, Result},
    graph::Fact,
    op::{
        Accuracy, Case, CpuKernel, CpuState, Fill, GpuState, Inputs, Io, KernelRequest, OnnxNode, OpDef, Operator,
        Shapes, first_result,
    },
    ops::tabular::{ON_THE_HOST, PostTransform, rows},
    shape::{Dim, Shape},
    tensor::{DType, Tensor},
};

/// For each row `coefficients * x + intercepts`, summed in double precision.
#[derive(Clone, Debug, PartialEq)]
pub struct LinearRegressor {
    /// The weights of each target, one after another.
    pub coefficients: Vec<f32>,
    /// Added to each target.
    pub intercepts: Vec<f32>,
    /// What happens to the sums.
    pub post_transform: PostTransform,
}

pub(crate) static DEF: OpDef = OpDef {
    name: "ai.onnx.ml.LinearRegressor",
    onnx: Some(decode),
    cases,
    accuracy: Accuracy::Reduction,
    cpu: CpuState::Kernel(kernel),
    gpu: GpuState::Host(ON_THE_HOST),
};

fn decode(node: &mut OnnxNode<'_>) -> Result<Arc<dyn Operator>> {
    let targets = node.int("targets")?.unwrap_or(1);
    let coefficients = node.floats("coefficients")?.unwrap_or_default();
    let targets =
        usize::try_from(targets).ok().filter(|&targets| targets > 0 && coefficients.len().is_multiple_of(targets));
    let targets = targets.ok_or_else(|| Error::invalid_model("`coefficients` are not alike for all targets"))?;
    let intercepts = node
        .floats("intercepts")?
        .filter(|all| !all.is_empty())
        .map_or_else(|| Ok(vec![0.0; targets.min(coefficients.len())]), Ok)?;
    if intercepts.len() != targets {
        return Err(Error::invalid_model(format!("{} intercepts of {targets} targets", intercepts.len())));
    }
    Ok(Arc::new(LinearRegressor { coefficients, intercepts, post_transform: PostTransform::decode(node)? }))
}

impl LinearRegressor {
    fn columns(&self) -> usize {
        self.coefficients.len() / self.intercepts.len().max(1)
    }
}

impl Operator for LinearRegressor {
    fn def(&self) -> &'static OpDef {
        &DEF
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        let count = rows::counted(inputs, self.columns())?;
        Ok(vec![Fact::new(DType::F32, Shape::new([count, Dim::from(self.intercepts.len())]))])
    }

    fn batch_axes(&self, inputs: &Inputs<'_>, axes: &[Option<usize>], _size: &Dim) -> Option<Vec<Option<usize>>> {
        rows::batch_axes(inputs, axes, 1)
    }
}

struct Kernel {
    sums: Sums,
    post_transform: PostTransform,
    from: DType,
}

fn kernel(request: &KernelRequest<'_>) -> Result<Box<dyn CpuKernel>> {
    let op: &LinearRegressor = request.op()?;
    let sums = Sums::new(&op.coefficients, &op.intercepts);
    Ok(Box::new(Kernel { sums, post_transform: op.post_transform, from: request.input(0)?.dtype }))
}

impl CpuKernel for Kernel {
    fn scratch_bytes(&self, shapes: &Shapes<'_>) -> usize {
        rows::converted_bytes(shapes, self.from, DType::F32)
    }

    fn run(&self, io: &mut Io<'_>) -> Result<()> {
        let input = io.input(0)?;
        let (_, columns) = rows::sizes(input.shape);
        self.sums.check(columns)?;
        let Io { outputs, scratch, .. } = io;
        let input = rows::convert(input, DType::F32, scratch)?.slice::<f32>()?;
        let output = first_result(outputs)?.slice::<f32>()?;
        let mut scores = vec![0.0; self.sums.len()];
        for (row, output) in output.chunks_exact_mut(self.sums.len()).enumerate() {
            self.sums.score(&input[row * columns..(row + 1) * columns], &mut scores);
            self.post_transform.apply(&mut scores);
            output.iter_mut().zip(&scores).for_each(|(output, score)| *output = *score as f32);
        }
        Ok(())
    }

    fn packed_bytes(&self) -> usize {
        self.sums.bytes()
    }
}

/// Weighted sums of features.
pub(super) struct Sums {
    coefficients: Vec<f32>,
    intercepts: Vec<f32>,
}

impl Sums {
    pub(super) fn new(coefficients: &[f32], intercepts: &[f32]) -> Self {
        Self { coefficients: coefficients.to_vec(), intercepts: intercepts.to_vec() }
    }

    /// The number of sums.
    pub(super) fn len(&self) -> usize {
        self.intercepts.len()
    }

    pub(super) fn bytes(&self) -> usize {
        size_of_val(&*self.coefficients) + size_of_val(&*self.intercepts)
    }

    /// Refuses rows of another number of features.
    pub(super) fn check(&self, columns: usize) -> Result<()> {
        rows::expect_columns(columns, self.coefficients.len() / self.intercepts.len().max(1))
    }

    /// The sums of a row.
    pub(super) fn score(&self, row: &[f32], scores: &mut [f64]) {
        for (target, score) in scores.iter_mut().enumerate() {
            let weights = &self.coefficients[target * row.len()..(target + 1) * row.len()];
            *score = dot(row, weights) + f64::from(self.intercepts[target]);
        }
    }
}

/// The sum of products, in several parts that run side by side.
pub(super) fn dot(a: &[f32], b: &[f32]) -> f64 {
    const PARTS: usize = 8;
    let mut sums = [0.0f64; PARTS];
    let (a_parts, b_parts) = (a.chunks_exact(PARTS), b.chunks_exact(PARTS));
    let rest = a_parts.remainder().iter().zip(b_parts.remainder());
    let rest: f64 = rest.map(|(&a, &b)| f64::from(a) * f64::from(b)).sum();
    for (a, b) in a_parts.zip(b_parts) {
        for (sum, (&a, &b)) in sums.iter_mut().zip(a.iter().zip(b)) {
            *sum += f64::from(a) * f64::from(b);
        }
    }
    sums.iter().sum::<f64>() + rest
}

fn cases() -> Vec<Case> {
    let of = |targets: usize, columns: usize, post_transform| LinearRegressor {
        coefficients: (0..targets * columns).map(|index| (index as f32 - 3.5) * 0.25).collect(),
        intercepts: (0..targets).map(|index| index as f32 - 0.5).collect(),
        post_transform,
    };
    vec![
        Case::new("one target", of(1, 19, PostTransform::None)).value(&[5, 19], Fill::Spread),
        Case::new("softmax", of(3, 4, PostTransform::Softmax)).value(&[5, 4], Fill::Spread),
        Case::new("logistic", of(2, 3, PostTransform::Logistic)).value(&[4, 3], Fill::Spread),
        Case::new("one row", of(2, 3, PostTransform::None)).value(&[3], Fill::Spread),
        Case::new("integers", of(2, 2, PostTransform::None)).integers(&[2, 2], &[3, -4, 0, 7]),
        Case::new("doubles", of(1, 2, PostTransform::None)).tensor(Tensor::new([1, 2], &[0.5f64, 2.0]).expect("two")),
        Case::new("empty", of(2, 3, PostTransform::None)).value(&[0, 3], Fill::Spread),
    ]
}
