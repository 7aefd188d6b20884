//! Composes swish (silu) and hard swish from products, sums and bounds.

use crate::{
    error::Result,
    graph::ValueId,
    ops::pointwise::{BinaryFunction, Unary, UnaryFunction},
    rewrite::{pattern::near, rewriter::Rewriter},
    tensor::DType,
};

/// `x * sigmoid(x)`, `x * clip(x + 3, 0, 6) / 6` and `x * hard_sigmoid(x)` of slope 1/6, with factors in any order.
///
/// Ramachandran, Zoph and Le, Searching for Activation Functions; Howard et al., Searching for MobileNetV3.
pub(super) fn rule(rewriter: &mut Rewriter<'_>, index: usize) -> Result<()> {
    let [output] = rewriter.node(index).outputs[..] else { return Ok(()) };
    let is = |function| rewriter.binary(output, function).is_some();
    if (!is(BinaryFunction::Mul) && !is(BinaryFunction::Div)) || rewriter.fact(output).dtype != DType::F32 {
        return Ok(());
    }
    let product = rewriter.product(output);
    let &[a, b] = product.factors.as_slice() else { return Ok(()) };
    for (x, gate) in [(a, b), (b, a)] {
        if let Some((function, top)) = gate_of(rewriter, gate, x)
            && near(product.scalar * top, 1.0)
        {
            return rewriter.replace(index, Unary { function }, vec![Some(x)]);
        }
    }
    Ok(())
}

/// The product of `x` and `gate`, and the largest result of `gate`, if it is a sigmoid of `x` of either kind.
fn gate_of(rewriter: &Rewriter<'_>, gate: ValueId, x: ValueId) -> Option<(UnaryFunction, f64)> {
    let (op, &[Some(inner)]) = rewriter.made_by::<Unary>(gate)? else { return None };
    match op.function {
        UnaryFunction::Sigmoid => (inner == x).then_some((UnaryFunction::Silu, 1.0)),
        UnaryFunction::Clip { low: 0.0, high: 6.0 } => {
            let below = rewriter.with_scalar(inner, BinaryFunction::Add, |three| three == 3.0)?;
            (below == x).then_some((UnaryFunction::HardSwish, 6.0))
        }
        UnaryFunction::HardSigmoid { alpha, beta } => {
            let fits = inner == x && near(alpha.into(), 1.0 / 6.0) && beta == 0.5;
            fits.then_some((UnaryFunction::HardSwish, 1.0))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{graph::Graph, ops::pointwise::Binary, rewrite::optimize, shape::Shape, tensor::Tensor};

    /// The function of the only node that `x * gate(x) / divisor` becomes, whose gate is a function of `x + summand`, or of
    /// `x`; `None` if it stays as written.
    fn composed(function: UnaryFunction, summand: Option<f32>, divisor: Option<f32>) -> Option<UnaryFunction> {
        let mut graph = Graph::new("written out");
        let x = graph.input("x", DType::F32, Shape::fixed(&[2, 3]));
        let mut number = |name: &str, x: f32| graph.constant(name, Tensor::new([1], &[x]).unwrap());
        let [summand, divisor] =
            [("summand", summand), ("divisor", divisor)].map(|(name, x)| x.map(|x| number(name, x)));
        let binary = |function| Binary { function };
        let inner = match summand {
            Some(summand) => graph.apply("sum", binary(BinaryFunction::Add), &[x, summand]).unwrap(),
            None => x,
        };
        let gate = graph.apply("gate", Unary { function }, &[inner]).unwrap();
        let product = graph.apply("product", binary(BinaryFunction::Mul), &[gate, x]).unwrap();
        let y = match divisor {
            Some(divisor) => graph.apply("y", binary(BinaryFunction::Div), &[product, divisor]).unwrap(),
            None => product,
        };
        graph.output("y", y);
        optimize(&mut graph).unwrap();
        let [node] = graph.nodes() else { return None };
        node.op::<Unary>().map(|op| op.function)
    }

    #[test]
    fn forms_of_exporters_are_found() {
        let clip = |low, high| UnaryFunction::Clip { low, high };
        let sigmoid = |alpha, beta| UnaryFunction::HardSigmoid { alpha, beta };
        let hard = Some(UnaryFunction::HardSwish);
        assert_eq!(composed(clip(0.0, 6.0), Some(3.0), Some(6.0)), hard);
        assert_eq!(composed(sigmoid(1.0 / 6.0, 0.5), None, None), hard);
        assert_eq!(composed(UnaryFunction::Sigmoid, None, None), Some(UnaryFunction::Silu));
    }

    #[test]
    fn what_is_only_alike_stays() {
        let clip = |low, high| UnaryFunction::Clip { low, high };
        assert_eq!(composed(clip(0.0, 6.0), Some(3.0), Some(5.0)), None);
        assert_eq!(composed(clip(0.0, 6.0), Some(2.0), Some(6.0)), None);
        assert_eq!(composed(clip(0.0, 6.0), None, Some(6.0)), None);
        assert_eq!(composed(clip(-1.0, 6.0), Some(3.0), Some(6.0)), None);
        assert_eq!(composed(UnaryFunction::HardSigmoid { alpha: 0.2, beta: 0.5 }, None, None), None);
        assert_eq!(composed(UnaryFunction::Sigmoid, Some(1.0), None), None);
    }
}
