//! Composes layer normalization from mean, variance, root and quotient; adds scale and bias.

use crate::{
    error::Result,
    graph::ValueId,
    ops::{
        norm::layer_norm::LayerNorm,
        pointwise::{BinaryFunction, UnaryFunction},
        reduce::{Reduce, ReduceFunction},
    },
    rewrite::rewriter::Rewriter,
    tensor::Tensor,
};

/// `(x - mean) / sqrt(variance + epsilon)`, optionally with a constant factor (Ba et al., Layer
/// Normalization).
pub(super) fn rule(rewriter: &mut Rewriter<'_>, index: usize) -> Result<()> {
    let [output] = rewriter.node(index).outputs[..] else { return Ok(()) };
    let Some(parts) = parts(rewriter, output) else { return Ok(()) };
    let mut inputs = vec![Some(parts.x)];
    if let Some(scale) = parts.scale {
        let Some(scale) = over_axes(rewriter, scale, &parts.axes, parts.x) else { return Ok(()) };
        inputs.push(Some(rewriter.add_constant("layer norm scale", scale)));
    }
    rewriter.replace(index, LayerNorm { axes: parts.axes, epsilon: parts.epsilon }, inputs)
}

/// Adds a constant factor or summand to a layer normalization that lacks it.
pub(super) fn scale_and_bias(rewriter: &mut Rewriter<'_>, index: usize) -> Result<()> {
    let [output] = rewriter.node(index).outputs[..] else { return Ok(()) };
    for (function, position) in [(BinaryFunction::Mul, 1), (BinaryFunction::Add, 2)] {
        let Some((a, b)) = rewriter.binary(output, function) else { continue };
        for (normal, constant) in [(a, b), (b, a)] {
            let Some((norm, inputs)) = rewriter.made_by::<LayerNorm>(normal) else { continue };
            let (norm, mut inputs) = (norm.clone(), inputs.to_vec());
            // A factor after a bias would scale the bias too.
            if !rewriter.used_once(normal) || inputs.len() > position {
                continue;
            }
            let Some(x) = inputs[0] else { continue };
            let Some(tensor) = over_axes(rewriter, constant, &norm.axes, x) else { continue };
            let constant = rewriter.add_constant("layer norm parameter", tensor);
            inputs.resize(position, None);
            inputs.push(Some(constant));
            return rewriter.replace(index, norm, inputs);
        }
    }
    Ok(())
}

struct Parts {
    x: ValueId,
    axes: Vec<usize>,
    epsilon: f32,
    scale: Option<ValueId>,
}

fn parts(rewriter: &Rewriter<'_>, output: ValueId) -> Option<Parts> {
    let (difference, root, scale) = quotient(rewriter, output)?;
    let (x, mean) = rewriter.binary(difference, BinaryFunction::Sub)?;
    let axes = rewriter.reduction(mean, ReduceFunction::Mean, x)?;
    let sum = rewriter.unary(root, UnaryFunction::Sqrt)?;
    let (a, b) = rewriter.binary(sum, BinaryFunction::Add)?;
    let (variance, epsilon) = match (rewriter.scalar(a), rewriter.scalar(b)) {
        (Some(epsilon), None) => (b, epsilon),
        (None, Some(epsilon)) => (a, epsilon),
        _ => return None,
    };
    let contiguous = axes.windows(2).all(|pair| pair[0] + 1 == pair[1]);
    let fits = contiguous && is_variance(rewriter, variance, x, difference, &axes);
    fits.then_some(Parts { x, axes, epsilon, scale })
}

/// Difference, root and constant factor of `difference / root` or `difference * ((1 / root) *
/// factor)`.
fn quotient(rewriter: &Rewriter<'_>, output: ValueId) -> Option<(ValueId, ValueId, Option<ValueId>)> {
    if let Some((difference, root)) = rewriter.binary(output, BinaryFunction::Div) {
        return Some((difference, root, None));
    }
    let (a, b) = rewriter.binary(output, BinaryFunction::Mul)?;
    for (difference, inverse) in [(a, b), (b, a)] {
        if let Some(root) = rewriter.unary(inverse, UnaryFunction::Reciprocal) {
            return Some((difference, root, None));
        }
        if let Some((c, d)) = rewriter.binary(inverse, BinaryFunction::Mul) {
            for (inverse, factor) in [(c, d), (d, c)] {
                if let Some(root) = rewriter.unary(inverse, UnaryFunction::Reciprocal)
                    && rewriter.constant(factor).is_some()
                {
                    return Some((difference, root, Some(factor)));
                }
            }
        }
    }
    None
}

/// Whether `variance` is that of `x` over the axes.
///
/// It is the mean of squared differences, or the mean of squares minus the squared mean, which
/// exporters clamp at zero.
fn is_variance(rewriter: &Rewriter<'_>, variance: ValueId, x: ValueId, difference: ValueId, axes: &[usize]) -> bool {
    if !rewriter.lines_up(variance, axes, x) {
        return false;
    }
    // One element for each row from here on, in the order of the rows: no operand may broadcast.
    let below = rewriter.below_reshapes(rewriter.below_expands(variance));
    let same_shape = |a: ValueId, b: ValueId| rewriter.fact(a).shape == rewriter.fact(b).shape;
    let clamped = rewriter.with_scalar(below, BinaryFunction::Max, |zero| zero == 0.0);
    let below = match clamped {
        Some(inner) if same_shape(inner, below) => rewriter.below_reshapes(inner),
        Some(_) => return false,
        None => below,
    };
    if mean_of_square(rewriter, below, difference, axes) {
        return true;
    }
    let Some((squares, square)) = rewriter.binary(below, BinaryFunction::Sub) else { return false };
    if !same_shape(squares, below) || !same_shape(square, below) {
        return false;
    }
    let product = rewriter.product(square);
    let squared_mean = match product.factors[..] {
        [a, b] => {
            let of_x = |axes_of_a: Vec<usize>| axes_of_a == axes;
            let mean = rewriter.below_reshapes(a);
            a == b
                && product.scalar == 1.0
                && same_shape(a, square)
                && rewriter.reduction_below_views(mean, ReduceFunction::Mean, x).is_some_and(of_x)
        }
        _ => false,
    };
    squared_mean && mean_of_square(rewriter, squares, x, axes)
}

/// Whether `id` holds the means of the squares of `of` over the axes, in order.
fn mean_of_square(rewriter: &Rewriter<'_>, id: ValueId, of: ValueId, axes: &[usize]) -> bool {
    let id = rewriter.below_reshapes(id);
    let Some((_, &[Some(square), ..])) = rewriter.made_by::<Reduce>(id) else { return false };
    let product = rewriter.product(square);
    product.scalar == 1.0
        && product.factors == [of, of]
        && rewriter.fact(square).shape == rewriter.fact(of).shape
        && rewriter.reduction_below_views(id, ReduceFunction::Mean, square).as_deref() == Some(axes)
}

/// A constant that varies over the normalized axes alone, in their shape.
fn over_axes(rewriter: &Rewriter<'_>, constant: ValueId, axes: &[usize], x: ValueId) -> Option<Tensor> {
    let tensor = rewriter.constant(constant)?;
    let full = &rewriter.fact(x).shape;
    let sizes = axes
        .iter()
        .map(|&axis| full[axis].as_fixed().and_then(|n| usize::try_from(n).ok()))
        .collect::<Option<Vec<_>>>()?;
    let lead = full.rank().checked_sub(tensor.shape().len())?;
    let fits = (0..full.rank()).all(|axis| {
        let own = axis.checked_sub(lead).map_or(1, |axis| tensor.shape()[axis]);
        match axes.iter().position(|&other| other == axis) {
            Some(position) => own == sizes[position],
            None => own == 1,
        }
    });
    if fits { (**tensor).clone().reshape(sizes).ok() } else { None }
}
