//! The operands of a product's epilogue: a bias, a residual, and the scale and bias of a layer norm.

use crate::{
    error::{Error, Result},
    kernels::{Activation, gemm::Epilogue, norm::LayerNorm},
    op::{Inputs, Io},
    shape::{Dim, Shape},
};

/// Refuses the operands from `first` on if they do not fit a result of `shape`, whose last axis is `n`.
pub(in crate::ops) fn check(inputs: &Inputs<'_>, first: usize, shape: &Shape, n: &Dim, normed: bool) -> Result<()> {
    let differ = |a: &Dim, b: &Dim| a.as_fixed().zip(b.as_fixed()).is_some_and(|(a, b)| a != b);
    for (index, name) in [(0, "bias"), (2, "layer norm's scale"), (3, "layer norm's bias")] {
        if let Some(fact) = inputs.fact(first + index)
            && (fact.shape.rank() != 1 || differ(&fact.shape[0], n))
        {
            return Err(Error::invalid_model(format!("a {name} of shape {} for {n} columns", fact.shape)));
        }
    }
    if let Some(fact) = inputs.fact(first + 1) {
        let own = &fact.shape;
        if own.rank() != shape.rank() || own.dims().iter().zip(shape.dims()).any(|(a, b)| differ(a, b)) {
            return Err(Error::invalid_model(format!("a residual of shape {own} for a result of {shape}")));
        }
    }
    let (scale, bias) = (inputs.fact(first + 2).is_some(), inputs.fact(first + 3).is_some());
    if scale != normed || (bias && !scale) {
        return Err(Error::invalid_model("a layer norm needs its scale, and only a layer norm has one"));
    }
    Ok(())
}

/// The items' axis of the result, where rows stay independent: that of the left operand and of the residual.
pub(in crate::ops) fn batch_axes(
    inputs: &Inputs<'_>,
    axes: &[Option<usize>],
    first: usize,
) -> Option<Vec<Option<usize>>> {
    let depends = |index: usize| axes.get(index).copied().flatten();
    let residual = first + 1;
    if (1..axes.len()).any(|index| index != residual && depends(index).is_some()) {
        return None;
    }
    let last = inputs.fact(0)?.shape.rank() - 1;
    match (depends(0), inputs.fact(residual).map(|_| depends(residual))) {
        (own, Some(residual)) if own != residual => None,
        (Some(axis), _) if axis == last => None,
        (own, _) => Some(vec![own]),
    }
}

/// The epilogue whose operands begin at `first`.
///
/// # Errors
/// When the residual has another shape than the first result.
pub(in crate::ops) fn of<'a>(
    io: &Io<'a>,
    first: usize,
    activation: Activation,
    layer_norm: Option<f32>,
) -> Result<Epilogue<'a>> {
    let optional = |index: usize| io.inputs.get(first + index).copied().flatten();
    let numbers = |index: usize| optional(index).map(|view| view.slice::<f32>()).transpose();
    if let (Some(residual), Some(output)) = (optional(1), io.outputs.first())
        && residual.shape != output.shape
    {
        let (own, due) = (residual.shape, output.shape);
        return Err(Error::invalid_input(format!("a residual of shape {own:?} for a result of {due:?}")));
    }
    let layer_norm = match (layer_norm, numbers(2)?) {
        (Some(epsilon), Some(scale)) => Some(LayerNorm { scale, bias: numbers(3)?, epsilon }),
        _ => None,
    };
    Ok(Epilogue { bias: numbers(0)?, activation, residual: numbers(1)?, layer_norm, ..Epilogue::default() })
}
