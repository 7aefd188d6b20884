//! Composes gelu, in the erf and the tanh form, from products and sums.

use crate::{
    error::Result,
    graph::ValueId,
    ops::pointwise::{BinaryFunction, Unary, UnaryFunction},
    rewrite::{pattern::near, rewriter::Rewriter},
};

/// `x * 0.5 * (1 + erf(x / sqrt 2))` and `x * 0.5 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3)))`,
/// with factors in any order.
///
/// Hendrycks and Gimpel, Gaussian Error Linear Units.
pub(super) fn rule(rewriter: &mut Rewriter<'_>, index: usize) -> Result<()> {
    let [output] = rewriter.node(index).outputs[..] else { return Ok(()) };
    if rewriter.binary(output, BinaryFunction::Mul).is_none() && rewriter.binary(output, BinaryFunction::Div).is_none()
    {
        return Ok(());
    }
    let product = rewriter.product(output);
    let &[a, b] = product.factors.as_slice() else { return Ok(()) };
    if !near(product.scalar, 0.5) {
        return Ok(());
    }
    for (x, gate) in [(a, b), (b, a)] {
        if let Some(function) = gate_of(rewriter, gate, x) {
            return rewriter.replace(index, Unary { function }, vec![Some(x)]);
        }
    }
    Ok(())
}

/// The form of gelu, if `gate` is one plus its function of `x`.
fn gate_of(rewriter: &Rewriter<'_>, gate: ValueId, x: ValueId) -> Option<UnaryFunction> {
    let inner = rewriter.with_scalar(gate, BinaryFunction::Add, |one| one == 1.0)?;
    if let Some(argument) = rewriter.unary(inner, UnaryFunction::Erf) {
        let argument = rewriter.product(argument);
        let fits = argument.factors == [x] && near(argument.scalar, std::f64::consts::FRAC_1_SQRT_2);
        return fits.then_some(UnaryFunction::Gelu);
    }
    let argument = rewriter.product(rewriter.unary(inner, UnaryFunction::Tanh)?);
    if !near(argument.scalar, (2.0 / std::f64::consts::PI).sqrt()) {
        return None;
    }
    let cubic = |id: ValueId, count: usize| {
        let product = rewriter.product(id);
        product.factors == vec![x; count] && near(product.scalar, 0.044_715)
    };
    let fits = match argument.factors[..] {
        // x + 0.044715 x^3
        [sum] => {
            let (a, b) = rewriter.binary(sum, BinaryFunction::Add)?;
            (a == x && cubic(b, 3)) || (b == x && cubic(a, 3))
        }
        // x * (1 + 0.044715 x^2)
        [a, b] => {
            let sum = if a == x { b } else { a };
            (a == x || b == x) && cubic(rewriter.with_scalar(sum, BinaryFunction::Add, |one| one == 1.0)?, 2)
        }
        _ => false,
    };
    fits.then_some(UnaryFunction::GeluTanh)
}
