//! Arithmetic on the elements that shape inference tracks.

use crate::{
    graph::{MAX_EXACT, MAX_TRACKED},
    op::Inputs,
    ops::pointwise::{binary::function::BinaryFunction as F, cast::counted_exactly},
    shape::{Dim, Shape},
    tensor::DType,
};

/// The tracked elements of a function of integers, if every result can be known.
pub(super) fn elements(function: F, inputs: &Inputs<'_>, output: &Shape) -> Option<Vec<Dim>> {
    let shape = output.as_fixed()?;
    let count = output.fixed_elements().ok()??;
    if count > MAX_TRACKED {
        return None;
    }
    let (mut operands, mut floats) = (Vec::with_capacity(inputs.len()), false);
    for index in 0..inputs.len() {
        let fact = inputs.fact(index)?;
        if !matches!(fact.dtype, DType::I64 | DType::I32 | DType::Bool | DType::F32) {
            return None;
        }
        floats |= fact.dtype == DType::F32;
        let own = fact.shape.as_fixed()?;
        let elements = fact.elements.as_deref()?;
        operands.push((own, elements));
    }
    let at = |own: &[usize], flat: usize| {
        let (mut rest, mut position, mut step) = (flat, 0, 1);
        for back in 0..own.len() {
            let (size, dim) = (shape[shape.len() - 1 - back], own[own.len() - 1 - back]);
            if dim != 1 {
                position += rest % size * step;
            }
            step *= dim;
            rest /= size;
        }
        position
    };
    let (first, others) = operands.split_first()?;
    (0..count)
        .map(|flat| {
            let start = first.1.get(at(&first.0, flat))?.clone();
            let folded = others.iter().try_fold(start, |sum, (own, elements)| {
                let other = elements.get(at(own, flat))?;
                if floats { apply_exactly(function, inputs, &sum, other) } else { apply(function, &sum, other) }
            });
            folded.filter(Dim::is_valid)
        })
        .collect()
}

/// One function of two whole numbers of f32, if the result is a whole number that can be known.
fn apply_exactly(function: F, inputs: &Inputs<'_>, a: &Dim, b: &Dim) -> Option<Dim> {
    let result = match function {
        F::Div if b.as_fixed() != Some(0) => a.exact_div(b),
        F::Add | F::Sum | F::Sub | F::Mul | F::Max | F::Min => apply(function, a, b),
        F::Equal | F::Less | F::Greater | F::GreaterOrEqual | F::LessOrEqual => apply(function, a, b),
        _ => None,
    }?;
    for dim in [a, b, &result] {
        match dim.as_fixed() {
            Some(number) if number.unsigned_abs() > MAX_EXACT as u64 => return None,
            Some(_) => {}
            None => inputs.assume(counted_exactly(dim)).ok()?,
        }
    }
    Some(result)
}

/// One function of two integers or booleans, if the result can be known.
fn apply(function: F, a: &Dim, b: &Dim) -> Option<Dim> {
    let truth = |known: Option<bool>| known.map(|truth| Dim::from(usize::from(truth)));
    let both = a.as_fixed().zip(b.as_fixed());
    match function {
        F::Add | F::Sum => Some(a + b),
        F::Sub => Some(a - b),
        F::Mul => Some(a * b),
        F::Max => Some(a.max(b)),
        F::Min => Some(a.min(b)),
        F::Div => match both {
            Some((a, b)) => a.checked_div(b).map(Dim::number),
            // Rounding down equals truncation where neither is negative.
            None if a.least()? >= 0 && b.least()? > 0 => Some(a.floor_div(b)),
            None => None,
        },
        F::Mod { truncated } => match both {
            Some((a, b)) if truncated => a.checked_rem(b).map(Dim::number),
            Some((a, b)) => {
                // The remainder has the sign of the divisor.
                let rest = a.checked_rem(b)?;
                Some(Dim::number(if rest != 0 && (rest < 0) != (b < 0) { rest + b } else { rest }))
            }
            None if a.least()? >= 0 && b.least()? > 0 => Some(a - &(&a.floor_div(b) * b)),
            None => None,
        },
        F::Equal => truth(equal(a, b)),
        F::Less => truth(less(a, b)),
        F::Greater => truth(less(b, a)),
        F::GreaterOrEqual => truth(less(a, b).map(|less| !less)),
        F::LessOrEqual => truth(less(b, a).map(|less| !less)),
        F::And => both.map(|(a, b)| Dim::number(a & b)),
        F::Or => both.map(|(a, b)| Dim::number(a | b)),
        F::Xor => both.map(|(a, b)| Dim::number(a ^ b)),
        _ => None,
    }
}

fn equal(a: &Dim, b: &Dim) -> Option<bool> {
    if a == b && a.is_valid() {
        return Some(true);
    }
    let apart = |more: &Dim, less: &Dim| (more - less).least().is_some_and(|least| least > 0);
    (apart(a, b) || apart(b, a)).then_some(false)
}

fn less(a: &Dim, b: &Dim) -> Option<bool> {
    if (b - a).least().is_some_and(|least| least > 0) {
        Some(true)
    } else if (a - b).least().is_some_and(|least| least >= 0) {
        Some(false)
    } else {
        None
    }
}
