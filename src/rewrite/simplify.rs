//! Removes nodes that change nothing, and merges pairs of nodes.

use crate::{
    error::Result,
    ops::{
        moves::{expand::Expand, identity::Identity, reshape::Reshape, slice::Slice, transpose::Transpose},
        pointwise::{Binary, BinaryFunction, cast::Cast},
        reduce::{Reduce, ReduceFunction},
    },
    rewrite::rewriter::Rewriter,
    shape::{Dim, Shape},
};

/// Removes moves whose result equals their operand.
pub(super) fn no_op(rewriter: &mut Rewriter<'_>, index: usize) -> Result<()> {
    let node = rewriter.node(index);
    let ([output], Some(Some(input))) = (&node.outputs[..], node.inputs.first()) else { return Ok(()) };
    let (before, after) = (rewriter.fact(*input), rewriter.fact(*output));
    if before.dtype != after.dtype || before.shape != after.shape {
        return Ok(());
    }
    let input = *input;
    let order = node.op::<Transpose>().and_then(|op| op.order(before.shape.rank()).ok());
    let idle = node.op::<Reshape>().is_some()
        || node.op::<Expand>().is_some()
        || node.op::<Cast>().is_some()
        || node.op::<Identity>().is_some()
        // The same number of elements in steps of one are all elements.
        || node.op::<Slice>().is_some_and(|op| op.parts.iter().all(|part| part.step == 1))
        || order.is_some_and(|order| order.into_iter().eq(0..before.shape.rank()));
    if idle {
        rewriter.alias(index, input);
    }
    Ok(())
}

/// Replaces `max(x, -inf)` by `x`.
pub(super) fn max_with_infinity(rewriter: &mut Rewriter<'_>, index: usize) -> Result<()> {
    let [output] = rewriter.node(index).outputs[..] else { return Ok(()) };
    if let Some(x) = rewriter.with_scalar(output, BinaryFunction::Max, |value| value == f32::NEG_INFINITY)
        && rewriter.fact(x).shape == rewriter.fact(output).shape
    {
        rewriter.alias(index, x);
    }
    Ok(())
}

/// Removes `Expand` from an operand where broadcasting does the same.
pub(super) fn expanded_operand(rewriter: &mut Rewriter<'_>, index: usize) -> Result<()> {
    for position in 0..2 {
        let Some((op, inputs)) = rewriter.is::<Binary>(index) else { return Ok(()) };
        let (op, mut inputs) = (*op, inputs.to_vec());
        let below = inputs.get(position).copied().flatten().and_then(|id| rewriter.made_by::<Expand>(id));
        if let Some(below) = below.map(|(_, inputs)| inputs[0]) {
            inputs[position] = below;
            // Does nothing where the result would have another shape.
            rewriter.replace(index, op, inputs)?;
        }
    }
    Ok(())
}

/// Merges two consecutive views.
pub(super) fn view_of_view(rewriter: &mut Rewriter<'_>, index: usize) -> Result<()> {
    let Some((_, &[Some(input)])) = rewriter.is::<Reshape>(index) else { return Ok(()) };
    let Some((_, &[Some(below)])) = rewriter.made_by::<Reshape>(input) else { return Ok(()) };
    let shape = rewriter.fact(rewriter.node(index).outputs[0]).shape.clone();
    if rewriter.fact(below).shape == shape {
        rewriter.alias(index, below);
        return Ok(());
    }
    rewriter.replace(index, Reshape::to(&shape), vec![Some(below)])
}

/// Merges two consecutive transpositions.
pub(super) fn transposed_twice(rewriter: &mut Rewriter<'_>, index: usize) -> Result<()> {
    let Some((outer, &[Some(input)])) = rewriter.is::<Transpose>(index) else { return Ok(()) };
    let Some((inner, &[Some(below)])) = rewriter.made_by::<Transpose>(input) else { return Ok(()) };
    let rank = rewriter.fact(below).shape.rank();
    let (outer, inner) = (outer.order(rank)?, inner.order(rank)?);
    let order: Vec<usize> = outer.iter().map(|&axis| inner[axis]).collect();
    if order.iter().copied().eq(0..rank) {
        rewriter.alias(index, below);
        return Ok(());
    }
    rewriter.replace(index, Transpose { perm: Some(order) }, vec![Some(below)])
}

/// Drops dimensions of size 1 from a transposition.
///
/// One that moves only those becomes a view.
pub(super) fn thin_transpose(rewriter: &mut Rewriter<'_>, index: usize) -> Result<()> {
    let Some((op, &[Some(input)])) = rewriter.is::<Transpose>(index) else { return Ok(()) };
    let shape = rewriter.fact(input).shape.clone();
    let order = op.order(shape.rank())?;
    let one = Dim::from(1);
    let wide: Vec<usize> = (0..shape.rank()).filter(|&axis| shape[axis] != one).collect();
    if wide.len() == shape.rank() {
        return Ok(());
    }
    let output = rewriter.fact(rewriter.node(index).outputs[0]).shape.clone();
    let thin: Shape = wide.iter().map(|&axis| shape[axis].clone()).collect();
    let order: Vec<usize> = order.iter().filter_map(|axis| wide.iter().position(|own| own == axis)).collect();
    let mut value = input;
    if !order.iter().copied().eq(0..wide.len()) {
        let squeezed = rewriter.insert(index, Reshape::to(&thin), vec![Some(input)])?;
        value = rewriter.insert(index, Transpose { perm: Some(order) }, vec![Some(squeezed)])?;
    }
    rewriter.replace(index, Reshape::to(&output), vec![Some(value)])
}

/// Turns a sum divided by the number of its terms into a mean.
pub(super) fn mean(rewriter: &mut Rewriter<'_>, index: usize) -> Result<()> {
    let [output] = rewriter.node(index).outputs[..] else { return Ok(()) };
    let product = rewriter.product(output);
    let &[sum] = product.factors.as_slice() else { return Ok(()) };
    let Some((op, &[Some(input)])) = rewriter.made_by::<Reduce>(sum) else { return Ok(()) };
    let Some(axes) = rewriter.reduction_below_views(sum, ReduceFunction::Sum, input) else { return Ok(()) };
    let full = &rewriter.fact(input).shape;
    let terms: Shape = axes.iter().map(|&axis| full[axis].clone()).collect();
    match terms.elements().as_fixed() {
        Some(count) if count > 0 && product.scalar as f32 == 1.0 / count as f32 => {
            let mean = Reduce { function: ReduceFunction::Mean, ..op.clone() };
            rewriter.replace(index, mean, vec![Some(input)])
        }
        _ => Ok(()),
    }
}
