//! Activations and sums.

use crate::{
    error::{Error, Result},
    graph::ValueId,
    import::onnx::convert::lower::{Lower, float, text},
};

/// `Gelu`, `BiasGelu` and `FastGelu`: of the operand plus a bias, which may be absent.
pub(super) fn gelu(lower: &mut Lower<'_, '_, '_, '_>, tanh: bool) -> Result<Vec<ValueId>> {
    lower.expect(2)?;
    let x = lower.required(0)?;
    let x = lower.plus(x, lower.optional(1))?;
    let form = if tanh { "tanh" } else { "none" };
    Ok(vec![lower.op_with("Gelu", vec![text("approximate", form)], &[x])?])
}

/// `x sigmoid(alpha x)`.
pub(super) fn quick_gelu(lower: &mut Lower<'_, '_, '_, '_>) -> Result<Vec<ValueId>> {
    let alpha = lower.read(|node| node.float("alpha"))?.unwrap_or(1.702);
    let x = lower.required(0)?;
    let alpha = lower.number(alpha, lower.dtype(x))?;
    let scaled = lower.op("Mul", &[x, alpha])?;
    let gate = lower.op("Sigmoid", &[scaled])?;
    Ok(vec![lower.op("Mul", &[x, gate])?])
}

/// The operand, a bias and what skipped the layer.
pub(super) fn bias_add(lower: &mut Lower<'_, '_, '_, '_>) -> Result<Vec<ValueId>> {
    let sum = lower.op("Add", &[lower.required(0)?, lower.required(1)?])?;
    Ok(vec![lower.plus(sum, Some(lower.required(2)?))?])
}

/// The operand, a bias, and a residual, which may be absent; nothing is dropped.
pub(super) fn bias_dropout(lower: &mut Lower<'_, '_, '_, '_>) -> Result<Vec<ValueId>> {
    lower.read(|node| node.int("seed"))?;
    if let Some(training) = lower.optional(4) {
        let known = lower.converter.graph.constant_of(training);
        if known.is_none_or(|tensor| tensor.bytes().iter().any(|&byte| byte != 0)) {
            return Err(Error::unsupported("dropout in training"));
        }
    }
    let sum = lower.op("Add", &[lower.required(0)?, lower.required(1)?])?;
    Ok(vec![lower.plus(sum, lower.optional(2))?])
}

impl Lower<'_, '_, '_, '_> {
    /// The activation that follows a product, by its name and parameters.
    pub(super) fn activated(&mut self, x: ValueId, name: &str, parameters: &[f32]) -> Result<ValueId> {
        let parameter = |index: usize, name: &str| parameters.get(index).map(|&value| float(name, value));
        match name {
            "" => Ok(x),
            "Relu" | "Sigmoid" | "Tanh" | "Softplus" | "Softsign" | "HardSwish" | "Selu" => self.op(name, &[x]),
            "LeakyRelu" | "Elu" | "ThresholdedRelu" => {
                self.op_with(name, parameter(0, "alpha").into_iter().collect(), &[x])
            }
            "HardSigmoid" => {
                let both = [parameter(0, "alpha"), parameter(1, "beta")];
                self.op_with(name, both.into_iter().flatten().collect(), &[x])
            }
            "Clip" => {
                let &[least, most] = parameters else {
                    return Err(Error::invalid_model(format!("{} parameters of Clip", parameters.len())));
                };
                let (least, most) = (self.number(least, self.dtype(x))?, self.number(most, self.dtype(x))?);
                self.op(name, &[x, least, most])
            }
            other => Err(Error::unsupported(format!("the activation `{other}` is not built here"))),
        }
    }
}
