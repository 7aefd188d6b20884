//! Simplifies convolutions, and fuses their epilogues.

pub(super) mod constants;

use crate::{
    error::Result,
    graph::ValueId,
    kernels::Activation,
    ops::{
        conv::{Conv, Layout},
        moves::reshape::Reshape,
        norm::channel_norm::{ChannelNorm, Statistics},
        pointwise::{Binary, BinaryFunction, Unary},
        pool::{GlobalPool, PoolFunction, window::Pads},
    },
    rewrite::{linear::activation_of, rewriter::Rewriter},
    shape::{Dim, Shape},
    tensor::{DType, Tensor},
};

/// Drops a spatial dimension of size 1 over which the kernel has one tap.
pub(super) fn thin(rewriter: &mut Rewriter<'_>, index: usize) -> Result<()> {
    let Some((conv, inputs)) = rewriter.is::<Conv>(index) else { return Ok(()) };
    let (conv, mut inputs) = (conv.clone(), inputs.to_vec());
    let (Some(x), Some(weights), Pads::Explicit(pads)) = (inputs[0], inputs[1], &conv.pads) else { return Ok(()) };
    let Some(tensor) = rewriter.constant(weights).cloned() else { return Ok(()) };
    if conv.layout != Layout::ChannelsFirst || conv.kernel.len() < 2 {
        return Ok(());
    }
    let shape = rewriter.fact(x).shape.clone();
    let idle = |axis: &usize| shape[axis + 2] == Dim::from(1) && conv.kernel[*axis] == 1 && pads[*axis] == (0, 0);
    let Some(axis) = (0..conv.kernel.len()).find(idle) else { return Ok(()) };
    let output = rewriter.fact(rewriter.node(index).outputs[0]).shape.clone();
    let without = |shape: &Shape| -> Shape {
        let kept = shape.dims().iter().enumerate().filter(|(own, _)| *own != axis + 2);
        kept.map(|(_, dim)| dim.clone()).collect()
    };
    let weights_shape = without(&Shape::fixed(tensor.shape())).as_fixed().unwrap_or_default();
    let mut thin = conv.clone();
    thin.kernel.remove(axis);
    thin.strides.remove(axis);
    thin.dilations.remove(axis);
    if let Pads::Explicit(pads) = &mut thin.pads {
        pads.remove(axis);
    }
    inputs[0] = Some(rewriter.insert(index, Reshape::to(&without(&shape)), vec![Some(x)])?);
    inputs[1] = Some(rewriter.add_constant("weights", (*tensor).clone().reshape(weights_shape)?));
    let value = rewriter.insert(index, thin, inputs)?;
    rewriter.replace(index, Reshape::to(&output), vec![Some(value)])
}

/// Turns a normalization with given statistics, behind a convolution that cannot take it up, into a product and a sum, which
/// keep channels last with it.
pub(super) fn affine(rewriter: &mut Rewriter<'_>, index: usize) -> Result<()> {
    let Some((norm, inputs)) = rewriter.is::<ChannelNorm>(index) else { return Ok(()) };
    let &[Some(x), Some(scale), Some(shift), Some(mean), Some(variance)] = inputs else { return Ok(()) };
    let (epsilon, rank) = (f64::from(norm.epsilon), rewriter.fact(x).shape.rank());
    let numbers = |id: ValueId| rewriter.constant(id).and_then(|tensor| tensor.as_slice::<f32>().ok());
    let (Some(scale), Some(shift), Some(mean), Some(variance)) =
        (numbers(scale), numbers(shift), numbers(mean), numbers(variance))
    else {
        return Ok(());
    };
    let channels = scale.len();
    let alike = [shift, mean, variance].iter().all(|row| row.len() == channels);
    let behind = rewriter.made_by::<Conv>(x).is_some();
    if !behind || norm.statistics != Statistics::Given || !alike || rank < 2 || rewriter.fact(x).dtype != DType::F32 {
        return Ok(());
    }
    let of = |at: usize| {
        let factor = f64::from(scale[at]) / (f64::from(variance[at]) + epsilon).sqrt();
        (factor as f32, (f64::from(shift[at]) - f64::from(mean[at]) * factor) as f32)
    };
    let (factors, summands): (Vec<f32>, Vec<f32>) = (0..channels).map(of).unzip();
    if !factors.iter().chain(&summands).all(|x| x.is_finite()) {
        return Ok(());
    }
    let shape: Vec<usize> = std::iter::once(channels).chain(std::iter::repeat_n(1, rank - 2)).collect();
    let factors = rewriter.add_constant("factors", Tensor::new(shape.clone(), &factors)?);
    let summands = rewriter.add_constant("summands", Tensor::new(shape, &summands)?);
    let mul = Binary { function: BinaryFunction::Mul };
    let product = rewriter.insert(index, mul, vec![Some(x), Some(factors)])?;
    rewriter.replace(index, Binary { function: BinaryFunction::Add }, vec![Some(product), Some(summands)])
}

/// Fuses an activation.
pub(super) fn activation(rewriter: &mut Rewriter<'_>, index: usize) -> Result<()> {
    let Some((op, &[Some(value)])) = rewriter.is::<Unary>(index) else { return Ok(()) };
    let Some(activation) = activation_of(op.function) else { return Ok(()) };
    let Some((conv, inputs)) = conv(rewriter, value) else { return Ok(()) };
    if conv.activation != Activation::None || conv.global_max {
        return Ok(());
    }
    rewriter.replace(index, Conv { activation, ..conv }, inputs)
}

/// Fuses the maximum over all positions.
pub(super) fn global_max(rewriter: &mut Rewriter<'_>, index: usize) -> Result<()> {
    let Some((pool, &[Some(value)])) = rewriter.is::<GlobalPool>(index) else { return Ok(()) };
    if pool.function != PoolFunction::Max {
        return Ok(());
    }
    let Some((conv, inputs)) = conv(rewriter, value) else { return Ok(()) };
    if conv.layout != Layout::ChannelsFirst || conv.global_max {
        return Ok(());
    }
    rewriter.replace(index, Conv { global_max: true, ..conv }, inputs)
}

/// The convolution of f32 that produces a value with a single use.
fn conv(rewriter: &Rewriter<'_>, value: ValueId) -> Option<(Conv, Vec<Option<ValueId>>)> {
    let (op, inputs) = rewriter.made_by::<Conv>(value)?;
    let fits = rewriter.used_once(value) && rewriter.fact(value).dtype == DType::F32;
    fits.then(|| (op.clone(), inputs.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{graph::Graph, ops::pointwise::UnaryFunction, rewrite::optimize, tensor::DType};

    #[test]
    fn a_normalization_behind_rounded_sums_becomes_a_product_and_a_sum() {
        let mut graph = Graph::new("rounded");
        let x = graph.input("x", DType::F32, Shape::fixed(&[1, 1, 4, 4]));
        let mut row = |name: &str, values: [f32; 2]| graph.constant(name, Tensor::new([2], &values).unwrap());
        let statistics =
            [("scale", [2.0, -3.0]), ("shift", [0.5, 1.0]), ("mean", [1.0, 2.0]), ("variance", [3.0, 0.0])];
        let [scale, shift, mean, variance] = statistics.map(|(name, values)| row(name, values));
        let weights = graph.constant("weights", Tensor::new([2, 1, 1, 2], &[1f32, 2.0, 3.0, 4.0]).unwrap());
        let sums = graph.apply("conv", Conv::new(vec![1, 2]), &[x, weights]).unwrap();
        let function = UnaryFunction::Requantized { scale: 0.1, zero: 3.0, least: 0.0, most: 255.0 };
        let rounded = graph.apply("rounded", Unary { function }, &[sums]).unwrap();
        let norm = ChannelNorm { statistics: Statistics::Given, epsilon: 1.0 };
        let y = graph.apply("norm", norm, &[rounded, scale, shift, mean, variance]).unwrap();
        graph.output("y", y);
        optimize(&mut graph).unwrap();
        let [conv, chain] = graph.nodes() else { panic!("{} nodes", graph.nodes().len()) };
        assert!(matches!(conv.op::<Conv>().unwrap().activation, Activation::Requantized { .. }));
        let constant =
            |index: usize| graph.constant_of(chain.inputs[index].unwrap()).unwrap().as_slice::<f32>().unwrap();
        // Factors 2 / sqrt(3 + 1) = 1 and -3 / sqrt(0 + 1) = -3; summands 0.5 - 1 and 1 + 2 * 3.
        assert_eq!((constant(1), constant(2)), (&[1.0, -3.0][..], &[-0.5, 7.0][..]));
    }
}
