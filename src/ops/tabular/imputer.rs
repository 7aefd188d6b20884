//! `Imputer`: missing values replaced.

use std::sync::Arc;

use crate::{
    error::{Error, Result},
    graph::Fact,
    op::{Accuracy, Case, CpuKernel, CpuState, Fill, GpuState, Inputs, Io, KernelRequest, OnnxNode, OpDef, Operator},
    ops::tabular::{ON_THE_HOST, rows},
    shape::Dim,
    tensor::{DType, Element, Tensor, View, ViewMut},
};

/// Elements equal to one value, or NaN where that is NaN, replaced by another, all or a column each.
#[derive(Clone, Debug, PartialEq)]
pub enum Imputer {
    /// In floating-point numbers.
    Floats {
        /// The value that is replaced.
        replaced: f32,
        /// What replaces it.
        imputed: Vec<f32>,
    },
    /// In integers.
    Integers {
        /// The value that is replaced.
        replaced: i64,
        /// What replaces it.
        imputed: Vec<i64>,
    },
}

pub(crate) static DEF: OpDef = OpDef {
    name: "ai.onnx.ml.Imputer",
    onnx: Some(decode),
    cases,
    accuracy: Accuracy::Exact,
    cpu: CpuState::Kernel(kernel),
    gpu: GpuState::Host(ON_THE_HOST),
};

fn decode(node: &mut OnnxNode<'_>) -> Result<Arc<dyn Operator>> {
    let floats = (node.float("replaced_value_float")?, node.floats("imputed_value_floats")?.unwrap_or_default());
    let integers = (node.int("replaced_value_int64")?, node.ints("imputed_value_int64s")?.unwrap_or_default());
    match (floats, integers) {
        ((replaced, imputed), (_, other)) if !imputed.is_empty() && other.is_empty() => {
            Ok(Arc::new(Imputer::Floats { replaced: replaced.unwrap_or(0.0), imputed }))
        }
        ((_, other), (replaced, imputed)) if !imputed.is_empty() && other.is_empty() => {
            Ok(Arc::new(Imputer::Integers { replaced: replaced.unwrap_or(0), imputed }))
        }
        _ => Err(Error::invalid_model("one of `imputed_value_floats` and `imputed_value_int64s` must be given")),
    }
}

impl Imputer {
    fn columns(&self) -> usize {
        match self {
            Self::Floats { imputed, .. } => imputed.len(),
            Self::Integers { imputed, .. } => imputed.len(),
        }
    }
}

impl Operator for Imputer {
    fn def(&self) -> &'static OpDef {
        &DEF
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        inputs.expect(1, 1)?;
        let input = inputs.required(0)?;
        rows::check_numbers(input)?;
        if input.dtype.is_float() != matches!(self, Self::Floats { .. }) {
            return Err(Error::invalid_model(format!("an imputer of another type than its operand {input}")));
        }
        let last = input.shape.dims().last().ok_or_else(|| Error::invalid_model("a scalar has no features"))?;
        if self.columns() != 1 {
            rows::check_columns(last, self.columns())?;
        }
        Ok(vec![Fact::new(input.dtype, input.shape.clone())])
    }

    fn batch_axes(&self, inputs: &Inputs<'_>, axes: &[Option<usize>], _size: &Dim) -> Option<Vec<Option<usize>>> {
        let last = inputs.fact(0)?.shape.rank().checked_sub(1)?;
        axes[0].filter(|&axis| axis != last).map(|axis| vec![Some(axis)])
    }
}

struct Kernel {
    op: Imputer,
}

fn kernel(request: &KernelRequest<'_>) -> Result<Box<dyn CpuKernel>> {
    Ok(Box::new(Kernel { op: request.op::<Imputer>()?.clone() }))
}

impl CpuKernel for Kernel {
    fn run(&self, io: &mut Io<'_>) -> Result<()> {
        let input = io.input(0)?;
        let output = io.output(0)?;
        let columns = input.shape.last().copied().unwrap_or(1);
        if self.op.columns() != 1 {
            rows::expect_columns(columns, self.op.columns())?;
        }
        match &self.op {
            Imputer::Floats { replaced, imputed } if input.dtype == DType::F64 => {
                let imputed: Vec<f64> = imputed.iter().map(|&value| f64::from(value)).collect();
                let replaced = f64::from(*replaced);
                fill(input, output, columns, &imputed, |x| x == replaced || (x.is_nan() && replaced.is_nan()))
            }
            Imputer::Floats { replaced, imputed } => {
                fill(input, output, columns, imputed, |x: f32| x == *replaced || (x.is_nan() && replaced.is_nan()))
            }
            Imputer::Integers { replaced, imputed } if input.dtype == DType::I32 => {
                let imputed: Vec<i32> = imputed.iter().map(|&value| value as i32).collect();
                fill(input, output, columns, &imputed, |x: i32| i64::from(x) == *replaced)
            }
            Imputer::Integers { replaced, imputed } => fill(input, output, columns, imputed, |x: i64| x == *replaced),
        }
    }
}

fn fill<T: Element>(
    input: View<'_>,
    output: &mut ViewMut<'_>,
    columns: usize,
    imputed: &[T],
    is_missing: impl Fn(T) -> bool,
) -> Result<()> {
    let (input, output) = (input.slice::<T>()?, output.slice::<T>()?);
    for (input, output) in input.chunks_exact(columns.max(1)).zip(output.chunks_exact_mut(columns.max(1))) {
        for (column, (x, y)) in input.iter().zip(output).enumerate() {
            let value = if imputed.len() == 1 { imputed[0] } else { imputed[column] };
            *y = if is_missing(*x) { value } else { *x };
        }
    }
    Ok(())
}

fn cases() -> Vec<Case> {
    let nan = |imputed: &[f32]| Imputer::Floats { replaced: f32::NAN, imputed: imputed.to_vec() };
    let minus_one = |imputed: &[i64]| Imputer::Integers { replaced: -1, imputed: imputed.to_vec() };
    let doubles = Tensor::new([2, 2], &[0.5, f64::NAN, f64::NAN, 7.0]).expect("four numbers");
    vec![
        Case::new("NaN, each", nan(&[1.0, 2.0, 3.0])).value(&[9, 3], Fill::Hostile),
        Case::new("NaN, all", nan(&[0.5])).value(&[9, 3], Fill::Hostile),
        Case::new("doubles", nan(&[0.1, 0.2])).tensor(doubles),
        Case::new("zero", Imputer::Floats { replaced: 0.0, imputed: vec![9.0] }).value(&[9, 3], Fill::Hostile),
        Case::new("integers", minus_one(&[5, 6])).integers(&[2, 2], &[-1, -1, 1, 2]),
        Case::new("small", minus_one(&[5])).tensor(Tensor::new([3], &[-1i32, 0, -1]).expect("three integers")),
    ]
}
