//! Borrowed tensors: operands and results of kernels.

use crate::{
    error::{Error, Result},
    tensor::{DType, Element},
};

/// An operand: dense, row-major, starting on a 64-byte line.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// The element type.
    pub dtype: DType,
    /// The dimensions.
    pub shape: &'a [usize],
    /// The elements as native-endian bytes.
    pub bytes: &'a [u8],
}

impl<'a> View<'a> {
    /// The elements.
    ///
    /// # Errors
    /// `Internal` if they are of another type.
    pub fn slice<T: Element>(&self) -> Result<&'a [T]> {
        check_type::<T>(self.dtype)?;
        Ok(bytemuck::cast_slice(self.bytes))
    }
}

/// A writable result: dense, row-major, starting on a 64-byte line.
#[derive(Debug)]
pub struct ViewMut<'a> {
    /// The element type.
    pub dtype: DType,
    /// The dimensions.
    pub shape: &'a [usize],
    /// The elements as native-endian bytes.
    pub bytes: &'a mut [u8],
}

impl ViewMut<'_> {
    /// The elements.
    ///
    /// # Errors
    /// `Internal` if they are of another type.
    pub fn slice<T: Element>(&mut self) -> Result<&mut [T]> {
        check_type::<T>(self.dtype)?;
        Ok(bytemuck::cast_slice_mut(self.bytes))
    }
}

fn check_type<T: Element>(dtype: DType) -> Result<()> {
    // Strings are read as their numbers.
    if matches!((T::DTYPE, dtype), (DType::U8, DType::Bool) | (DType::U64, DType::String)) || T::DTYPE == dtype {
        return Ok(());
    }
    Err(Error::internal(format!("a kernel for {} was given {dtype}", T::DTYPE)))
}
