//! Host tensors: a type, a shape, and bytes that clones share.

pub(crate) mod arena;
#[cfg(feature = "ndarray")]
mod arrays;
mod buffer;
mod cosine;
mod debug;
mod dtype;
mod finite;
mod foreign;
#[cfg(feature = "hugging-face")]
mod mapping;
mod named;
mod small;
mod strings;
mod value;
mod view;

use std::sync::Arc;

pub(crate) use buffer::AlignedBytes;
use bytemuck::Pod;
pub(crate) use cosine::cosine;
pub use dtype::{DType, Element};
#[cfg(feature = "hugging-face")]
pub(crate) use mapping::Mapping;
pub use named::Tensors;
pub use small::SmallType;
pub use strings::RunStrings;
pub(crate) use strings::StringTable;
pub use value::Value;
pub use view::{View, ViewMut};

use crate::error::{Error, Result};

/// A dense, row-major array in host memory.
///
/// Clones share the bytes; writing to shared bytes copies them first.
#[derive(Clone)]
pub struct Tensor {
    dtype: DType,
    shape: Vec<usize>,
    data: Arc<AlignedBytes>,
    /// The texts of a tensor of strings, whose elements are numbers of this table.
    strings: Option<Arc<StringTable>>,
}

impl PartialEq for Tensor {
    fn eq(&self, other: &Self) -> bool {
        if (self.dtype, &self.shape) != (other.dtype, &other.shape) {
            return false;
        }
        match self.dtype {
            DType::String => self.texts().eq(other.texts()),
            _ => self.data == other.data,
        }
    }
}

impl Tensor {
    /// Whether the bytes are those of a mapped file.
    pub(crate) fn is_mapped(&self) -> bool {
        self.data.is_mapped()
    }

    /// A tensor of `shape` from `values` in row-major order.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) if the number of values is not
    /// the product of `shape`.
    pub fn new<T: Element>(shape: impl Into<Vec<usize>>, values: &[T]) -> Result<Self> {
        Self::from_bytes(T::DTYPE, shape, bytemuck::cast_slice(values))
    }

    /// A boolean tensor.
    ///
    /// # Errors
    /// As [`Tensor::new`].
    pub fn from_bools(shape: impl Into<Vec<usize>>, values: &[bool]) -> Result<Self> {
        let bytes: Vec<u8> = values.iter().map(|&value| u8::from(value)).collect();
        Self::from_bytes(DType::Bool, shape, &bytes)
    }

    /// A tensor of strings.
    ///
    /// # Errors
    /// As [`Tensor::new`].
    pub fn from_strings<S: AsRef<str>>(shape: impl Into<Vec<usize>>, values: &[S]) -> Result<Self> {
        let mut table = StringTable::default();
        let numbers: Vec<u64> = values.iter().map(|value| table.intern(value.as_ref())).collect();
        Self::of_numbers(shape, &numbers, table.into())
    }

    /// A tensor of strings by their numbers in a table.
    pub(crate) fn of_numbers(shape: impl Into<Vec<usize>>, numbers: &[u64], table: Arc<StringTable>) -> Result<Self> {
        let strings = Self::from_bytes(DType::U64, shape, bytemuck::cast_slice(numbers))?;
        Ok(Self { dtype: DType::String, strings: Some(table), ..strings })
    }

    /// The elements of a tensor of strings in row-major order.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) if the tensor is of another
    /// type.
    pub fn as_strings(&self) -> Result<Vec<&str>> {
        if self.dtype != DType::String {
            return Err(Error::invalid_input(format!("expected a tensor of string, found {}", self.dtype)));
        }
        Ok(self.texts().collect())
    }

    /// The elements of a tensor of strings; none of another tensor.
    fn texts(&self) -> impl Iterator<Item = &str> {
        let table = self.strings.as_ref();
        let numbers: &[u64] = if table.is_some() { bytemuck::cast_slice(&self.data) } else { &[] };
        numbers.iter().map(move |&number| table.and_then(|table| table.get(number)).map_or("", |text| text))
    }

    /// The numbers of a tensor of strings and the table that they are of.
    pub(crate) fn numbers(&self) -> Result<(&[u64], &Arc<StringTable>)> {
        match &self.strings {
            Some(table) => Ok((bytemuck::cast_slice(&self.data), table)),
            None => Err(Error::internal(format!("{} is no string", self.dtype))),
        }
    }

    /// The memory of the elements in bytes, the texts of strings included.
    pub(crate) fn byte_len(&self) -> usize {
        self.data.len() + self.strings.as_ref().map_or(0, |table| table.bytes())
    }

    /// A tensor from native-endian bytes.
    ///
    /// # Errors
    /// For strings, which are no bytes. If the number of bytes does not fit the type and shape, a
    /// boolean is neither 0 nor 1, or a byte is no element of a [small type](DType::Small).
    pub fn from_bytes(dtype: DType, shape: impl Into<Vec<usize>>, bytes: &[u8]) -> Result<Self> {
        let shape = shape.into();
        check_bytes(dtype, &shape, bytes)?;
        Ok(Self { dtype, shape, data: Arc::new(AlignedBytes::copy_from(bytes)), strings: None })
    }

    /// A tensor that owns `data`, without a copy.
    pub(crate) fn from_aligned(dtype: DType, shape: Vec<usize>, data: AlignedBytes) -> Result<Self> {
        if byte_count(dtype, &shape) != Some(data.len()) {
            return Err(Error::invalid_input(format!("{} bytes do not make a tensor {dtype}{shape:?}", data.len())));
        }
        Ok(Self { dtype, shape, data: Arc::new(data), strings: None })
    }

    /// A tensor of elements of this one: of its type, and with its strings.
    pub(crate) fn with_elements(&self, shape: Vec<usize>, data: AlignedBytes) -> Result<Self> {
        Ok(Self { strings: self.strings.clone(), ..Self::from_aligned(self.dtype, shape, data)? })
    }

    /// A tensor of zeros, or of empty strings.
    ///
    /// # Errors
    /// [`ErrorKind::Limit`](crate::ErrorKind::Limit) if its size overflows or there is no memory for it.
    pub fn zeros(dtype: DType, shape: impl Into<Vec<usize>>) -> Result<Self> {
        let shape = shape.into();
        let bytes = byte_count(dtype, &shape)
            .ok_or_else(|| Error::limit(format!("a tensor {dtype}{shape:?} is larger than the address space")))?;
        let strings = (dtype == DType::String).then(Arc::default);
        Ok(Self { dtype, shape, data: Arc::new(AlignedBytes::try_zeroed(bytes)?), strings })
    }

    /// A scalar: a tensor without dimensions.
    pub fn scalar<T: Element>(value: T) -> Self {
        let data = Arc::new(AlignedBytes::copy_from(bytemuck::bytes_of(&value)));
        Self { dtype: T::DTYPE, shape: Vec::new(), data, strings: None }
    }

    /// The element type.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// The dimensions, outermost first.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The number of elements.
    pub fn len(&self) -> usize {
        self.data.len() / self.dtype.size()
    }

    /// Whether it has no elements.
    pub fn is_empty(&self) -> bool {
        self.data.is_empty()
    }

    /// The elements in row-major order.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) if the tensor is of another
    /// type.
    pub fn as_slice<T: Element>(&self) -> Result<&[T]> {
        self.check::<T>()?;
        Ok(bytemuck::cast_slice(&self.data))
    }

    /// The elements for writing; copied first if another clone shares them.
    ///
    /// # Errors
    /// As [`Tensor::as_slice`].
    pub fn as_mut_slice<T: Element>(&mut self) -> Result<&mut [T]> {
        self.check::<T>()?;
        Ok(bytemuck::cast_slice_mut(self.bytes_mut()))
    }

    /// The native-endian bytes; of strings numbers that say nothing by themselves.
    pub fn bytes(&self) -> &[u8] {
        &self.data
    }

    /// The native-endian bytes for writing; copied first if another clone shares them.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        Arc::<AlignedBytes>::make_mut(&mut self.data)
    }

    /// The memory of the elements, `None` if another clone shares it.
    pub(crate) fn into_memory(self) -> Option<AlignedBytes> {
        Arc::try_unwrap(self.data).ok()
    }

    /// The tensor as an operand of a kernel.
    pub(crate) fn view(&self) -> View<'_> {
        View { dtype: self.dtype, shape: &self.shape, bytes: &self.data }
    }

    /// The same elements in another shape.
    ///
    /// # Errors
    /// If the number of elements differs.
    pub fn reshape(mut self, shape: impl Into<Vec<usize>>) -> Result<Self> {
        let shape = shape.into();
        if byte_count(self.dtype, &shape) != Some(self.data.len()) {
            return Err(Error::invalid_input(format!("a tensor {:?} cannot be viewed as {shape:?}", self.shape)));
        }
        self.shape = shape;
        Ok(self)
    }

    /// The elements of an integer or boolean tensor as `i64`.
    ///
    /// # Errors
    /// If the tensor is of a floating-point type, or a `u64` is past `i64`.
    pub fn to_i64(&self) -> Result<Vec<i64>> {
        fn wide<T: Pod>(bytes: &[u8]) -> Vec<i64>
        where
            i64: From<T>,
        {
            bytemuck::cast_slice::<u8, T>(bytes).iter().map(|&value| i64::from(value)).collect()
        }
        Ok(match self.dtype {
            DType::I64 => bytemuck::cast_slice(&self.data).to_vec(),
            DType::I32 => wide::<i32>(&self.data),
            DType::I16 => wide::<i16>(&self.data),
            DType::I8 => wide::<i8>(&self.data),
            DType::U8 | DType::Bool => wide::<u8>(&self.data),
            DType::U16 => wide::<u16>(&self.data),
            DType::U32 => wide::<u32>(&self.data),
            DType::U64 => bytemuck::cast_slice::<u8, u64>(&self.data)
                .iter()
                .map(|&value| i64::try_from(value).map_err(|_| Error::limit(format!("{value} is past i64"))))
                .collect::<Result<_>>()?,
            dtype => return Err(Error::invalid_input(format!("expected integers, found {dtype}"))),
        })
    }

    fn check<T: Element>(&self) -> Result<()> {
        if T::DTYPE == self.dtype || (T::DTYPE == DType::U8 && self.dtype == DType::Bool) {
            return Ok(());
        }
        Err(Error::invalid_input(format!("expected a tensor of {}, found {}", T::DTYPE, self.dtype)))
    }
}

/// One dimension: the elements of the vector.
impl<T: Element> From<Vec<T>> for Tensor {
    fn from(values: Vec<T>) -> Self {
        Self {
            dtype: T::DTYPE,
            shape: vec![values.len()],
            data: Arc::new(AlignedBytes::copy_from(bytemuck::cast_slice(&values))),
            strings: None,
        }
    }
}

/// Checks that bytes are those of a tensor.
fn check_bytes(dtype: DType, shape: &[usize], bytes: &[u8]) -> Result<()> {
    if byte_count(dtype, shape) != Some(bytes.len()) {
        return Err(Error::invalid_input(format!("{} bytes do not make a tensor {dtype}{shape:?}", bytes.len())));
    }
    if dtype == DType::String {
        return Err(Error::invalid_input("strings are no bytes: Tensor::from_strings takes them"));
    }
    if dtype == DType::Bool && bytes.iter().any(|&byte| byte > 1) {
        return Err(Error::invalid_input("a boolean tensor holds a byte that is neither 0 nor 1"));
    }
    if let DType::Small(small) = dtype
        && let Some(byte) = bytes.iter().find(|&&byte| !small.holds(byte))
    {
        return Err(Error::invalid_input(format!("a tensor of {dtype} holds the byte {byte}, which is no element")));
    }
    Ok(())
}

/// The size of a tensor in bytes; `None` on overflow.
///
/// The product of the nonzero dimensions must not overflow either, so that the product of any
/// dimensions is a number.
pub(crate) fn byte_count(dtype: DType, shape: &[usize]) -> Option<usize> {
    let mut others = shape.iter().filter(|&&dim| dim != 0);
    let bytes = others.try_fold(dtype.size(), |product, &dim| product.checked_mul(dim))?;
    let bytes = Some(bytes).filter(|&bytes| bytes <= isize::MAX as usize)?;
    Some(if shape.contains(&0) { 0 } else { bytes })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writing_copies_what_clones_share() {
        let first = Tensor::new([2, 2], &[1.0_f32, 2.0, 3.0, 4.0]).unwrap();
        let mut second = first.clone();
        second.as_mut_slice::<f32>().unwrap()[3] = 9.0;
        assert_eq!(first.as_slice::<f32>().unwrap(), [1.0, 2.0, 3.0, 4.0]);
        assert_eq!(second.as_slice::<f32>().unwrap(), [1.0, 2.0, 3.0, 9.0]);
    }

    #[test]
    fn elements_are_read_in_their_type_alone() {
        let tensor = Tensor::from_bools([3], &[true, false, true]).unwrap();
        assert_eq!(tensor.as_slice::<u8>().unwrap(), [1, 0, 1]);
        assert!(tensor.as_slice::<i8>().is_err());
        assert_eq!(tensor.to_i64().unwrap(), [1, 0, 1]);
        assert!(Tensor::from_bytes(DType::Bool, [1], &[2]).is_err());
        assert!(Tensor::scalar(0.5_f64).to_i64().is_err());
    }

    #[test]
    fn sizes_that_overflow_are_refused() {
        assert_eq!(byte_count(DType::F32, &[2, 3]), Some(24));
        assert_eq!(byte_count(DType::F32, &[usize::MAX, 2, 0]), None);
        assert!(Tensor::zeros(DType::F64, [1 << 40, 1 << 40]).is_err());
        assert!(Tensor::new([3], &[1_u8, 2]).is_err());
        assert!(Tensor::zeros(DType::U16, [4]).unwrap().reshape([2, 3]).is_err());
    }
}
