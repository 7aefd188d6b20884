//! `SequenceAt` and `SequenceLength`: one element of a sequence, and how many there are.

use std::sync::Arc;

use crate::{
    error::{Error, Result},
    graph::{ElementShape, Fact},
    op::{Accuracy, CpuState, GpuState, Inputs, KernelRequest, OpDef, Operator, ValueKernel},
    ops::{
        open::{self, Measured, Open},
        sequence::{HOST, elements, outside, place, sequence},
    },
    shape::Shape,
    tensor::{DType, Tensor, Value},
};

/// The element of a sequence at a position; negative ones count from the end.
#[derive(Clone, Debug, PartialEq)]
pub struct SequenceAt;

pub(crate) static AT: OpDef = OpDef {
    name: "SequenceAt",
    onnx: Some(|_| Ok(Arc::new(SequenceAt))),
    cases: Vec::new,
    accuracy: Accuracy::Exact,
    cpu: CpuState::Values(|_: &KernelRequest<'_>| Ok(Box::new(At))),
    gpu: GpuState::Host(HOST),
};

/// A tensor of a sequence or optional value, whose sizes are measured where they vary.
pub(super) fn element(dtype: DType, shape: &ElementShape) -> Result<Vec<Open>> {
    let ElementShape::Sizes(dims) = shape else {
        return Err(Error::unsupported("the tensors of the operand have no known number of dimensions"));
    };
    let mut measured = Measured::default();
    Ok(vec![Open::Tensor(dtype, dims.iter().map(|dim| measured.or(dim.clone())).collect())])
}

impl SequenceAt {
    fn results(inputs: &Inputs<'_>) -> Result<Vec<Open>> {
        inputs.expect(2, 2)?;
        let (fact, shape) = sequence(inputs, 0)?;
        element(fact.dtype, shape)
    }
}

impl Operator for SequenceAt {
    fn def(&self) -> &'static OpDef {
        &AT
    }

    fn takes_small(&self) -> bool {
        true
    }

    fn measures(&self, inputs: &Inputs<'_>) -> Result<usize> {
        Ok(open::count(&Self::results(inputs)?))
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        open::facts(Self::results(inputs)?, inputs)
    }
}

struct At;

impl ValueKernel for At {
    fn compute(&self, inputs: &[Option<&Value>]) -> Result<Vec<Value>> {
        let elements = elements(inputs, 0)?;
        let place = place(inputs, 1, elements.len())?.ok_or_else(|| Error::internal("no position"))?;
        let found = elements.get(place).cloned();
        Ok(vec![found.ok_or_else(|| outside(place, elements.len()))?])
    }
}

/// The number of elements of a sequence, as i64.
#[derive(Clone, Debug, PartialEq)]
pub struct SequenceLength;

pub(crate) static LENGTH: OpDef = OpDef {
    name: "SequenceLength",
    onnx: Some(|_| Ok(Arc::new(SequenceLength))),
    cases: Vec::new,
    accuracy: Accuracy::Exact,
    cpu: CpuState::Values(|_: &KernelRequest<'_>| Ok(Box::new(Length))),
    gpu: GpuState::Host(HOST),
};

impl Operator for SequenceLength {
    fn def(&self) -> &'static OpDef {
        &LENGTH
    }

    fn takes_small(&self) -> bool {
        true
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        inputs.expect(1, 1)?;
        sequence(inputs, 0)?;
        Ok(vec![Fact::new(DType::I64, Shape::scalar())])
    }
}

struct Length;

impl ValueKernel for Length {
    fn compute(&self, inputs: &[Option<&Value>]) -> Result<Vec<Value>> {
        Ok(vec![Tensor::scalar(elements(inputs, 0)?.len() as i64).into()])
    }
}
