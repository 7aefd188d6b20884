//! Composes scaled dot-product attention from two products and a softmax.

use crate::{
    error::Result,
    graph::ValueId,
    ops::{
        moves::transpose::Transpose,
        norm::softmax::Softmax,
        pointwise::BinaryFunction,
        product::{attention::Attention, matmul::MatMul},
    },
    rewrite::rewriter::Rewriter,
};

/// `softmax(q k^T * scale + mask) v`, with the scale at the scores or an operand.
///
/// Vaswani et al., Attention Is All You Need.
pub(super) fn rule(rewriter: &mut Rewriter<'_>, index: usize) -> Result<()> {
    let Some((_, &[Some(weights), Some(v)])) = rewriter.is::<MatMul>(index) else { return Ok(()) };
    let Some(parts) = parts(rewriter, weights) else { return Ok(()) };
    // The products broadcast batch and heads, attention does not.
    let lead = |id: ValueId| {
        let shape = &rewriter.fact(id).shape;
        (shape.rank() == 4).then(|| &shape.dims()[..2])
    };
    let Some(items) = lead(parts.q) else { return Ok(()) };
    if lead(parts.keys_transposed) != Some(items) || lead(v) != Some(items) {
        return Ok(());
    }
    let keys = rewriter.insert(index, Transpose { perm: Some(vec![0, 1, 3, 2]) }, vec![Some(parts.keys_transposed)])?;
    let mut inputs = vec![Some(parts.q), Some(keys), Some(v)];
    inputs.extend(parts.mask.map(Some));
    rewriter.replace(index, Attention { scale: parts.scale }, inputs)
}

struct Parts {
    q: ValueId,
    keys_transposed: ValueId,
    mask: Option<ValueId>,
    scale: f32,
}

fn parts(rewriter: &Rewriter<'_>, weights: ValueId) -> Option<Parts> {
    let (softmax, inputs) = rewriter.made_by::<Softmax>(weights)?;
    let scores = inputs[0]?;
    let last = softmax.axis == 3 || softmax.axis == -1;
    if softmax.log || !last || !rewriter.used_once(weights) || rewriter.fact(scores).shape.rank() != 4 {
        return None;
    }
    let masked_scores = scores;
    let masked = rewriter.binary(scores, BinaryFunction::Add);
    let candidates = match masked {
        Some((a, b)) => vec![(a, Some(b)), (b, Some(a))],
        None => vec![(scores, None)],
    };
    candidates.into_iter().find_map(|(scores, mask)| {
        let outer = rewriter.product(scores);
        let &[product] = outer.factors.as_slice() else { return None };
        let (_, inputs) = rewriter.made_by::<MatMul>(product)?;
        let &[Some(q), Some(k)] = inputs else { return None };
        // A mask that widens the scores is a broadcast of attention's own operands.
        let widened = rewriter.fact(product).shape != rewriter.fact(masked_scores).shape;
        if widened || !rewriter.used_once(scores) {
            return None;
        }
        // A scale that is split between q and k is multiplied.
        let (left, right) = (rewriter.product(q), rewriter.product(k));
        let (&[q], &[keys_transposed]) = (left.factors.as_slice(), right.factors.as_slice()) else { return None };
        let scale = (outer.scalar * left.scalar * right.scalar) as f32;
        Some(Parts { q, keys_transposed, mask, scale })
    })
}
