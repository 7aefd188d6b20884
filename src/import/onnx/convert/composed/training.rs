//! One step of an optimizer: `Adagrad`, `Adam`, `Momentum`.

use crate::{
    error::{Error, Result},
    graph::ValueId,
    import::onnx::convert::{
        call::Call,
        composed::{Composer, attributes, operand},
    },
};

/// The operands behind the rate and the count, in lists of equal length.
fn lists<const N: usize>(call: &Call<'_>) -> Result<Vec<[ValueId; N]>> {
    let count = call.inputs.len().saturating_sub(2);
    if count == 0 || !count.is_multiple_of(N) {
        return Err(Error::invalid_model(format!("{count} operands, which are no {N} lists of equal length")));
    }
    let each = count / N;
    let of = |index: usize| -> Result<[ValueId; N]> {
        let mut list = [operand(call, 2 + index)?; N];
        for (at, id) in list.iter_mut().enumerate() {
            *id = operand(call, 2 + at * each + index)?;
        }
        Ok(list)
    };
    (0..each).map(of).collect()
}

/// The results of each tensor, sorted by what they are.
fn sorted<const N: usize>(made: &[[ValueId; N]]) -> Vec<ValueId> {
    (0..N).flat_map(|index| made.iter().map(move |own| own[index])).collect()
}

/// The gradient with that of the norm.
fn regularized(own: &mut Composer<'_>, x: ValueId, gradient: ValueId, norm: f32) -> Result<ValueId> {
    let of_norm = own.times(x, norm)?;
    own.of("Add", &[of_norm, gradient])
}

pub(super) fn adagrad(own: &mut Composer<'_>, call: &Call<'_>) -> Result<Vec<ValueId>> {
    let [norm, decay, epsilon] = attributes(call, |node| {
        let norm = node.float("norm_coefficient")?.unwrap_or(0.0);
        Ok([norm, node.float("decay_factor")?.unwrap_or(0.0), node.float("epsilon")?.unwrap_or(1e-6)])
    })?;
    let mut made = Vec::new();
    for [x, gradient, squares] in lists(call)? {
        let dtype = own.dtype(x);
        let (rate, count) = (own.cast(operand(call, 0)?, dtype)?, own.cast(operand(call, 1)?, dtype)?);
        let (decayed, one) = (own.times(count, decay)?, own.number(1.0, dtype)?);
        let slower = own.of("Add", &[one, decayed])?;
        let rate = own.of("Div", &[rate, slower])?;
        let gradient = regularized(own, x, gradient, norm)?;
        let square = own.of("Mul", &[gradient, gradient])?;
        let squares = own.of("Add", &[squares, square])?;
        let (root, epsilon) = (own.of("Sqrt", &[squares])?, own.number(epsilon, dtype)?);
        let root = own.of("Add", &[root, epsilon])?;
        let step = own.of("Mul", &[rate, gradient])?;
        let step = own.of("Div", &[step, root])?;
        made.push([own.of("Sub", &[x, step])?, squares]);
    }
    Ok(sorted(&made))
}

/// `factor * old + (1 - factor) * new`
fn averaged(own: &mut Composer<'_>, factor: f32, old: ValueId, new: ValueId) -> Result<ValueId> {
    let (old, new) = (own.times(old, factor)?, own.times(new, 1.0 - factor)?);
    own.of("Add", &[old, new])
}

pub(super) fn adam(own: &mut Composer<'_>, call: &Call<'_>) -> Result<Vec<ValueId>> {
    let [norm, after, alpha, beta, epsilon] = attributes(call, |node| {
        Ok([
            node.float("norm_coefficient")?.unwrap_or(0.0),
            node.float("norm_coefficient_post")?.unwrap_or(0.0),
            node.float("alpha")?.unwrap_or(0.9),
            node.float("beta")?.unwrap_or(0.999),
            node.float("epsilon")?.unwrap_or(1e-6),
        ])
    })?;
    let mut made = Vec::new();
    for [x, gradient, mean, squares] in lists(call)? {
        let dtype = own.dtype(x);
        let (rate, count) = (own.cast(operand(call, 0)?, dtype)?, own.cast(operand(call, 1)?, dtype)?);
        let gradient = regularized(own, x, gradient, norm)?;
        let mean = averaged(own, alpha, mean, gradient)?;
        let square = own.of("Mul", &[gradient, gradient])?;
        let squares = averaged(own, beta, squares, square)?;
        let (root, epsilon) = (own.of("Sqrt", &[squares])?, own.number(epsilon, dtype)?);
        let root = own.of("Add", &[root, epsilon])?;
        let (zero, one) = (own.number(0.0, dtype)?, own.number(1.0, dtype)?);
        let mut rest = |factor: f32| {
            let factor = own.number(factor, dtype)?;
            let power = own.of("Pow", &[factor, count])?;
            own.of("Sub", &[one, power])
        };
        let (of_mean, of_squares) = (rest(alpha)?, rest(beta)?);
        let of_squares = own.of("Sqrt", &[of_squares])?;
        let adjusted = own.of("Mul", &[rate, of_squares])?;
        let adjusted = own.of("Div", &[adjusted, of_mean])?;
        let later = own.of("Greater", &[count, zero])?;
        let rate = own.of("Where", &[later, adjusted, rate])?;
        let step = own.of("Mul", &[rate, mean])?;
        let step = own.of("Div", &[step, root])?;
        let x = own.of("Sub", &[x, step])?;
        made.push([own.times(x, 1.0 - after)?, mean, squares]);
    }
    Ok(sorted(&made))
}

pub(super) fn momentum(own: &mut Composer<'_>, call: &Call<'_>) -> Result<Vec<ValueId>> {
    let (norm, alpha, beta, is_nesterov) = attributes(call, |node| {
        let mut factor = |name: &str| {
            let factor = node.float(name)?;
            factor.ok_or_else(|| Error::invalid_model(format!("`{name}` is missing")))
        };
        let (norm, alpha, beta) = (factor("norm_coefficient")?, factor("alpha")?, factor("beta")?);
        match node.string("mode")?.as_deref() {
            Some("nesterov") => Ok((norm, alpha, beta, true)),
            Some("standard") => Ok((norm, alpha, beta, false)),
            other => Err(Error::invalid_model(format!("`mode` is {other:?}, expected nesterov or standard"))),
        }
    })?;
    let mut made = Vec::new();
    for [x, gradient, momentum] in lists(call)? {
        let dtype = own.dtype(x);
        let (rate, count) = (own.cast(operand(call, 0)?, dtype)?, own.cast(operand(call, 1)?, dtype)?);
        let gradient = regularized(own, x, gradient, norm)?;
        let [zero, one, beta] = [own.number(0.0, dtype)?, own.number(1.0, dtype)?, own.number(beta, dtype)?];
        let later = own.of("Greater", &[count, zero])?;
        let beta = own.of("Where", &[later, beta, one])?;
        let (old, new) = (own.times(momentum, alpha)?, own.of("Mul", &[beta, gradient])?);
        let momentum = own.of("Add", &[old, new])?;
        let mut step = momentum;
        if is_nesterov {
            let ahead = own.times(momentum, alpha)?;
            step = own.of("Add", &[gradient, ahead])?;
        }
        let step = own.of("Mul", &[rate, step])?;
        made.push([own.of("Sub", &[x, step])?, momentum]);
    }
    Ok(sorted(&made))
}
