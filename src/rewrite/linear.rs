//! Fuses products with constant weights and their epilogues into `Linear`.

use crate::{
    error::Result,
    graph::ValueId,
    kernels::Activation,
    ops::{
        norm::layer_norm::LayerNorm,
        pointwise::{BinaryFunction, Unary, UnaryFunction},
        product::{linear::Linear, matmul::MatMul},
    },
    rewrite::rewriter::Rewriter,
    shape::Dim,
    tensor::{DType, Tensor},
};

// Operands of `Linear`.
const BIAS: usize = 2;
const RESIDUAL: usize = 3;
const NORM_SCALE: usize = 4;

/// Turns a product with a constant matrix into `Linear`.
pub(super) fn product(rewriter: &mut Rewriter<'_>, index: usize) -> Result<()> {
    let Some((_, &[Some(x), Some(weights)])) = rewriter.is::<MatMul>(index) else { return Ok(()) };
    let matrix = rewriter.constant(weights).is_some_and(|tensor| tensor.shape().len() == 2);
    let fits = matrix && rewriter.fact(x).dtype == DType::F32 && rewriter.fact(x).shape.rank() >= 2;
    if !fits {
        return Ok(());
    }
    rewriter.replace(index, Linear::default(), vec![Some(x), Some(weights)])
}

/// Fuses the addition of a constant row.
pub(super) fn bias(rewriter: &mut Rewriter<'_>, index: usize) -> Result<()> {
    for (value, constant) in rewriter.both_orders(index, BinaryFunction::Add) {
        let Some((linear, mut inputs)) = linear(rewriter, value) else { continue };
        let bare = inputs.len() <= BIAS && linear.activation == Activation::None && linear.layer_norm.is_none();
        let Some(row) =
            rewriter.constant(constant).filter(|_| bare).and_then(|tensor| as_row(tensor, width(rewriter, value)?))
        else {
            continue;
        };
        inputs.push(Some(rewriter.add_constant("bias", row)));
        return rewriter.replace(index, linear, inputs);
    }
    Ok(())
}

/// Fuses an activation.
pub(super) fn activation(rewriter: &mut Rewriter<'_>, index: usize) -> Result<()> {
    let Some((op, &[Some(value)])) = rewriter.is::<Unary>(index) else { return Ok(()) };
    let Some(activation) = activation_of(op.function) else { return Ok(()) };
    let Some((linear, inputs)) = linear(rewriter, value) else { return Ok(()) };
    if linear.activation != Activation::None || linear.layer_norm.is_some() || inputs.len() > RESIDUAL {
        return Ok(());
    }
    rewriter.replace(index, Linear { activation, ..linear }, inputs)
}

/// Fuses the addition of a value of the same shape.
pub(super) fn residual(rewriter: &mut Rewriter<'_>, index: usize) -> Result<()> {
    for (value, other) in rewriter.both_orders(index, BinaryFunction::Add) {
        let Some((linear, mut inputs)) = linear(rewriter, value) else { continue };
        let same = rewriter.fact(value).shape == rewriter.fact(other).shape;
        if !same || value == other || inputs.len() > RESIDUAL || linear.layer_norm.is_some() {
            continue;
        }
        inputs.resize(RESIDUAL, None);
        inputs.push(Some(other));
        return rewriter.replace(index, linear, inputs);
    }
    Ok(())
}

/// Fuses a layer normalization of the rows.
pub(super) fn layer_norm(rewriter: &mut Rewriter<'_>, index: usize) -> Result<()> {
    let Some((norm, parameters)) = rewriter.is::<LayerNorm>(index) else { return Ok(()) };
    let (norm, parameters) = (norm.clone(), parameters.to_vec());
    let Some(value) = parameters[0] else { return Ok(()) };
    let Some((linear, mut inputs)) = linear(rewriter, value) else { return Ok(()) };
    let over_rows = norm.axes == [rewriter.fact(value).shape.rank() - 1];
    let constants = parameters.iter().skip(1).flatten().all(|&id| rewriter.constant(id).is_some());
    if !over_rows || !constants || linear.layer_norm.is_some() {
        return Ok(());
    }
    inputs.resize(NORM_SCALE, None);
    inputs.extend(parameters.into_iter().skip(1));
    rewriter.replace(index, Linear { layer_norm: Some(norm.epsilon), ..linear }, inputs)
}

/// The kernels' activation for a pointwise function, if any.
pub(super) fn activation_of(function: UnaryFunction) -> Option<Activation> {
    match function {
        UnaryFunction::Relu => Some(Activation::Relu),
        UnaryFunction::Gelu => Some(Activation::Gelu),
        UnaryFunction::GeluTanh => Some(Activation::GeluTanh),
        UnaryFunction::Tanh => Some(Activation::Tanh),
        UnaryFunction::Sigmoid => Some(Activation::Sigmoid),
        _ => None,
    }
}

/// The `Linear` that produces a value with a single use.
fn linear(rewriter: &Rewriter<'_>, value: ValueId) -> Option<(Linear, Vec<Option<ValueId>>)> {
    let (op, inputs) = rewriter.made_by::<Linear>(value)?;
    rewriter.used_once(value).then(|| (op.clone(), inputs.to_vec()))
}

fn width(rewriter: &Rewriter<'_>, value: ValueId) -> Option<usize> {
    let last = rewriter.fact(value).shape.dims().last().and_then(Dim::as_fixed)?;
    usize::try_from(last).ok()
}

/// A constant `[.., 1, width]` as `[width]`.
fn as_row(tensor: &Tensor, width: usize) -> Option<Tensor> {
    let fits = tensor.shape().last() == Some(&width) && tensor.len() == width && tensor.dtype() == DType::F32;
    if fits { tensor.clone().reshape([width]).ok() } else { None }
}
