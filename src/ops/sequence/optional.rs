//! `Optional`, `OptionalGetElement` and `OptionalHasElement`: values that may be absent.

use std::sync::Arc;

use crate::{
    error::{Error, Result},
    graph::{ElementShape, Fact, Kind},
    op::{Accuracy, CpuState, GpuState, Inputs, KernelRequest, OnnxNode, OpDef, Operator, ValueKernel},
    ops::{
        open::{self, Open},
        sequence::{HOST, access::element},
    },
    shape::{Dim, Shape},
    tensor::{DType, Tensor, Value},
};

/// The operand as a value that may be absent, or such a value that is absent.
#[derive(Clone, Debug, PartialEq)]
pub struct OptionalOf {
    /// The type of the tensors, and whether it is a sequence of them; told where the operand is absent.
    pub absent: Option<(DType, bool)>,
}

pub(crate) static OPTIONAL: OpDef = OpDef {
    name: "Optional",
    onnx: Some(decode),
    cases: Vec::new,
    accuracy: Accuracy::Exact,
    cpu: CpuState::Values(|_: &KernelRequest<'_>| Ok(Box::new(Wrap))),
    gpu: GpuState::Host(HOST),
};

fn decode(node: &mut OnnxNode<'_>) -> Result<Arc<dyn Operator>> {
    Ok(Arc::new(OptionalOf { absent: node.value_type("type")? }))
}

impl Operator for OptionalOf {
    fn def(&self) -> &'static OpDef {
        &OPTIONAL
    }

    fn takes_small(&self) -> bool {
        true
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        inputs.expect(0, 1)?;
        let fact = match (inputs.fact(0), self.absent) {
            (Some(fact), _) => {
                let kind = match &fact.kind {
                    Kind::Tensor => Kind::Optional(fact.element_shape()),
                    Kind::Sequence(shape) => Kind::OptionalSequence(shape.clone()),
                    _ => return Err(Error::invalid_model(format!("an optional value of {fact}"))),
                };
                Fact::of_kind(fact.dtype, kind)
            }
            (None, Some((dtype, true))) => Fact::of_kind(dtype, Kind::OptionalSequence(ElementShape::Never)),
            (None, Some((dtype, false))) => Fact::of_kind(dtype, Kind::Optional(ElementShape::Never)),
            (None, None) => return Err(Error::invalid_model("an absent value has no type")),
        };
        Ok(vec![fact])
    }
}

struct Wrap;

impl ValueKernel for Wrap {
    fn compute(&self, inputs: &[Option<&Value>]) -> Result<Vec<Value>> {
        Ok(vec![Value::Optional(inputs.first().copied().flatten().map(|value| Box::new(value.clone())))])
    }
}

/// The value that an optional value holds; a run in which it is absent fails.
#[derive(Clone, Debug, PartialEq)]
pub struct OptionalGetElement;

pub(crate) static GET: OpDef = OpDef {
    name: "OptionalGetElement",
    onnx: Some(|_| Ok(Arc::new(OptionalGetElement))),
    cases: Vec::new,
    accuracy: Accuracy::Exact,
    cpu: CpuState::Values(|_: &KernelRequest<'_>| Ok(Box::new(Unwrap))),
    gpu: GpuState::Host(HOST),
};

impl OptionalGetElement {
    fn results(inputs: &Inputs<'_>) -> Result<Vec<Open>> {
        inputs.expect(1, 1)?;
        let fact = inputs.required(0)?;
        match &fact.kind {
            Kind::Tensor | Kind::Optional(_) => element(fact.dtype, &fact.element_shape()),
            Kind::Sequence(shape) | Kind::OptionalSequence(shape) => {
                Ok(vec![Open::Other(fact.dtype, Kind::Sequence(shape.clone()))])
            }
        }
    }
}

impl Operator for OptionalGetElement {
    fn def(&self) -> &'static OpDef {
        &GET
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

struct Unwrap;

impl ValueKernel for Unwrap {
    fn compute(&self, inputs: &[Option<&Value>]) -> Result<Vec<Value>> {
        match inputs.first().copied().flatten() {
            Some(Value::Optional(Some(value))) => Ok(vec![(**value).clone()]),
            Some(Value::Optional(None)) | None => Err(Error::invalid_input("the optional value is absent")),
            Some(value) => Ok(vec![value.clone()]),
        }
    }
}

/// Whether an optional value is there, as bool; an absent operand is not.
#[derive(Clone, Debug, PartialEq)]
pub struct OptionalHasElement;

pub(crate) static HAS: OpDef = OpDef {
    name: "OptionalHasElement",
    onnx: Some(|_| Ok(Arc::new(OptionalHasElement))),
    cases: Vec::new,
    accuracy: Accuracy::Exact,
    cpu: CpuState::Values(|_: &KernelRequest<'_>| Ok(Box::new(Has))),
    gpu: GpuState::Host(HOST),
};

impl Operator for OptionalHasElement {
    fn def(&self) -> &'static OpDef {
        &HAS
    }

    fn takes_small(&self) -> bool {
        true
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        inputs.expect(0, 1)?;
        let known = match inputs.fact(0).map(|fact| &fact.kind) {
            None => Some(0),
            Some(Kind::Tensor | Kind::Sequence(_)) => Some(1),
            Some(_) => None,
        };
        let elements = known.map(|known| vec![Dim::number(known)]);
        Ok(vec![Fact::new(DType::Bool, Shape::scalar()).with_elements(elements)])
    }
}

struct Has;

impl ValueKernel for Has {
    fn compute(&self, inputs: &[Option<&Value>]) -> Result<Vec<Value>> {
        let has = !matches!(inputs.first().copied().flatten(), None | Some(Value::Optional(None)));
        Ok(vec![Tensor::from_bools([], &[has])?.into()])
    }
}

/// A value that is no tensor, unchanged: ONNX's `Identity` of it.
#[derive(Clone, Debug, PartialEq)]
pub struct SameValue;

pub(crate) static SAME: OpDef = OpDef {
    name: "SameValue",
    onnx: None,
    cases: Vec::new,
    accuracy: Accuracy::Exact,
    cpu: CpuState::Values(|_: &KernelRequest<'_>| Ok(Box::new(Same))),
    gpu: GpuState::Host(HOST),
};

impl Operator for SameValue {
    fn def(&self) -> &'static OpDef {
        &SAME
    }

    fn takes_small(&self) -> bool {
        true
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        inputs.expect(1, 1)?;
        Ok(vec![inputs.required(0)?.clone()])
    }
}

struct Same;

impl ValueKernel for Same {
    fn compute(&self, inputs: &[Option<&Value>]) -> Result<Vec<Value>> {
        let value = inputs.first().copied().flatten().cloned();
        Ok(vec![value.ok_or_else(|| Error::internal("the operand is missing"))?])
    }
}
