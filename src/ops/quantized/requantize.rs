//! Sums of products of integers as integers of another scale.

use std::borrow::Cow;

use crate::{
    error::{Error, Result},
    kernels::{
        KernelSet,
        quantize::{Byte, requantize},
        small_number,
    },
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

    /// That of `count` groups of the right operand from `first` on.
    pub(super) fn columns(&self, first: usize, count: usize) -> Requantize<'_> {
        let right = if self.right.len() == 1 { &self.right[..] } else { &self.right[first..first + count] };
        Requantize { left: (&*self.left).into(), right: right.into(), ..*self }
    }

    /// Writes `rows` rows of `columns` sums, from element `start` of the result on; rows have the
    /// groups of the left operand, columns those of the right one.
    pub(super) fn write(
        &self,
        set: KernelSet,
        sums: &[i32],
        [rows, columns]: [usize; 2],
        start: usize,
        to: &mut ViewMut<'_>,
    ) -> Result<()> {
        match to.dtype {
            DType::I8 => self.write_as::<i8>(set, sums, [rows, columns], &mut to.slice()?[start..]),
            DType::U8 => self.write_as::<u8>(set, sums, [rows, columns], &mut to.slice()?[start..]),
            other => Err(Error::internal(format!("a quantized result of {other} was not refused"))),
        }
    }

    /// As [`write`](Self::write), into bytes.
    pub(super) fn write_as<Q: Byte + Element + Default>(
        &self,
        set: KernelSet,
        sums: &[i32],
        [rows, columns]: [usize; 2],
        to: &mut [Q],
    ) -> Result<()> {
        let zero_point = self.zero_point.map(|view| view.slice::<Q>()).transpose()?;
        let zero_point = zero_point.and_then(|all| all.first()).copied().unwrap_or_default();
        let of = |all: &[f32], at: usize| if let [one] = all { *one } else { all[at] };
        let mut scales = Vec::new();
        for row in 0..rows {
            if row == 0 || self.left.len() > 1 {
                scales.clear();
                let scale = |column| of(&self.left, row) * of(&self.right, column) / self.result;
                match self.right.len() {
                    1 => scales.resize(columns, scale(0)),
                    _ => scales.extend((0..columns).map(scale)),
                }
            }
            let part = row * columns..(row + 1) * columns;
            requantize(set, &sums[part.clone()], &scales, zero_point, &mut to[part]);
        }
        Ok(())
    }
}
