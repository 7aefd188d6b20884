//! Sums of products of integers as integers of another scale.

use std::borrow::Cow;

use crate::{
    error::{Error, Result},
    kernels::{number::Number, small_number},
    ops::wide,
    tensor::{DType, Element, View, ViewMut},
};

/// The scales and the zero point of a product's result.
pub(super) struct Requantize<'a> {
    pub(super) left: Cow<'a, [f32]>,
    pub(super) right: Cow<'a, [f32]>,
    pub(super) result: f32,
    pub(super) zero_point: Option<View<'a>>,
}

/// The numbers of an operand as f32.
pub(super) fn numbers(view: View<'_>) -> Result<Cow<'_, [f32]>> {
    if view.dtype == DType::F32 {
        return view.slice().map(Cow::Borrowed);
    }
    if let DType::Small(small) = view.dtype {
        return Ok(view.bytes.iter().map(|&byte| small_number(small, byte)).collect());
    }
    Ok(wide::read(view)?.into_iter().map(|x| x as f32).collect())
}

impl<'a> Requantize<'a> {
    /// # Errors
    /// When the result has not one scale, or an operand neither one nor `counts`.
    pub(super) fn new(
        left: View<'a>,
        right: View<'a>,
        counts: [usize; 2],
        result: View<'a>,
        zero_point: Option<View<'a>>,
    ) -> Result<Self> {
        let (left, right, result) = (numbers(left)?, numbers(right)?, numbers(result)?);
        let fits = |all: &[f32], count: usize| all.len() == 1 || all.len() == count;
        if let &[result] = &*result
            && fits(&left, counts[0])
            && fits(&right, counts[1])
        {
            return Ok(Self { left, right, result, zero_point });
        }
        let (left, right, result) = (left.len(), right.len(), result.len());
        Err(Error::invalid_input(format!(
            "{left} and {right} scales of operands with {counts:?} groups, and {result} of the result"
        )))
    }

    /// Writes `sums`; `groups` gives the positions of an element's scales, of which one may stand
    /// for all.
    pub(super) fn write(
        &self,
        sums: &[i32],
        start: usize,
        to: &mut ViewMut<'_>,
        groups: impl Fn(usize) -> (usize, usize),
    ) -> Result<()> {
        match to.dtype {
            DType::I8 => self.write_as::<i8>(sums, start, to, groups),
            DType::U8 => self.write_as::<u8>(sums, start, to, groups),
            other => Err(Error::internal(format!("a quantized result of {other} was not refused"))),
        }
    }

    fn write_as<Q: Number + Element>(
        &self,
        sums: &[i32],
        start: usize,
        to: &mut ViewMut<'_>,
        groups: impl Fn(usize) -> (usize, usize),
    ) -> Result<()> {
        let zero_point = self.zero_point.map(|view| view.slice::<Q>()).transpose()?;
        let zero_point = zero_point.and_then(|all| all.first()).map_or(0.0, |zero| zero.wide());
        let of = |all: &[f32], at: usize| if let [one] = all { *one } else { all[at] };
        for (index, (to, &sum)) in to.slice::<Q>()?[start..].iter_mut().zip(sums).enumerate() {
            let (left, right) = groups(index);
            let scale = of(&self.left, left) * of(&self.right, right) / self.result;
            *to = Q::narrow(f64::from((sum as f32 * scale).round_ties_even()) + zero_point);
        }
        Ok(())
    }
}
