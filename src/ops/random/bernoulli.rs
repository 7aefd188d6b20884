//! `Bernoulli`: ones with given probabilities.

use std::sync::Arc;

use crate::{
    error::{Error, Result},
    graph::Fact,
    kernels::{
        self,
        number::{Number, with_number},
        random,
    },
    op::{Accuracy, Case, CpuState, Fill, GpuState, Inputs, Io, OnnxNode, OpDef, Operator, function_kernel},
    tensor::{DType, View},
};

/// One for each element with the probability that it holds, else zero.
#[derive(Clone, Debug, PartialEq)]
pub struct Bernoulli {
    /// What the draws depend on beside their places.
    pub seed: u64,
    /// The type; the operand's where absent.
    pub dtype: Option<DType>,
}

pub(crate) static DEF: OpDef = OpDef {
    name: "Bernoulli",
    onnx: Some(|node: &mut OnnxNode<'_>| {
        let (seed, dtype) = (super::seed(node)?, node.dtype("dtype")?);
        Ok(Arc::new(Bernoulli { seed, dtype }))
    }),
    cases,
    accuracy: Accuracy::Exact,
    cpu: CpuState::Kernel(|request| function_kernel::<Bernoulli>(request, run)),
    gpu: GpuState::Host("no shader yet"),
};

impl Operator for Bernoulli {
    fn def(&self) -> &'static OpDef {
        &DEF
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        inputs.expect(1, 1)?;
        let input = inputs.required(0)?;
        let dtype = self.dtype.unwrap_or(input.dtype);
        if !input.dtype.is_float() || dtype == DType::String {
            return Err(Error::invalid_model(format!("draws of type {dtype} with probabilities {input}")));
        }
        Ok(vec![Fact::new(dtype, input.shape.clone())])
    }
}

fn run(op: &Bernoulli, io: &mut Io<'_>) -> Result<()> {
    let input = io.input(0)?;
    let drawn: Vec<u8> = with_number!(input.dtype, T => {
        let draw = |(place, &own): (usize, &T)| u8::from(random::unit(op.seed, place as u64, 53) < own.wide());
        input.slice::<T>()?.iter().enumerate().map(draw).collect()
    }, else return Err(Error::internal("probabilities that are Booleans were not refused")));
    kernels::cast(View { dtype: DType::U8, shape: input.shape, bytes: &drawn }, io.output(0)?)
}

fn cases() -> Vec<Case> {
    let of = |dtype| Bernoulli { seed: 3, dtype };
    vec![
        Case::new("numbers", of(None)).value(&[5, 7], Fill::Spread),
        Case::new("Booleans", of(Some(DType::Bool))).value(&[2, 9], Fill::Hostile),
        Case::new("integers", of(Some(DType::I64))).value(&[11], Fill::Spread),
        Case::new("empty", of(None)).value(&[0, 2], Fill::Spread),
    ]
}
