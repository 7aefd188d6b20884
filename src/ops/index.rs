//! Operators that read or write elements by index.

pub mod compress;
pub mod gather;
pub mod gather_elements;
pub mod gather_nd;
pub mod non_max_suppression;
pub mod non_zero;
pub mod one_hot;
pub mod scatter;
pub mod tensor_scatter;
pub mod top_k;
pub mod unique;

use smallvec::SmallVec;

use crate::{
    error::{Error, Result},
    op::OpDef,
    tensor::{DType, View},
};

/// The operators of this family.
pub(super) fn operators() -> impl Iterator<Item = &'static OpDef> {
    [
        &compress::DEF,
        &gather::DEF,
        &gather_elements::DEF,
        &gather_nd::DEF,
        &non_max_suppression::DEF,
        &non_zero::DEF,
        &one_hot::DEF,
        &scatter::elements::DEF,
        &scatter::nd::DEF,
        &tensor_scatter::DEF,
        &top_k::DEF,
        &unique::DEF,
    ]
    .into_iter()
}

/// An operand of indices.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Indices<'a> {
    I32(&'a [i32]),
    I64(&'a [i64]),
}

impl<'a> Indices<'a> {
    pub(crate) fn of(view: View<'a>) -> Result<Self> {
        match view.dtype {
            DType::I32 => view.slice().map(Self::I32),
            _ => view.slice().map(Self::I64),
        }
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            Self::I32(all) => all.len(),
            Self::I64(all) => all.len(),
        }
    }

    #[inline]
    pub(crate) fn get(&self, position: usize) -> i64 {
        match self {
            Self::I32(all) => i64::from(all[position]),
            Self::I64(all) => all[position],
        }
    }

    /// Index `position`, counted from the front of an axis of that size.
    #[inline]
    pub(crate) fn resolve(&self, position: usize, axis: usize, size: usize) -> Result<usize> {
        resolved(self.get(position), axis, size)
    }
}

/// An index counted from the front of an axis of that size.
#[inline]
pub(crate) fn resolved(index: i64, axis: usize, size: usize) -> Result<usize> {
    let front = if index < 0 { index.wrapping_add(size as i64) } else { index };
    if (0..size as i64).contains(&front) { Ok(front as usize) } else { Err(outside(index, axis, size)) }
}

#[cold]
fn outside(index: i64, axis: usize, size: usize) -> Error {
    Error::invalid_input(format!("index {index} is out of range for axis {axis} of size {size}"))
}

/// Refuses booleans and strings where numbers are required.
pub(crate) fn check_number(dtype: DType) -> Result<()> {
    if dtype.is_number() { Ok(()) } else { Err(not_numbers()) }
}

/// The error of a numeric kernel on booleans or strings.
pub(crate) fn not_numbers() -> Error {
    Error::invalid_model("expected numbers, found bool or string")
}

/// Refuses indices that are not i32 or i64.
pub(crate) fn check_index_type(dtype: DType) -> Result<()> {
    match dtype {
        DType::I32 | DType::I64 => Ok(()),
        other => Err(Error::invalid_model(format!("indices must be i32 or i64, found {other}"))),
    }
}

/// Checks that the indices' shape fits within the data's in all axes but `axis`.
pub(crate) fn check_within(data: &[usize], indices: &[usize], axis: usize) -> Result<()> {
    let outside = |&own: &usize| own != axis && indices[own] > data[own];
    match (0..data.len()).find(outside) {
        Some(own) => {
            let (large, small) = (indices[own], data[own]);
            Err(Error::invalid_input(format!("indices of size {large} along axis {own}, where the data has {small}")))
        }
        None => Ok(()),
    }
}

/// Calls `visit` for each element of `shape` in order, with its position and its offset.
///
/// The offset is by the strides `steps`, without that of `axis`.
pub(crate) fn each(
    shape: &[usize],
    steps: &[isize],
    axis: usize,
    mut visit: impl FnMut(usize, usize) -> Result<()>,
) -> Result<()> {
    let mut at: SmallVec<[usize; 8]> = SmallVec::from_elem(0, shape.len());
    let mut base = 0;
    for position in 0..shape.iter().product() {
        visit(position, base)?;
        for own in (0..shape.len()).rev() {
            let step = if own == axis { 0 } else { steps[own] as usize };
            at[own] += 1;
            base += step;
            if at[own] < shape[own] {
                break;
            }
            base -= at[own] * step;
            at[own] = 0;
        }
    }
    Ok(())
}

/// The row of `data` that an index tuple selects along its leading axes.
pub(crate) fn locate(
    indices: &Indices<'_>,
    tuple: std::ops::Range<usize>,
    data: &[usize],
    first: usize,
) -> Result<usize> {
    let mut at = 0;
    for (axis, position) in tuple.enumerate() {
        let axis = axis + first;
        at = at * data[axis] + indices.resolve(position, axis, data[axis])?;
    }
    Ok(at)
}
