//! Tensors over memory of the caller's.

use std::sync::Arc;

use crate::{
    error::Result,
    tensor::{AlignedBytes, DType, Tensor, check_bytes},
};

impl Tensor {
    /// A tensor over the native-endian bytes of `owner`, which it keeps as long as they are used.
    ///
    /// `as_ref` must return the same bytes each time. They are copied if they are not aligned to the element type, and
    /// before they are written.
    ///
    /// ```
    /// use gristmill::{DType, Tensor};
    /// let tensor = Tensor::from_owner(DType::U8, [2, 2], vec![1, 2, 3, 4]).unwrap();
    /// assert_eq!(tensor.as_slice::<u8>().unwrap(), [1, 2, 3, 4]);
    /// ```
    ///
    /// # Errors
    /// As [`from_bytes`](Self::from_bytes).
    pub fn from_owner(
        dtype: DType,
        shape: impl Into<Vec<usize>>,
        owner: impl AsRef<[u8]> + Send + Sync + 'static,
    ) -> Result<Self> {
        let shape = shape.into();
        check_bytes(dtype, &shape, owner.as_ref())?;
        Ok(Self { dtype, shape, data: Arc::new(AlignedBytes::foreign(Arc::new(owner), dtype.size())), strings: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes that start `0` bytes after an address which is aligned to 8.
    struct Offset(usize, Vec<u64>);

    impl AsRef<[u8]> for Offset {
        fn as_ref(&self) -> &[u8] {
            &bytemuck::cast_slice(&self.1)[self.0..self.0 + 8]
        }
    }

    #[test]
    fn bytes_of_an_owner_are_used_in_place_where_they_are_aligned() {
        let words =
            vec![u64::from_ne_bytes([0, 1, 2, 3, 4, 5, 6, 7]), u64::from_ne_bytes([8, 9, 10, 11, 12, 13, 14, 15])];
        let place = words.as_ptr().addr();
        for (offset, in_place) in [(0, true), (4, true), (2, false)] {
            let owner = Offset(offset, words.clone());
            let place = owner.as_ref().as_ptr().addr();
            let tensor = Tensor::from_owner(DType::I32, [2], owner).unwrap();
            assert_eq!(tensor.bytes().as_ptr().addr() == place, in_place);
            let expected: Vec<u8> = (offset as u8..offset as u8 + 8).collect();
            assert_eq!(tensor.bytes(), expected);
        }
        assert_eq!(words.as_ptr().addr(), place);
    }

    #[test]
    fn writing_copies_bytes_of_an_owner() {
        let bytes = Arc::new([1_u8, 2, 3]);
        struct Shared(Arc<[u8; 3]>);
        impl AsRef<[u8]> for Shared {
            fn as_ref(&self) -> &[u8] {
                &*self.0
            }
        }
        let mut tensor = Tensor::from_owner(DType::U8, [3], Shared(bytes.clone())).unwrap();
        let other = tensor.clone();
        tensor.bytes_mut()[1] = 9;
        assert_eq!((tensor.bytes(), other.bytes(), *bytes), (&[1, 9, 3][..], &[1, 2, 3][..], [1, 2, 3]));
        drop((tensor, other));
        assert_eq!(Arc::strong_count(&bytes), 1);
    }

    #[test]
    fn bytes_of_an_owner_are_checked() {
        assert!(Tensor::from_owner(DType::F32, [2], vec![0; 7]).is_err());
        assert!(Tensor::from_owner(DType::Bool, [1], vec![2]).is_err());
        assert!(Tensor::from_owner(DType::String, [1], vec![0; 8]).is_err());
    }
}
