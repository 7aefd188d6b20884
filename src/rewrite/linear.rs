//! Fuses products with constant weights into `Linear`, and their epilogues into it or into a product of integers.

use crate::{
    error::Result,
    graph::ValueId,
    kernels::Activation,
    ops::{
        norm::layer_norm::LayerNorm,
        pointwise::{BinaryFunction, Unary, UnaryFunction},
        product::{linear::Linear, matmul::MatMul},
        quantized::scaled::ScaledIntegerProduct,
    },
    rewrite::rewriter::Rewriter,
    shape::Dim,
    tensor::{DType, Tensor},
};

/// A product with an epilogue.
enum Product {
    Linear(Linear),
    Integers(ScaledIntegerProduct),
}

impl Product {
    /// The first operand of the epilogue, the bias.
    fn bias(&self) -> usize {
        match self {
            Product::Linear(_) => 2,
            Product::Integers(_) => 5,
        }
    }

    fn residual(&self) -> usize {
        self.bias() + 1
    }

    fn norm_scale(&self) -> usize {
        self.bias() + 2
    }

    /// The activation and the layer norm.
    fn epilogue(&mut self) -> (&mut Activation, &mut Option<f32>) {
        match self {
            Product::Linear(op) => (&mut op.activation, &mut op.layer_norm),
            Product::Integers(op) => (&mut op.activation, &mut op.layer_norm),
        }
    }

    /// Whether nothing follows the bias yet.
    fn is_bare(&mut self, inputs: &[Option<ValueId>]) -> bool {
        let residual = self.residual();
        let (activation, layer_norm) = self.epilogue();
        *activation == Activation::None && layer_norm.is_none() && inputs.len() <= residual
    }

    /// Replaces node `index`.
    fn replace(self, rewriter: &mut Rewriter<'_>, index: usize, inputs: Vec<Option<ValueId>>) -> Result<()> {
        match self {
            Product::Linear(op) => rewriter.replace(index, op, inputs),
            Product::Integers(op) => rewriter.replace(index, op, inputs),
        }
    }
}

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
        let Some((mut product, mut inputs)) = product_of(rewriter, value) else { continue };
        let bare = inputs.len() <= product.bias() && product.is_bare(&inputs);
        let Some(row) =
            rewriter.constant(constant).filter(|_| bare).and_then(|tensor| as_row(tensor, width(rewriter, value)?))
        else {
            continue;
        };
        inputs.resize(product.bias(), None);
        inputs.push(Some(rewriter.add_constant("bias", row)));
        return product.replace(rewriter, index, inputs);
    }
    Ok(())
}

/// Fuses an activation.
pub(super) fn activation(rewriter: &mut Rewriter<'_>, index: usize) -> Result<()> {
    let Some((op, &[Some(value)])) = rewriter.is::<Unary>(index) else { return Ok(()) };
    let Some(activation) = activation_of(op.function) else { return Ok(()) };
    let Some((mut product, inputs)) = product_of(rewriter, value) else { return Ok(()) };
    if !product.is_bare(&inputs) {
        return Ok(());
    }
    *product.epilogue().0 = activation;
    product.replace(rewriter, index, inputs)
}

/// Fuses the addition of a value of the same shape.
pub(super) fn residual(rewriter: &mut Rewriter<'_>, index: usize) -> Result<()> {
    for (value, other) in rewriter.both_orders(index, BinaryFunction::Add) {
        let Some((mut product, mut inputs)) = product_of(rewriter, value) else { continue };
        let same = rewriter.fact(value).shape == rewriter.fact(other).shape;
        if !same || value == other || inputs.len() > product.residual() || product.epilogue().1.is_some() {
            continue;
        }
        inputs.resize(product.residual(), None);
        inputs.push(Some(other));
        return product.replace(rewriter, index, inputs);
    }
    Ok(())
}

/// Fuses a layer normalization of the rows.
pub(super) fn layer_norm(rewriter: &mut Rewriter<'_>, index: usize) -> Result<()> {
    let Some((norm, parameters)) = rewriter.is::<LayerNorm>(index) else { return Ok(()) };
    let (norm, parameters) = (norm.clone(), parameters.to_vec());
    let Some(value) = parameters[0] else { return Ok(()) };
    let Some((mut product, mut inputs)) = product_of(rewriter, value) else { return Ok(()) };
    let over_rows = norm.axes == [rewriter.fact(value).shape.rank() - 1];
    let constants = parameters.iter().skip(1).flatten().all(|&id| rewriter.constant(id).is_some());
    if !over_rows || !constants || product.epilogue().1.is_some() {
        return Ok(());
    }
    inputs.resize(product.norm_scale(), None);
    inputs.extend(parameters.into_iter().skip(1));
    *product.epilogue().1 = Some(norm.epsilon);
    product.replace(rewriter, index, inputs)
}

/// The kernels' activation for a pointwise function, if any.
pub(super) fn activation_of(function: UnaryFunction) -> Option<Activation> {
    match function {
        UnaryFunction::Relu => Some(Activation::Relu),
        UnaryFunction::Gelu => Some(Activation::Gelu),
        UnaryFunction::GeluTanh => Some(Activation::GeluTanh),
        UnaryFunction::Tanh => Some(Activation::Tanh),
        UnaryFunction::Sigmoid => Some(Activation::Sigmoid),
        UnaryFunction::LeakyRelu { alpha } => Some(Activation::LeakyRelu { slope: alpha }),
        UnaryFunction::Clip { low, high } => Some(Activation::Clip { low, high }),
        UnaryFunction::HardSigmoid { alpha, beta } => Some(Activation::HardSigmoid { alpha, beta }),
        UnaryFunction::HardSwish => Some(Activation::HardSwish),
        UnaryFunction::Silu => Some(Activation::Silu),
        UnaryFunction::Requantized { scale, zero, least, most } => {
            Some(Activation::Requantized { scale, zero, least, most })
        }
        _ => None,
    }
}

/// The product that makes a value with a single use.
fn product_of(rewriter: &Rewriter<'_>, value: ValueId) -> Option<(Product, Vec<Option<ValueId>>)> {
    let linear = rewriter.made_by::<Linear>(value).map(|(op, inputs)| (Product::Linear(op.clone()), inputs));
    let integers = || {
        let (op, inputs) = rewriter.made_by::<ScaledIntegerProduct>(value)?;
        Some((Product::Integers(op.clone()), inputs))
    };
    let (product, inputs) = linear.or_else(integers)?;
    rewriter.used_once(value).then(|| (product, inputs.to_vec()))
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
