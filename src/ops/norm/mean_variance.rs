//! `MeanVarianceNormalization`: elements less their mean, divided by their standard deviation.

use std::sync::Arc;

use crate::{
    error::{Error, Result},
    graph::Fact,
    op::{Accuracy, Case, CpuState, Fill, GpuState, Inputs, Io, OnnxNode, OpDef, Operator, function_kernel},
    ops::wide,
    shape::{Dim, Shape, normalize_axis},
    tensor::DType,
};

/// `(x - mean) / (deviation + 1e-9)` over some axes, by the standard deviation of all elements.
///
/// Equal elements become 0, as ONNX defines it; onnxruntime lacks the small divisor and gives NaN.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeanVarianceNorm {
    /// The axes; negative ones count from the end.
    pub axes: Vec<i64>,
}

/// Added to the deviation.
const EPSILON: f64 = 1e-9;

pub(crate) static DEF: OpDef = OpDef {
    name: "MeanVarianceNormalization",
    onnx: Some(|node: &mut OnnxNode<'_>| {
        Ok(Arc::new(MeanVarianceNorm { axes: node.ints("axes")?.unwrap_or_else(|| vec![0, 2, 3]) }))
    }),
    cases,
    accuracy: Accuracy::Reduction,
    cpu: CpuState::Kernel(|request| function_kernel::<MeanVarianceNorm>(request, run)),
    gpu: GpuState::Host("no shader yet"),
};

impl MeanVarianceNorm {
    /// Whether each axis is normalized over.
    fn reduced(&self, rank: usize) -> Result<Vec<bool>> {
        let mut reduced = vec![false; rank];
        for &axis in &self.axes {
            reduced[normalize_axis(axis, rank)?] = true;
        }
        Ok(reduced)
    }
}

impl Operator for MeanVarianceNorm {
    fn def(&self) -> &'static OpDef {
        &DEF
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        inputs.expect(1, 1)?;
        let input = inputs.required(0)?;
        if !matches!(input.dtype, DType::F32 | DType::F64) {
            return Err(Error::unsupported(format!("a norm of {input}; only f32 and f64 are")));
        }
        self.reduced(input.shape.rank())?;
        Ok(vec![Fact::new(input.dtype, Shape::clone(&input.shape))])
    }

    fn batch_axes(&self, inputs: &Inputs<'_>, axes: &[Option<usize>], _size: &Dim) -> Option<Vec<Option<usize>>> {
        let reduced = self.reduced(inputs.fact(0)?.shape.rank()).ok()?;
        axes[0].is_none_or(|axis| !reduced[axis]).then(|| vec![axes[0]])
    }
}

fn run(op: &MeanVarianceNorm, io: &mut Io<'_>) -> Result<()> {
    let input = io.input(0)?;
    let reduced = op.reduced(input.shape.len())?;
    // The distance of one step along each axis in the list of groups.
    let (mut steps, mut groups) = (vec![0; reduced.len()], 1);
    for axis in (0..reduced.len()).rev().filter(|&axis| !reduced[axis]) {
        steps[axis] = groups;
        groups *= input.shape[axis];
    }
    let mut numbers = wide::read(input)?;
    if numbers.is_empty() {
        return Ok(());
    }
    let count = (numbers.len() / groups) as f64;
    let mut means = vec![0.0; groups];
    each_group(input.shape, &steps, &mut numbers, |group, x| means[group] += *x);
    means.iter_mut().for_each(|mean| *mean /= count);
    let mut variances = vec![0.0; groups];
    each_group(input.shape, &steps, &mut numbers, |group, x| {
        *x -= means[group];
        variances[group] += *x * *x;
    });
    each_group(input.shape, &steps, &mut numbers, |group, x| *x /= (variances[group] / count).sqrt() + EPSILON);
    wide::write(io.output(0)?, &numbers)
}

/// Calls `visit` with each number and its group.
fn each_group(shape: &[usize], steps: &[usize], numbers: &mut [f64], mut visit: impl FnMut(usize, &mut f64)) {
    let (mut index, mut group) = (vec![0; shape.len()], 0);
    for number in numbers {
        visit(group, number);
        for axis in (0..shape.len()).rev() {
            index[axis] += 1;
            group += steps[axis];
            if index[axis] < shape[axis] {
                break;
            }
            group -= steps[axis] * shape[axis];
            index[axis] = 0;
        }
    }
}

fn cases() -> Vec<Case> {
    let over = |axes: &[i64]| MeanVarianceNorm { axes: axes.to_vec() };
    let equal = crate::Tensor::new([2, 3], &[1.5f32; 6]).expect("six numbers");
    let doubles = crate::Tensor::new([4], &[1f64, -2.0, 4.0, 1e3]).expect("four numbers");
    vec![
        Case::new("channels", over(&[0, 2, 3])).value(&[2, 3, 5, 4], Fill::Spread),
        Case::new("all", over(&[0, 1, 2])).value(&[2, 3, 5], Fill::Spread),
        Case::new("last", over(&[-1])).value(&[3, 7], Fill::Large),
        Case::new("middle", over(&[1])).value(&[2, 5, 3], Fill::Spread),
        Case::new("equal", over(&[1])).tensor(equal),
        Case::new("f64", over(&[0])).tensor(doubles),
        Case::new("empty", over(&[0])).value(&[0, 3], Fill::Spread),
        Case::new("no channels", over(&[0])).value(&[3, 0], Fill::Spread),
    ]
}
