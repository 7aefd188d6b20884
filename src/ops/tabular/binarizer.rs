//! `Binarizer`: 1 above a threshold, 0 elsewhere.

use std::sync::Arc;

use crate::{
    error::Result,
    graph::Fact,
    op::{Accuracy, Case, CpuKernel, CpuState, Fill, GpuState, Inputs, Io, KernelRequest, OnnxNode, OpDef, Operator},
    ops::tabular::{ON_THE_HOST, rows},
    shape::Dim,
    tensor::{DType, Tensor},
};

/// 1 where a number is larger than the threshold, else 0, in the same type.
#[derive(Clone, Debug, PartialEq)]
pub struct Binarizer {
    /// The threshold.
    pub threshold: f32,
}

pub(crate) static DEF: OpDef = OpDef {
    name: "ai.onnx.ml.Binarizer",
    onnx: Some(decode),
    cases,
    accuracy: Accuracy::Exact,
    cpu: CpuState::Kernel(kernel),
    gpu: GpuState::Host(ON_THE_HOST),
};

fn decode(node: &mut OnnxNode<'_>) -> Result<Arc<dyn Operator>> {
    Ok(Arc::new(Binarizer { threshold: node.float("threshold")?.unwrap_or(0.0) }))
}

impl Operator for Binarizer {
    fn def(&self) -> &'static OpDef {
        &DEF
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        inputs.expect(1, 1)?;
        let input = inputs.required(0)?;
        rows::check_numbers(input)?;
        Ok(vec![Fact::new(input.dtype, input.shape.clone())])
    }

    fn batch_axes(&self, _inputs: &Inputs<'_>, axes: &[Option<usize>], _size: &Dim) -> Option<Vec<Option<usize>>> {
        axes[0].map(|axis| vec![Some(axis)])
    }
}

struct Kernel {
    threshold: f32,
}

fn kernel(request: &KernelRequest<'_>) -> Result<Box<dyn CpuKernel>> {
    Ok(Box::new(Kernel { threshold: request.op::<Binarizer>()?.threshold }))
}

impl CpuKernel for Kernel {
    fn run(&self, io: &mut Io<'_>) -> Result<()> {
        let (input, threshold) = (io.input(0)?, self.threshold);
        let output = io.output(0)?;
        macro_rules! compare {
            ($element:ty, $wide:ty) => {
                for (x, y) in input.slice::<$element>()?.iter().zip(output.slice::<$element>()?) {
                    *y = if *x as $wide > threshold as $wide { 1 as $element } else { 0 as $element };
                }
            };
        }
        match input.dtype {
            DType::F64 => compare!(f64, f64),
            DType::I32 => compare!(i32, f64),
            DType::I64 => compare!(i64, f64),
            _ => compare!(f32, f32),
        }
        Ok(())
    }
}

fn cases() -> Vec<Case> {
    let above = |threshold| Binarizer { threshold };
    vec![
        Case::new("zero", above(0.0)).value(&[5, 7], Fill::Hostile),
        Case::new("half", above(0.5)).value(&[5], Fill::Spread),
        Case::new("integers", above(2.0)).integers(&[4], &[1, 2, 3, i64::MIN]),
        Case::new("small integers", above(2.5)).tensor(Tensor::new([3], &[2i32, 3, -9]).expect("three integers")),
        Case::new("doubles", above(0.5)).tensor(Tensor::new([3], &[0.5f64, 0.500_001, -1.0]).expect("three numbers")),
    ]
}
