//! `NonZero`: where the operand is not zero.

use std::sync::Arc;

use crate::{
    error::{Error, Result},
    graph::Fact,
    kernels::number::{Number, with_number},
    op::{Accuracy, Case, CpuKernel, CpuState, Fill, GpuState, Inputs, Io, KernelRequest, OnnxNode, OpDef, Operator},
    ops::tracked,
    shape::{Dim, Shape},
    tensor::{DType, Tensor},
};

/// The indices of the elements that are not zero: i64 `[rank, elements]`, in row-major order.
///
/// NaN is not zero. A scalar has no axes, so the first size is 0.
#[derive(Clone, Debug, PartialEq)]
pub struct NonZero;

pub(crate) static DEF: OpDef = OpDef {
    name: "NonZero",
    onnx: Some(decode),
    cases,
    accuracy: Accuracy::Exact,
    cpu: CpuState::Kernel(kernel),
    gpu: GpuState::Host("its sizes are known only while it runs"),
};

fn decode(_node: &mut OnnxNode<'_>) -> Result<Arc<dyn Operator>> {
    Ok(Arc::new(NonZero))
}

impl Operator for NonZero {
    fn def(&self) -> &'static OpDef {
        &DEF
    }

    fn measures(&self, _inputs: &Inputs<'_>) -> Result<usize> {
        Ok(1)
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        inputs.expect(1, 1)?;
        if inputs.required(0)?.dtype == DType::String {
            return Err(Error::unsupported("ONNX does not say which strings are zero"));
        }
        if let Some(facts) = tracked::computed(inputs, compute)? {
            return Ok(facts);
        }
        let rank = inputs.required(0)?.shape.rank();
        Ok(vec![Fact::new(DType::I64, Shape::new(vec![Dim::from(rank), inputs.measured(0)?]))])
    }
}

struct Kernel;

fn kernel(_request: &KernelRequest<'_>) -> Result<Box<dyn CpuKernel>> {
    Ok(Box::new(Kernel))
}

impl CpuKernel for Kernel {
    fn run(&self, io: &mut Io<'_>) -> Result<()> {
        io.fill_by(compute)
    }

    fn compute(&self, inputs: &[Option<&Tensor>]) -> Result<Vec<Tensor>> {
        compute(inputs)
    }
}

fn compute(inputs: &[Option<&Tensor>]) -> Result<Vec<Tensor>> {
    let &[Some(input)] = inputs else { return Err(Error::internal("NonZero has one operand")) };
    let found: Vec<usize> = with_number!(input.dtype(), T => {
        let elements = input.as_slice::<T>()?.iter().enumerate();
        elements.filter(|(_, element)| **element != T::ZERO).map(|(place, _)| place).collect()
    }, else {
        input.bytes().iter().enumerate().filter(|(_, byte)| **byte != 0).map(|(place, _)| place).collect()
    });
    let shape = input.shape();
    let mut indices = Tensor::zeros(DType::I64, [shape.len(), found.len()])?;
    let rows = indices.as_mut_slice::<i64>()?;
    for (column, &place) in found.iter().enumerate() {
        let mut rest = place;
        for axis in (0..shape.len()).rev() {
            rows[axis * found.len() + column] = (rest % shape[axis]) as i64;
            rest /= shape[axis];
        }
    }
    Ok(vec![indices])
}

fn cases() -> Vec<Case> {
    let flags = Tensor::from_bools([2, 3], &[true, false, false, true, true, false]).expect("six flags");
    vec![
        Case::new("hostile", NonZero).value(&[3, 5], Fill::Hostile),
        Case::new("integers", NonZero).integers(&[2, 2, 2], &[0, 3, 0, 0, -1, 7, 0, 1]),
        Case::new("flags", NonZero).tensor(flags),
        Case::new("none", NonZero).integers(&[4], &[0; 4]),
        Case::new("scalar", NonZero).integers(&[], &[5]),
        Case::new("empty", NonZero).value(&[0, 3], Fill::Spread),
    ]
}
