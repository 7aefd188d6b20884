//! Composes softmax from maximum, difference, exponential, sum and quotient.

use crate::{
    error::Result,
    graph::ValueId,
    ops::{
        norm::softmax::Softmax,
        pointwise::{BinaryFunction, UnaryFunction},
        reduce::ReduceFunction,
    },
    rewrite::rewriter::Rewriter,
};

pub(super) fn rule(rewriter: &mut Rewriter<'_>, index: usize) -> Result<()> {
    let [output] = rewriter.node(index).outputs[..] else { return Ok(()) };
    let Some((x, axis)) = parts(rewriter, output) else { return Ok(()) };
    rewriter.replace(index, Softmax::over(axis as i64), vec![Some(x)])
}

/// The softmax's operand and its axis.
fn parts(rewriter: &Rewriter<'_>, output: ValueId) -> Option<(ValueId, usize)> {
    let (exponential, sum) = rewriter.binary(output, BinaryFunction::Div)?;
    let axes = rewriter.reduction(sum, ReduceFunction::Sum, exponential)?;
    let difference = rewriter.unary(exponential, UnaryFunction::Exp)?;
    let (x, maximum) = rewriter.binary(difference, BinaryFunction::Sub)?;
    let same = rewriter.reduction(maximum, ReduceFunction::Max, x)? == axes;
    match axes[..] {
        [axis] if same => Some((x, axis)),
        _ => None,
    }
}
