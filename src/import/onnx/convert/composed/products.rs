//! Products of matrices of doubles or integers, as plain sums.

use crate::{
    error::{Error, Result},
    graph::ValueId,
    import::onnx::convert::{
        call::Call,
        composed::{Composer, attributes, operand},
    },
    ops::{moves::transpose::Transpose, product::einsum::Einsum},
    shape::{Condition, Dim},
    tensor::DType,
};

/// Whether products of these elements are sums without a kernel of their own.
pub(super) fn is_summed_plainly(dtype: DType) -> bool {
    dtype == DType::F64 || dtype.is_integer()
}

pub(super) fn matmul(own: &mut Composer<'_>, call: &Call<'_>) -> Result<Vec<ValueId>> {
    attributes(call, |_| Ok(()))?;
    Ok(vec![product(own, operand(call, 0)?, operand(call, 1)?)?])
}

/// The product of two values by the rules of `MatMul`.
fn product(own: &mut Composer<'_>, a: ValueId, b: ValueId) -> Result<ValueId> {
    let (left, right) = (own.shape(a), own.shape(b));
    let misfit = || Error::invalid_model(format!("{left} times {right}: the shapes do not fit"));
    let (Some(summed), [.., last]) = (left.dims().last(), right.dims()) else { return Err(misfit()) };
    let other = if let [.., rows, _] = right.dims() { rows } else { last };
    // Unlike MatMul, an Einsum repeats a single element.
    let equal = Condition::equal("the summed axis", other, summed);
    if equal.decide() == Some(false) {
        return Err(misfit());
    }
    let place = (own.place)();
    if equal.decide().is_none() {
        own.graph().assume(place, vec![equal])?;
    }
    let batch = left.rank().max(right.rank()).saturating_sub(2);
    let (row, summed, column) = (batch, batch + 1, batch + 2);
    let labels = |rank: usize, single: &[usize], pair: [usize; 2]| -> Vec<usize> {
        match rank {
            1 => single.to_vec(),
            rank => (batch - (rank - 2)..batch).chain(pair).collect(),
        }
    };
    let mut result: Vec<usize> = (0..batch).collect();
    result.extend((left.rank() > 1).then_some(row));
    result.extend((right.rank() > 1).then_some(column));
    let operands =
        vec![labels(left.rank(), &[summed], [row, summed]), labels(right.rank(), &[summed], [summed, column])];
    let name = own.name;
    own.graph().apply(name, Einsum { operands, result }, &[a, b])
}

pub(super) fn gemm(own: &mut Composer<'_>, call: &Call<'_>) -> Result<Vec<ValueId>> {
    let (alpha, beta, turns) = attributes(call, |node| {
        let factor = |value: Option<f32>| value.unwrap_or(1.0);
        let (alpha, beta) = (factor(node.float("alpha")?), factor(node.float("beta")?));
        Ok((alpha, beta, [node.flag("transA", false)?, node.flag("transB", false)?]))
    })?;
    let mut factors = [operand(call, 0)?, operand(call, 1)?];
    let name = own.name;
    for (factor, turns) in factors.iter_mut().zip(turns) {
        let shape = own.shape(*factor);
        if shape.rank() != 2 {
            return Err(Error::invalid_model(format!("a factor {shape}, expected a matrix")));
        }
        if turns {
            *factor = own.graph().apply(name, Transpose { perm: Some(vec![1, 0]) }, &[*factor])?;
        }
    }
    let mut result = product(own, factors[0], factors[1])?;
    if alpha != 1.0 {
        result = own.times(result, alpha)?;
    }
    let Some(mut added) = call.inputs.get(2).copied().flatten() else { return Ok(vec![result]) };
    if beta != 1.0 {
        added = own.times(added, beta)?;
    }
    let (whole, own_shape) = (own.shape(result), own.shape(added));
    let fits = own_shape.rank() <= 2
        && own_shape.dims().iter().rev().zip(whole.dims().iter().rev()).all(|(own, due): (&Dim, &Dim)| {
            own.as_fixed() == Some(1) || own == due || own.as_fixed().zip(due.as_fixed()).is_none()
        });
    if !fits {
        return Err(Error::invalid_model(format!("{own_shape} is added to {whole}")));
    }
    Ok(vec![own.of("Add", &[result, added])?])
}
