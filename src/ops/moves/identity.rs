//! `Identity`: the operand, unchanged.

use std::sync::Arc;

use crate::{
    error::Result,
    graph::Fact,
    op::{Accuracy, Case, CpuState, Fill, GpuState, Inputs, OnnxNode, OpDef, Operator},
    ops::sequence::optional::SameValue,
    shape::Dim,
};

/// The operand, unchanged.
#[derive(Clone, Debug, PartialEq)]
pub struct Identity;

pub(crate) static DEF: OpDef = OpDef {
    name: "Identity",
    onnx: Some(decode),
    cases,
    accuracy: Accuracy::Exact,
    cpu: CpuState::View,
    gpu: GpuState::View,
};

fn decode(node: &mut OnnxNode<'_>) -> Result<Arc<dyn Operator>> {
    Ok(match node.inputs().fact(0) {
        Some(fact) if !fact.is_tensor() => Arc::new(SameValue),
        _ => Arc::new(Identity),
    })
}

impl Operator for Identity {
    fn def(&self) -> &'static OpDef {
        &DEF
    }

    fn takes_small(&self) -> bool {
        true
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        inputs.expect(1, 1)?;
        Ok(vec![inputs.required(0)?.clone()])
    }

    fn batch_axes(&self, _inputs: &Inputs<'_>, axes: &[Option<usize>], _size: &Dim) -> Option<Vec<Option<usize>>> {
        axes[0].map(|axis| vec![Some(axis)])
    }
}

fn cases() -> Vec<Case> {
    vec![
        Case::new("ragged", Identity).value(&[3, 5], Fill::Hostile),
        Case::new("empty", Identity).value(&[0, 5], Fill::Spread),
    ]
}
