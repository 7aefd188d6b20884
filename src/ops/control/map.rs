//! `SequenceMap`: a graph that runs on each element of sequences.

use std::sync::Arc;

use crate::{
    error::{Error, Result},
    graph::{Fact, Kind},
    op::{Accuracy, Body, CpuState, GpuState, Inputs, OpDef, Operator},
    ops::open,
};

/// A graph that runs on each element of a sequence, and makes sequences of its results.
///
/// Further operands are sequences of as many elements, or tensors that each run is given.
#[derive(Clone, Debug)]
pub struct SequenceMap {
    /// The graph.
    pub body: [Body; 1],
    /// The number of operands that are not captured.
    pub operands: usize,
}

pub(crate) static DEF: OpDef = OpDef {
    name: "SequenceMap",
    onnx: None,
    cases: Vec::new,
    accuracy: Accuracy::Pointwise,
    cpu: CpuState::Session,
    gpu: GpuState::Host("sequences are kept on the cpu"),
};

impl Operator for SequenceMap {
    fn def(&self) -> &'static OpDef {
        &DEF
    }

    fn takes_small(&self) -> bool {
        true
    }

    fn bodies(&self) -> &[Body] {
        &self.body
    }

    fn with_bodies(&self, bodies: Vec<Body>) -> Option<Arc<dyn Operator>> {
        Some(Arc::new(SequenceMap { body: bodies.try_into().ok()?, operands: self.operands }))
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        if !matches!(inputs.required(0)?.kind, Kind::Sequence(_)) {
            return Err(Error::invalid_model(format!("operand 0 is {}, expected a sequence", inputs.required(0)?)));
        }
        let body = self.body[0].fitted(inputs)?;
        let fact = |index| {
            let made = body.output(index)?;
            if !made.is_tensor() {
                return Err(Error::unsupported(format!("a sequence of {made}")));
            }
            Ok(Fact::of_kind(made.dtype, Kind::Sequence(open::outer_shape(&body, &made.element_shape()))))
        };
        (0..body.output_count()).map(fact).collect()
    }
}
