//! Operands that are indices.

use crate::{
    cpu::View,
    error::{Error, Result},
    tensor::DType,
};

/// Integers that name positions.
#[derive(Clone, Copy, Debug)]
pub(super) enum Indices<'a> {
    I32(&'a [i32]),
    I64(&'a [i64]),
}

impl<'a> Indices<'a> {
    pub(super) fn of(view: View<'a>) -> Result<Self> {
        match view.dtype {
            DType::I32 => view.slice().map(Self::I32),
            _ => view.slice().map(Self::I64),
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::I32(all) => all.len(),
            Self::I64(all) => all.len(),
        }
    }

    #[inline]
    pub(super) fn get(&self, position: usize) -> i64 {
        match self {
            Self::I32(all) => i64::from(all[position]),
            Self::I64(all) => all[position],
        }
    }

    /// Index `position` as one from the front of an axis of that size; negative ones count from the end.
    #[inline]
    pub(super) fn resolve(&self, position: usize, axis: usize, size: usize) -> Result<usize> {
        let index = self.get(position);
        let front = if index < 0 { index.wrapping_add(size as i64) } else { index };
        if (0..size as i64).contains(&front) { Ok(front as usize) } else { Err(outside(index, axis, size)) }
    }
}

#[cold]
fn outside(index: i64, axis: usize, size: usize) -> Error {
    Error::invalid_input(format!("index {index} is out of range for axis {axis} of size {size}"))
}

/// Refuses indices that are not i32 or i64.
pub(super) fn check_index_type(dtype: DType) -> Result<()> {
    match dtype {
        DType::I32 | DType::I64 => Ok(()),
        other => Err(Error::invalid_model(format!("indices must be i32 or i64, found {other}"))),
    }
}
