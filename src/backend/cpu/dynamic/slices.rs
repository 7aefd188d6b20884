//! Slices of tensors, and tensors stacked of slices.

use crate::{
    error::{Error, Result},
    tensor::{DType, Tensor},
};

/// Slice `index` along an axis, without that axis.
pub(super) fn slice(tensor: &Tensor, axis: usize, index: usize) -> Result<Tensor> {
    let mut shape = tensor.shape().to_vec();
    let size = shape.remove(axis);
    let block = shape[axis..].iter().product::<usize>() * tensor.dtype().size();
    let mut slice = Tensor::zeros(tensor.dtype(), shape)?;
    if block > 0 {
        let parts = tensor.bytes().chunks_exact(block).skip(index).step_by(size);
        slice.bytes_mut().chunks_exact_mut(block).zip(parts).for_each(|(to, from)| to.copy_from_slice(from));
    }
    Ok(slice)
}

/// Tensors of one shape stacked along a new axis.
///
/// # Errors
/// If a tensor is of another type or shape, or there is no memory.
pub(super) fn stack(tensors: &[Tensor], axis: usize, dtype: DType, shape: &[usize]) -> Result<Tensor> {
    if let Some(other) = tensors.iter().find(|tensor| (tensor.dtype(), tensor.shape()) != (dtype, shape)) {
        return Err(Error::invalid_input(format!("{other:?} cannot be stacked on {dtype}{shape:?}")));
    }
    let block = shape[axis..].iter().product::<usize>() * dtype.size();
    let mut whole = shape.to_vec();
    whole.insert(axis, tensors.len());
    let mut stacked = Tensor::zeros(dtype, whole)?;
    if block > 0 {
        let bytes = stacked.bytes_mut();
        for (index, tensor) in tensors.iter().enumerate() {
            let parts = bytes.chunks_exact_mut(block).skip(index).step_by(tensors.len());
            parts.zip(tensor.bytes().chunks_exact(block)).for_each(|(to, from)| to.copy_from_slice(from));
        }
    }
    Ok(stacked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_are_what_was_stacked() {
        let tensor = Tensor::new([2, 3, 2], &[0i32, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]).unwrap();
        for axis in 0..3 {
            let slices: Vec<_> = (0..tensor.shape()[axis]).map(|at| slice(&tensor, axis, at).unwrap()).collect();
            let shape = slices[0].shape().to_vec();
            assert_eq!(stack(&slices, axis, DType::I32, &shape).unwrap(), tensor);
        }
        assert_eq!(slice(&tensor, 1, 1).unwrap(), Tensor::new([2, 2], &[2i32, 3, 8, 9]).unwrap());
    }
}
