//! `Dropout` whose mask is asked for, or of which only a run knows whether it drops anything.

use std::sync::Arc;

use crate::{
    error::{Error, Result},
    graph::Fact,
    op::{Accuracy, Case, CpuState, Fill, GpuState, Inputs, Io, OnnxNode, OpDef, Operator, function_kernel},
    ops::{moves::identity::Identity, wide},
    shape::Dim,
    tensor::{DType, Tensor},
};

/// The operand unchanged, and a mask that is true everywhere.
///
/// Operands: the data; the ratio of elements to drop, which may be absent for a half; whether the
/// model is trained, which may be absent for no. A run that would drop elements fails: they are
/// chosen at random.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dropout;

pub(crate) static DEF: OpDef = OpDef {
    name: "Dropout",
    onnx: Some(decode),
    cases,
    accuracy: Accuracy::Exact,
    cpu: CpuState::Kernel(|request| function_kernel::<Dropout>(request, run)),
    gpu: GpuState::Host("whether it may run depends on operands"),
};

/// The first version with operands for the ratio and the mode.
const WITH_OPERANDS: i64 = 12;

/// Why elements are not dropped.
fn at_random() -> Error {
    Error::unsupported("a Dropout in training mode drops elements at random, which is not built here")
}

fn decode(node: &mut OnnxNode<'_>) -> Result<Arc<dyn Operator>> {
    // The seed matters in training only.
    node.int("seed")?;
    if node.opset() < WITH_OPERANDS {
        node.float("ratio")?;
        if node.opset() < 7 && !node.flag("is_test", false)? {
            return Err(at_random());
        }
        if node.output_count() > 1 && node.opset() < 10 {
            return Err(Error::unsupported("the mask of a Dropout that drops nothing, before opset 10"));
        }
        return Ok(if node.output_count() > 1 { Arc::new(Dropout) } else { Arc::new(Identity) });
    }
    let inputs = node.inputs();
    // Each of an operand: absent, known to be zero, known to be another number, or unknown.
    let is_zero = |index: usize| inputs.constant(index).map(|tensor| number(tensor) == Some(0.0));
    let trains = inputs.id(2).is_some() && is_zero(2) != Some(true);
    let drops_nothing = inputs.id(1).is_some() && is_zero(1) == Some(true);
    if trains && is_zero(2).is_some() && !drops_nothing && (inputs.id(1).is_none() || is_zero(1).is_some()) {
        return Err(at_random());
    }
    if !trains || drops_nothing {
        node.drop_inputs(1);
        return Ok(if node.output_count() > 1 { Arc::new(Dropout) } else { Arc::new(Identity) });
    }
    Ok(Arc::new(Dropout))
}

/// The one element of a tensor, as a number.
fn number(tensor: &Tensor) -> Option<f64> {
    match tensor.dtype() {
        DType::Bool => tensor.bytes().first().map(|&byte| f64::from(byte)),
        _ => wide::read(tensor.view()).ok()?.first().copied(),
    }
}

impl Operator for Dropout {
    fn def(&self) -> &'static OpDef {
        &DEF
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        inputs.expect(1, 3)?;
        let input = inputs.required(0)?;
        for index in 1..inputs.len() {
            let Some(fact) = inputs.fact(index) else { continue };
            let fits = if index == 1 { fact.dtype.is_float() } else { fact.dtype == DType::Bool };
            if !fits || fact.shape.elements().as_fixed() != Some(1) {
                return Err(Error::invalid_model(format!("operand {index} is {fact}, expected one number or boolean")));
            }
        }
        Ok(vec![input.clone(), Fact::new(DType::Bool, input.shape.clone())])
    }

    fn batch_axes(&self, _inputs: &Inputs<'_>, axes: &[Option<usize>], _size: &Dim) -> Option<Vec<Option<usize>>> {
        axes[1..].iter().all(Option::is_none).then(|| vec![axes[0], axes[0]])
    }
}

fn run(_: &Dropout, io: &mut Io<'_>) -> Result<()> {
    let operand = |index: usize| io.inputs.get(index).copied().flatten();
    let trains = operand(2).is_some_and(|view| view.bytes.iter().any(|&byte| byte != 0));
    let ratio = match operand(1) {
        Some(view) if trains => wide::read(view)?.first().copied().unwrap_or_default(),
        _ => 0.5,
    };
    if trains && ratio != 0.0 {
        return Err(at_random());
    }
    let input = io.input(0)?;
    io.output(0)?.bytes.copy_from_slice(input.bytes);
    io.output(1)?.bytes.fill(1);
    Ok(())
}

fn cases() -> Vec<Case> {
    let flag = |value| Tensor::from_bools([], &[value]).expect("one boolean");
    vec![
        Case::new("mask", Dropout).value(&[3, 5], Fill::Hostile),
        Case::new("not in training", Dropout).value(&[4], Fill::Spread).absent().tensor(flag(false)),
        Case::new("nothing to drop", Dropout)
            .value(&[2, 3], Fill::Spread)
            .tensor(Tensor::scalar(0f32))
            .tensor(flag(true)),
    ]
}
