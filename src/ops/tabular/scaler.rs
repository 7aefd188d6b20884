//! `Scaler`: features with an offset taken off, then scaled.

use std::sync::Arc;

use crate::{
    error::{Error, Result},
    graph::Fact,
    op::{
        Accuracy, Case, CpuKernel, CpuState, Fill, GpuState, Inputs, Io, KernelRequest, OnnxNode, OpDef, Operator,
        Shapes, first_result,
    },
    ops::tabular::{ON_THE_HOST, rows},
    shape::Dim,
    tensor::{DType, Tensor},
};

/// `(x - offset) * scale` along the last axis, in single precision.
#[derive(Clone, Debug, PartialEq)]
pub struct Scaler {
    /// Of all features, or of each.
    pub offset: Vec<f32>,
    /// Of all features, or of each.
    pub scale: Vec<f32>,
}

pub(crate) static DEF: OpDef = OpDef {
    name: "ai.onnx.ml.Scaler",
    onnx: Some(decode),
    cases,
    accuracy: Accuracy::Pointwise,
    cpu: CpuState::Kernel(kernel),
    gpu: GpuState::Host(ON_THE_HOST),
};

fn decode(node: &mut OnnxNode<'_>) -> Result<Arc<dyn Operator>> {
    let of = |list: Option<Vec<f32>>, default: f32| list.filter(|all| !all.is_empty()).unwrap_or(vec![default]);
    Ok(Arc::new(Scaler { offset: of(node.floats("offset")?, 0.0), scale: of(node.floats("scale")?, 1.0) }))
}

impl Operator for Scaler {
    fn def(&self) -> &'static OpDef {
        &DEF
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        inputs.expect(1, 1)?;
        let input = inputs.required(0)?;
        rows::check_numbers(input)?;
        let columns = input.shape.dims().last().ok_or_else(|| Error::invalid_model("a scalar has no features"))?;
        for list in [&self.offset, &self.scale].into_iter().filter(|list| list.len() != 1) {
            rows::check_columns(columns, list.len())?;
        }
        Ok(vec![Fact::new(DType::F32, input.shape.clone())])
    }

    fn batch_axes(&self, inputs: &Inputs<'_>, axes: &[Option<usize>], _size: &Dim) -> Option<Vec<Option<usize>>> {
        let last = inputs.fact(0)?.shape.rank().checked_sub(1)?;
        axes[0].filter(|&axis| axis != last).map(|axis| vec![Some(axis)])
    }
}

struct Kernel {
    op: Scaler,
    from: DType,
}

fn kernel(request: &KernelRequest<'_>) -> Result<Box<dyn CpuKernel>> {
    Ok(Box::new(Kernel { op: request.op::<Scaler>()?.clone(), from: request.input(0)?.dtype }))
}

impl CpuKernel for Kernel {
    fn scratch_bytes(&self, shapes: &Shapes<'_>) -> usize {
        rows::converted_bytes(shapes, self.from, DType::F32)
    }

    fn run(&self, io: &mut Io<'_>) -> Result<()> {
        let Scaler { offset, scale } = &self.op;
        let input = io.input(0)?;
        let columns = input.shape.last().copied().unwrap_or(1);
        let Io { outputs, scratch, .. } = io;
        let input = rows::convert(input, DType::F32, scratch)?.slice::<f32>()?;
        let output = first_result(outputs)?.slice::<f32>()?;
        for list in [offset, scale].into_iter().filter(|list| list.len() != 1) {
            rows::expect_columns(columns, list.len())?;
        }
        let of = |list: &[f32], column: usize| if list.len() == 1 { list[0] } else { list[column] };
        for (input, output) in input.chunks_exact(columns.max(1)).zip(output.chunks_exact_mut(columns.max(1))) {
            for (column, (x, y)) in input.iter().zip(output).enumerate() {
                *y = (x - of(offset, column)) * of(scale, column);
            }
        }
        Ok(())
    }
}

fn cases() -> Vec<Case> {
    let each = || Scaler { offset: vec![0.5, -1.0, 0.0], scale: vec![2.0, 0.5, -3.0] };
    let all = || Scaler { offset: vec![0.25], scale: vec![4.0] };
    let integers = Tensor::new([2, 3], &[1i32, -2, 3, 1 << 30, 0, 7]).expect("six integers");
    vec![
        Case::new("each", each()).value(&[5, 3], Fill::Hostile),
        Case::new("all", all()).value(&[4, 7], Fill::Spread),
        Case::new("deep", each()).value(&[2, 2, 3], Fill::Spread),
        Case::new("integers", each()).tensor(integers),
        Case::new("doubles", all()).tensor(Tensor::new([2], &[0.1f64, 1e300]).expect("two numbers")),
        Case::new("empty", each()).value(&[0, 3], Fill::Spread),
    ]
}
