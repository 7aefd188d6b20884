//! `SVMRegressor`: a weighted sum of kernel functions.

use std::sync::Arc;

use crate::{
    error::{Error, Result},
    graph::Fact,
    op::{
        Accuracy, Case, CpuKernel, CpuState, Fill, GpuState, Inputs, Io, KernelRequest, OnnxNode, OpDef, Operator,
        Shapes, first_result,
    },
    ops::tabular::{ON_THE_HOST, PostTransform, SvmKernel, rows, svm_kernel},
    shape::{Dim, Shape},
    tensor::DType,
};

/// For each row one number, or with one class 1 where it is positive and -1 elsewhere.
///
/// Without support vectors the coefficients are weights of the features. Sums are in double
/// precision.
#[derive(Clone, Debug, PartialEq)]
pub struct SvmRegressor {
    /// The kernel function.
    pub kernel: SvmKernel,
    /// The support vectors, one after another.
    pub vectors: Vec<f32>,
    /// The weight of each vector, or of each feature.
    pub coefficients: Vec<f32>,
    /// Added to the sum.
    pub rho: f32,
    /// Whether rows are told from outliers.
    pub one_class: bool,
    /// What happens to the sum.
    pub post_transform: PostTransform,
}

pub(crate) static DEF: OpDef = OpDef {
    name: "ai.onnx.ml.SVMRegressor",
    onnx: Some(decode),
    cases,
    accuracy: Accuracy::Reduction,
    cpu: CpuState::Kernel(kernel),
    gpu: GpuState::Host(ON_THE_HOST),
};

fn decode(node: &mut OnnxNode<'_>) -> Result<Arc<dyn Operator>> {
    let count = node.int("n_supports")?.unwrap_or(0);
    let vectors = node.floats("support_vectors")?.unwrap_or_default();
    let coefficients = node.floats("coefficients")?.unwrap_or_default();
    let rho = node.floats("rho")?.and_then(|rho| rho.first().copied()).unwrap_or(0.0);
    let kernel = SvmKernel::decode(node)?;
    if count > 0 {
        svm_kernel::columns(&vectors, count as usize)?;
        if coefficients.len() != count as usize {
            return Err(Error::invalid_model(format!("{} coefficients of {count} vectors", coefficients.len())));
        }
    }
    Ok(Arc::new(SvmRegressor {
        kernel: if count > 0 { kernel } else { SvmKernel::Linear },
        vectors: if count > 0 { vectors } else { Vec::new() },
        coefficients,
        rho,
        one_class: node.flag("one_class", false)?,
        post_transform: PostTransform::decode(node)?,
    }))
}

impl SvmRegressor {
    fn columns(&self) -> usize {
        match self.vectors.len().checked_div(self.coefficients.len()) {
            Some(columns) if columns > 0 => columns,
            _ => self.coefficients.len(),
        }
    }

    fn score(&self, row: &[f32]) -> f64 {
        let sum = if self.vectors.is_empty() {
            self.kernel.of(row, &self.coefficients)
        } else {
            let vectors = self.vectors.chunks_exact(row.len().max(1)).zip(&self.coefficients);
            vectors.map(|(vector, weight)| f64::from(*weight) * self.kernel.of(row, vector)).sum()
        };
        sum + f64::from(self.rho)
    }
}

impl Operator for SvmRegressor {
    fn def(&self) -> &'static OpDef {
        &DEF
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        let count = rows::counted(inputs, self.columns())?;
        Ok(vec![Fact::new(DType::F32, Shape::new([count, Dim::from(1)]))])
    }

    fn batch_axes(&self, inputs: &Inputs<'_>, axes: &[Option<usize>], _size: &Dim) -> Option<Vec<Option<usize>>> {
        rows::batch_axes(inputs, axes, 1)
    }
}

struct Kernel {
    op: SvmRegressor,
    from: DType,
}

fn kernel(request: &KernelRequest<'_>) -> Result<Box<dyn CpuKernel>> {
    Ok(Box::new(Kernel { op: request.op::<SvmRegressor>()?.clone(), from: request.input(0)?.dtype }))
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
        let output = first_result(outputs)?.slice::<f32>()?;
        for (row, output) in output.iter_mut().enumerate() {
            let score = self.op.score(&input[row * columns..(row + 1) * columns]);
            let mut scores = [score];
            self.op.post_transform.apply(&mut scores);
            *output = match self.op.one_class {
                true if score > 0.0 => 1.0,
                true => -1.0,
                false => scores[0] as f32,
            };
        }
        Ok(())
    }

    fn packed_bytes(&self) -> usize {
        size_of_val(&*self.op.vectors) + size_of_val(&*self.op.coefficients)
    }
}

/// Numbers between -1 and 1.
pub(super) fn spread(count: usize) -> Vec<f32> {
    (0..count).map(|index| (index * 37 % 64) as f32 / 32.0 - 1.0).collect()
}

/// Each kernel function.
pub(super) const KERNELS: [SvmKernel; 4] = [
    SvmKernel::Linear,
    SvmKernel::Poly { gamma: 0.5, coef0: 1.0, degree: 3.0 },
    SvmKernel::Rbf { gamma: 0.25 },
    SvmKernel::Sigmoid { gamma: 0.25, coef0: -0.5 },
];

fn cases() -> Vec<Case> {
    let of = |kernel| SvmRegressor {
        kernel,
        vectors: spread(6 * 5),
        coefficients: spread(6),
        rho: 0.125,
        one_class: false,
        post_transform: PostTransform::None,
    };
    let mut cases: Vec<_> = KERNELS
        .iter()
        .map(|&kernel| Case::new(format!("{kernel:?}"), of(kernel)).value(&[7, 5], Fill::Spread))
        .collect();
    let outliers = SvmRegressor { one_class: true, ..of(KERNELS[2]) };
    let linear = SvmRegressor { vectors: Vec::new(), ..of(SvmKernel::Linear) };
    cases.extend([
        Case::new("one class", outliers).value(&[9, 5], Fill::Spread),
        Case::new("no vectors", linear).value(&[9, 6], Fill::Spread),
        Case::new("one row", of(KERNELS[0])).value(&[5], Fill::Spread),
        Case::new("empty", of(KERNELS[1])).value(&[0, 5], Fill::Spread),
    ]);
    cases
}
