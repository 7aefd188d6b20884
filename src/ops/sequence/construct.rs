//! `SequenceConstruct` and `SequenceEmpty`: sequences of the operands, and of none.

use std::sync::Arc;

use crate::{
    error::{Error, Result},
    graph::{ElementShape, Fact, Kind},
    op::{Accuracy, CpuState, GpuState, Inputs, KernelRequest, OnnxNode, OpDef, Operator, ValueKernel},
    ops::sequence::HOST,
    tensor::{DType, Value},
};

/// The operands as a sequence.
#[derive(Clone, Debug, PartialEq)]
pub struct SequenceConstruct;

pub(crate) static CONSTRUCT: OpDef = OpDef {
    name: "SequenceConstruct",
    onnx: Some(|_| Ok(Arc::new(SequenceConstruct))),
    cases: Vec::new,
    accuracy: Accuracy::Exact,
    cpu: CpuState::Values(|_: &KernelRequest<'_>| Ok(Box::new(Kernel))),
    gpu: GpuState::Host(HOST),
};

impl Operator for SequenceConstruct {
    fn def(&self) -> &'static OpDef {
        &CONSTRUCT
    }

    fn takes_small(&self) -> bool {
        true
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        inputs.expect_tensors()?;
        let dtype = inputs.required(0)?.dtype;
        let mut shape = ElementShape::Never;
        for index in 0..inputs.len() {
            let fact = inputs.required(index)?;
            if fact.dtype != dtype {
                return Err(Error::invalid_model(format!("a sequence of {dtype} and {fact}")));
            }
            shape = shape.join(&fact.element_shape());
        }
        Ok(vec![Fact::of_kind(dtype, Kind::Sequence(shape))])
    }
}

/// No tensors.
#[derive(Clone, Debug, PartialEq)]
pub struct SequenceEmpty {
    /// The type of the tensors that may be added.
    pub dtype: DType,
}

pub(crate) static EMPTY: OpDef = OpDef {
    name: "SequenceEmpty",
    onnx: Some(decode),
    cases: Vec::new,
    accuracy: Accuracy::Exact,
    cpu: CpuState::Values(|_: &KernelRequest<'_>| Ok(Box::new(Kernel))),
    gpu: GpuState::Host(HOST),
};

fn decode(node: &mut OnnxNode<'_>) -> Result<Arc<dyn Operator>> {
    Ok(Arc::new(SequenceEmpty { dtype: node.dtype("dtype")?.unwrap_or(DType::F32) }))
}

impl Operator for SequenceEmpty {
    fn def(&self) -> &'static OpDef {
        &EMPTY
    }

    fn takes_small(&self) -> bool {
        true
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        inputs.expect(0, 0)?;
        Ok(vec![Fact::of_kind(self.dtype, Kind::Sequence(ElementShape::Never))])
    }
}

struct Kernel;

impl ValueKernel for Kernel {
    fn compute(&self, inputs: &[Option<&Value>]) -> Result<Vec<Value>> {
        Ok(vec![Value::Sequence(inputs.iter().flatten().map(|value| (*value).clone()).collect())])
    }
}
