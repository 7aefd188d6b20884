//! Conversions from and to the arrays of `ndarray`.

use ndarray::{Array, ArrayD, ArrayRef, Dimension};

use crate::{
    error::{Error, Result},
    tensor::{Element, Tensor},
};

/// The elements of the array in row-major order, whatever its layout is.
impl<T: Element, D: Dimension> From<&ArrayRef<T, D>> for Tensor {
    fn from(array: &ArrayRef<T, D>) -> Self {
        let values = array.as_standard_layout();
        let mut tensor = Self::from(values.iter().copied().collect::<Vec<T>>());
        tensor.shape = array.shape().to_vec();
        tensor
    }
}

impl<T: Element, D: Dimension> From<Array<T, D>> for Tensor {
    fn from(array: Array<T, D>) -> Self {
        Self::from(&*array)
    }
}

/// # Errors
/// If the elements of the tensor are of another type.
impl<T: Element> TryFrom<&Tensor> for ArrayD<T> {
    type Error = Error;

    fn try_from(tensor: &Tensor) -> Result<Self> {
        let values = tensor.as_slice::<T>()?.to_vec();
        ArrayD::from_shape_vec(tensor.shape(), values).map_err(|error| Error::internal(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{ArrayD, arr2};

    use super::*;

    #[test]
    fn arrays_become_tensors_and_come_back() {
        let array = arr2(&[[1_i32, 2, 3], [4, 5, 6]]);
        let tensor = Tensor::from(array.clone());
        assert_eq!(tensor, Tensor::new([2, 3], &[1, 2, 3, 4, 5, 6]).unwrap());
        assert_eq!(ArrayD::<i32>::try_from(&tensor).unwrap(), array.clone().into_dyn());
        // A view whose elements do not stand in row-major order.
        assert_eq!(Tensor::from(&*array.t()), Tensor::new([3, 2], &[1, 4, 2, 5, 3, 6]).unwrap());
        let error = ArrayD::<f32>::try_from(&tensor).unwrap_err();
        assert_eq!(error.to_string(), "expected a tensor of f32, found i32");
    }
}
