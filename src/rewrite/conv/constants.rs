//! Fuses constants around a convolution into its filters and biases.

use crate::{
    error::Result,
    graph::ValueId,
    kernels::Activation,
    ops::{
        conv::{Conv, Layout},
        norm::channel_norm::{ChannelNorm, Statistics},
        pointwise::{Binary, BinaryFunction},
        pool::window::Pads,
    },
    rewrite::{conv::conv, rewriter::Rewriter},
    tensor::{DType, Tensor},
};

/// Fuses a normalization with given statistics, as a factor of each filter and a bias.
pub(in crate::rewrite) fn batch_norm(rewriter: &mut Rewriter<'_>, index: usize) -> Result<()> {
    let Some((norm, inputs)) = rewriter.is::<ChannelNorm>(index) else { return Ok(()) };
    let &[Some(value), Some(scale), Some(shift), Some(mean), Some(variance)] = inputs else { return Ok(()) };
    let epsilon = f64::from(norm.epsilon);
    if norm.statistics != Statistics::Given {
        return Ok(());
    }
    let Some((conv, inputs)) = conv(rewriter, value) else { return Ok(()) };
    if conv.layout != Layout::ChannelsFirst || conv.activation != Activation::None || conv.global_max {
        return Ok(());
    }
    let number = |id: ValueId| -> Option<Vec<f64>> {
        let tensor = rewriter.constant(id)?;
        Some(tensor.as_slice::<f32>().ok()?.iter().map(|&x| f64::from(x)).collect())
    };
    let (Some(scale), Some(shift), Some(mean), Some(variance)) =
        (number(scale), number(shift), number(mean), number(variance))
    else {
        return Ok(());
    };
    if [&shift, &mean, &variance].iter().any(|row| row.len() != scale.len()) {
        return Ok(());
    }
    let factors: Vec<f64> =
        scale.iter().zip(&variance).map(|(scale, variance)| scale / (variance + epsilon).sqrt()).collect();
    let moved = |filter: usize, bias: f64| (bias - mean[filter]) * factors[filter] + shift[filter];
    let Some(inputs) = with_filters(rewriter, inputs, &factors, moved)? else { return Ok(()) };
    rewriter.replace(index, conv, inputs)
}

/// The operands of a convolution with its filters multiplied by `factors` and its biases, or zeros, as `moved` makes them;
/// `None` where what changes is no constant or would not be finite.
fn with_filters(
    rewriter: &mut Rewriter<'_>,
    mut inputs: Vec<Option<ValueId>>,
    factors: &[f64],
    moved: impl Fn(usize, f64) -> f64,
) -> Result<Option<Vec<Option<ValueId>>>> {
    let filters = factors.len();
    let constant = |id: Option<ValueId>| id.and_then(|id| rewriter.constant(id)).cloned();
    let (weights, bias) = (constant(inputs[1]), inputs.get(2).copied().flatten());
    let Some(bias) = bias.map_or(Some(None), |id| constant(Some(id)).map(Some)) else { return Ok(None) };
    let bias = bias.as_ref().map(|bias| bias.as_slice::<f32>()).transpose()?;
    if bias.is_some_and(|bias| bias.len() != filters) {
        return Ok(None);
    }
    let moved = |filter: usize| moved(filter, bias.map_or(0.0, |bias| f64::from(bias[filter]))) as f32;
    let moved: Vec<f32> = (0..filters).map(moved).collect();
    // An infinite or undefined factor acts on sums as it does not on weights.
    if !moved.iter().all(|x| x.is_finite()) {
        return Ok(None);
    }
    if factors.iter().any(|&factor| factor != 1.0) {
        let Some(weights) = weights.filter(|weights| weights.shape()[0] == filters) else { return Ok(None) };
        let own = weights.as_slice::<f32>()?;
        let each = (own.len() / filters).max(1);
        let scaled = |(position, x): (usize, &f32)| (f64::from(*x) * factors[position / each]) as f32;
        let scaled: Vec<f32> = own.iter().enumerate().map(scaled).collect();
        if !scaled.iter().all(|x| x.is_finite()) {
            return Ok(None);
        }
        let scaled = Tensor::new(weights.shape().to_vec(), &scaled)?;
        inputs[1] = Some(rewriter.add_constant("weights", scaled));
    }
    let moved = Some(rewriter.add_constant("bias", Tensor::new([filters], &moved)?));
    inputs.truncate(2);
    inputs.push(moved);
    Ok(Some(inputs))
}

/// Fuses a product with a constant, or its sum, of a number for each channel or of one for all.
pub(in crate::rewrite) fn factor_or_bias(rewriter: &mut Rewriter<'_>, index: usize) -> Result<()> {
    let Some((op, &[Some(a), Some(b)])) = rewriter.is::<Binary>(index) else { return Ok(()) };
    let function = op.function;
    if !matches!(function, BinaryFunction::Mul | BinaryFunction::Add) {
        return Ok(());
    }
    for (value, constant) in [(a, b), (b, a)] {
        let Some((conv, inputs)) = conv(rewriter, value) else { continue };
        if conv.activation != Activation::None || conv.global_max {
            continue;
        }
        let Some(row) = per_channel(rewriter, constant, &conv, value) else { continue };
        let row: Vec<f64> = row.iter().map(|&x| x.into()).collect();
        let inputs = match function {
            BinaryFunction::Mul => with_filters(rewriter, inputs, &row, |filter, bias| bias * row[filter])?,
            _ => with_filters(rewriter, inputs, &vec![1.0; row.len()], |filter, bias| bias + row[filter])?,
        };
        let Some(inputs) = inputs else { continue };
        return rewriter.replace(index, conv, inputs);
    }
    Ok(())
}

/// Fuses a product of the operand with one number, or its sum where nothing is padded.
pub(in crate::rewrite) fn operand(rewriter: &mut Rewriter<'_>, index: usize) -> Result<()> {
    let Some((conv, inputs)) = rewriter.is::<Conv>(index) else { return Ok(()) };
    let (conv, inputs) = (conv.clone(), inputs.to_vec());
    let (Some(x), Some(weights)) = (inputs[0], inputs[1]) else { return Ok(()) };
    let padded = !matches!(&conv.pads, Pads::Explicit(pads) if pads.iter().all(|&pads| pads == (0, 0)));
    let Some((op, &[Some(a), Some(b)])) = rewriter.made_by::<Binary>(x) else { return Ok(()) };
    let function = op.function;
    let fuses = function == BinaryFunction::Mul || (function == BinaryFunction::Add && !padded);
    if !fuses || !rewriter.used_once(x) || rewriter.fact(x).dtype != DType::F32 {
        return Ok(());
    }
    for (value, constant) in [(a, b), (b, a)] {
        let Some(number) = rewriter.scalar(constant).map(f64::from) else { continue };
        let Some(weights) = rewriter.constant(weights).cloned() else { continue };
        let filters = weights.shape()[0];
        if rewriter.fact(value).shape != rewriter.fact(x).shape || filters == 0 {
            continue;
        }
        let mut inputs = inputs.clone();
        inputs[0] = Some(value);
        let inputs = if function == BinaryFunction::Mul {
            with_filters(rewriter, inputs, &vec![number; filters], |_, bias| bias)?
        } else {
            let own = weights.as_slice::<f32>()?;
            let each = own.len() / filters;
            let sum = |filter: usize| own[filter * each..][..each].iter().map(|&x| f64::from(x)).sum::<f64>();
            with_filters(rewriter, inputs, &vec![1.0; filters], |filter, bias| bias + number * sum(filter))?
        };
        let Some(inputs) = inputs else { continue };
        return rewriter.replace(index, conv, inputs);
    }
    Ok(())
}

/// A constant that varies over the channels alone, or not at all: a number for each of them.
fn per_channel(rewriter: &Rewriter<'_>, constant: ValueId, conv: &Conv, value: ValueId) -> Option<Vec<f32>> {
    let tensor = rewriter.constant(constant)?;
    let shape = &rewriter.fact(value).shape;
    let (channels, _) = conv.axes();
    let count = usize::try_from(shape[channels].as_fixed()?).ok()?;
    let lead = shape.rank().checked_sub(tensor.shape().len())?;
    match *tensor.as_slice::<f32>().ok()? {
        [one] => Some(vec![one; count]),
        ref each => {
            let fits = each.len() == count && channels >= lead && tensor.shape()[channels - lead] == count;
            fits.then(|| each.to_vec())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{graph::Graph, rewrite::optimize, shape::Shape};

    #[test]
    fn a_normalization_with_given_statistics_becomes_weights_and_bias() {
        let mut graph = Graph::new("normalized");
        let x = graph.input("x", DType::F32, Shape::fixed(&[1, 1, 4, 4]));
        let mut row = |name: &str, values: [f32; 2]| graph.constant(name, Tensor::new([2], &values).unwrap());
        let [scale, shift] = [row("scale", [2.0, -3.0]), row("shift", [0.5, 1.0])];
        let [mean, variance] = [row("mean", [1.0, 2.0]), row("variance", [3.0, 0.0])];
        let bias = row("bias", [10.0, 20.0]);
        let weights = graph.constant("weights", Tensor::new([2, 1, 1, 2], &[1f32, 2.0, 3.0, 4.0]).unwrap());
        let sums = graph.apply("conv", Conv::new(vec![1, 2]), &[x, weights, bias]).unwrap();
        let norm = ChannelNorm { statistics: Statistics::Given, epsilon: 1.0 };
        let y = graph.apply("norm", norm, &[sums, scale, shift, mean, variance]).unwrap();
        graph.output("y", y);
        optimize(&mut graph).unwrap();
        let [node] = graph.nodes() else { panic!("{} nodes", graph.nodes().len()) };
        let constant =
            |index: usize| graph.constant_of(node.inputs[index].unwrap()).unwrap().as_slice::<f32>().unwrap();
        // Factors 2 / sqrt(3 + 1) = 1 and -3 / sqrt(0 + 1) = -3.
        assert_eq!(constant(1), [1.0, 2.0, -9.0, -12.0]);
        assert_eq!(constant(2), [10.0 - 1.0 + 0.5, -3.0 * 18.0 + 1.0]);
    }

    /// A convolution of two filters over two taps, of `x` times `before[0]` plus `before[1]`, times `behind[0]` plus
    /// `behind[1]`: the constants of the only node, or the number of nodes.
    fn around(pads: (usize, usize), before: [f32; 2], behind: [&[f32]; 2]) -> Result<(Vec<f32>, Vec<f32>), usize> {
        let mut graph = Graph::new("around");
        let x = graph.input("x", DType::F32, Shape::fixed(&[1, 1, 4]));
        let mut row = |name: &str, shape: &[usize], values: &[f32]| {
            graph.constant(name, Tensor::new(shape.to_vec(), values).unwrap())
        };
        let [factor, summand] = before.map(|x| row("before", &[1], &[x]));
        let [own_factors, own_summands] = behind.map(|row_of| row("behind", &[row_of.len(), 1], row_of));
        let weights = row("weights", &[2, 1, 2], &[1.0, 2.0, 3.0, 4.0]);
        let bias = row("bias", &[2], &[10.0, 20.0]);
        let (mul, add) = (Binary { function: BinaryFunction::Mul }, Binary { function: BinaryFunction::Add });
        let x = graph.apply("factor", mul, &[x, factor]).unwrap();
        let x = graph.apply("summand", add, &[x, summand]).unwrap();
        let conv = Conv { pads: Pads::Explicit(vec![pads]), ..Conv::new(vec![2]) };
        let y = graph.apply("conv", conv, &[x, weights, bias]).unwrap();
        let y = graph.apply("factors", mul, &[own_factors, y]).unwrap();
        let y = graph.apply("summands", add, &[y, own_summands]).unwrap();
        graph.output("y", y);
        optimize(&mut graph).unwrap();
        let [node] = graph.nodes() else { return Err(graph.nodes().len()) };
        let constant =
            |index: usize| graph.constant_of(node.inputs[index].unwrap()).unwrap().as_slice::<f32>().unwrap().to_vec();
        Ok((constant(1), constant(2)))
    }

    #[test]
    fn products_and_sums_around_a_convolution_become_weights_and_bias() {
        // Biases (10 + 0.5 * 3) * 2 - 1 and (20 + 0.5 * 7) * -3 + 7.
        let expected = (vec![4.0, 8.0, -18.0, -24.0], vec![22.0, -63.5]);
        assert_eq!(around((0, 0), [2.0, 0.5], [&[2.0, -3.0], &[-1.0, 7.0]]), Ok(expected));
        // One number for all channels.
        let expected = (vec![4.0, 8.0, 12.0, 16.0], vec![24.0, 48.0]);
        assert_eq!(around((0, 0), [2.0, 0.5], [&[2.0], &[1.0]]), Ok(expected));
    }

    #[test]
    fn a_sum_before_padding_stays() {
        assert_eq!(around((1, 0), [2.0, 0.5], [&[2.0], &[1.0]]), Err(2));
    }

    #[test]
    fn factors_that_weights_cannot_take_up_stay() {
        assert_eq!(around((0, 0), [1.0, 0.0], [&[f32::INFINITY], &[1.0]]), Err(2));
        assert_eq!(around((0, 0), [1.0, 0.0], [&[3e38], &[1.0]]), Err(2));
        // The weights stay finite, a bias does not.
        assert_eq!(around((0, 0), [1.0, 0.0], [&[2e37], &[1.0]]), Err(2));
    }
}
