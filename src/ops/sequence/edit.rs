//! `SequenceInsert` and `SequenceErase`: a sequence with an element more or less.

use std::sync::Arc;

use crate::{
    error::{Error, Result},
    graph::{Fact, Kind},
    op::{Accuracy, CpuState, GpuState, Inputs, KernelRequest, OpDef, Operator, ValueKernel},
    ops::sequence::{HOST, elements, outside, place, sequence},
    tensor::Value,
};

/// A sequence with a tensor before the element at a position, by default at the end.
#[derive(Clone, Debug, PartialEq)]
pub struct SequenceInsert;

pub(crate) static INSERT: OpDef = OpDef {
    name: "SequenceInsert",
    onnx: Some(|_| Ok(Arc::new(SequenceInsert))),
    cases: Vec::new,
    accuracy: Accuracy::Exact,
    cpu: CpuState::Values(|_: &KernelRequest<'_>| Ok(Box::new(Insert))),
    gpu: GpuState::Host(HOST),
};

impl Operator for SequenceInsert {
    fn def(&self) -> &'static OpDef {
        &INSERT
    }

    fn takes_small(&self) -> bool {
        true
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        inputs.expect(2, 3)?;
        let (fact, shape) = sequence(inputs, 0)?;
        let new = inputs.required(1)?;
        if !new.is_tensor() || new.dtype != fact.dtype {
            return Err(Error::invalid_model(format!("{new} in {fact}")));
        }
        Ok(vec![Fact::of_kind(fact.dtype, Kind::Sequence(shape.join(&new.element_shape())))])
    }
}

struct Insert;

impl ValueKernel for Insert {
    fn compute(&self, inputs: &[Option<&Value>]) -> Result<Vec<Value>> {
        let mut all = elements(inputs, 0)?.to_vec();
        let new = inputs.get(1).copied().flatten().ok_or_else(|| Error::internal("nothing to insert"))?;
        let place = place(inputs, 2, all.len())?.unwrap_or(all.len());
        if place > all.len() {
            return Err(outside(place, all.len()));
        }
        all.insert(place, new.clone());
        Ok(vec![Value::Sequence(all)])
    }
}

/// A sequence without the element at a position, by default the last.
#[derive(Clone, Debug, PartialEq)]
pub struct SequenceErase;

pub(crate) static ERASE: OpDef = OpDef {
    name: "SequenceErase",
    onnx: Some(|_| Ok(Arc::new(SequenceErase))),
    cases: Vec::new,
    accuracy: Accuracy::Exact,
    cpu: CpuState::Values(|_: &KernelRequest<'_>| Ok(Box::new(Erase))),
    gpu: GpuState::Host(HOST),
};

impl Operator for SequenceErase {
    fn def(&self) -> &'static OpDef {
        &ERASE
    }

    fn takes_small(&self) -> bool {
        true
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        inputs.expect(1, 2)?;
        Ok(vec![sequence(inputs, 0)?.0.clone()])
    }
}

struct Erase;

impl ValueKernel for Erase {
    fn compute(&self, inputs: &[Option<&Value>]) -> Result<Vec<Value>> {
        let mut all = elements(inputs, 0)?.to_vec();
        let place = place(inputs, 1, all.len())?.unwrap_or(all.len().wrapping_sub(1));
        if place >= all.len() {
            return Err(outside(place, all.len()));
        }
        all.remove(place);
        Ok(vec![Value::Sequence(all)])
    }
}
