//! Host tensors: a type, a shape, and bytes that clones share.

pub(crate) mod arena;
mod buffer;
mod cosine;
#[cfg(feature = "hugging-face")]
mod mapping;
mod view;

use std::{fmt, sync::Arc};

pub use buffer::AlignedBytes;
use bytemuck::Pod;
pub(crate) use cosine::cosine;
use half::{bf16, f16};
#[cfg(feature = "hugging-face")]
pub(crate) use mapping::Mapping;
pub use view::{View, ViewMut};

use crate::error::{Error, Result};

/// The type of a tensor's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names are the types")]
#[non_exhaustive]
pub enum DType {
    F32,
    F64,
    F16,
    BF16,
    I8,
    I16,
    I32,
    I64,
    U8,
    U16,
    U32,
    U64,
    /// One byte, 0 or 1.
    Bool,
}

impl DType {
    /// The type that ONNX numbers so (`TensorProto.DataType`), if tensors here have it.
    pub(crate) const fn from_onnx(code: i64) -> Option<Self> {
        Some(match code {
            1 => Self::F32,
            2 => Self::U8,
            3 => Self::I8,
            4 => Self::U16,
            5 => Self::I16,
            6 => Self::I32,
            7 => Self::I64,
            9 => Self::Bool,
            10 => Self::F16,
            11 => Self::F64,
            12 => Self::U32,
            13 => Self::U64,
            16 => Self::BF16,
            _ => return None,
        })
    }

    /// Bytes of one element.
    pub const fn size(self) -> usize {
        match self {
            DType::I8 | DType::U8 | DType::Bool => 1,
            DType::F16 | DType::BF16 | DType::I16 | DType::U16 => 2,
            DType::F32 | DType::I32 | DType::U32 => 4,
            DType::F64 | DType::I64 | DType::U64 => 8,
        }
    }

    /// Whether the type is a floating-point one.
    pub const fn is_float(self) -> bool {
        matches!(self, DType::F32 | DType::F64 | DType::F16 | DType::BF16)
    }

    /// Whether the type is an integer one (a boolean is not).
    pub const fn is_integer(self) -> bool {
        !self.is_float() && !matches!(self, DType::Bool)
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DType::F32 => "f32",
            DType::F64 => "f64",
            DType::F16 => "f16",
            DType::BF16 => "bf16",
            DType::I8 => "i8",
            DType::I16 => "i16",
            DType::I32 => "i32",
            DType::I64 => "i64",
            DType::U8 => "u8",
            DType::U16 => "u16",
            DType::U32 => "u32",
            DType::U64 => "u64",
            DType::Bool => "bool",
        })
    }
}

/// A Rust type that is the element of a tensor.
pub trait Element: Pod + PartialEq + fmt::Debug + Send + Sync {
    /// Its type.
    const DTYPE: DType;
}

macro_rules! elements {
    ($($rust:ty => $dtype:ident),*) => {$(
        impl Element for $rust { const DTYPE: DType = DType::$dtype; }
    )*};
}
elements!(f32 => F32, f64 => F64, f16 => F16, bf16 => BF16, i8 => I8, i16 => I16, i32 => I32, i64 => I64,
          u8 => U8, u16 => U16, u32 => U32, u64 => U64);

/// A dense, row-major array in host memory. Clones share the bytes; writing to a shared one copies it first.
#[derive(Clone, PartialEq)]
pub struct Tensor {
    dtype: DType,
    shape: Vec<usize>,
    data: Arc<AlignedBytes>,
}

impl Tensor {
    /// Whether its bytes lie in a mapped file.
    #[cfg(feature = "gpu")]
    pub(crate) fn is_mapped(&self) -> bool {
        self.data.is_mapped()
    }

    /// A tensor of `shape` holding `values` in row-major order.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) when the number of values is not the product of `shape`.
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

    /// A tensor from native-endian bytes.
    ///
    /// # Errors
    /// When the number of bytes does not fit the type and shape, or a boolean is neither 0 nor 1.
    pub fn from_bytes(dtype: DType, shape: impl Into<Vec<usize>>, bytes: &[u8]) -> Result<Self> {
        let shape = shape.into();
        if byte_count(dtype, &shape) != Some(bytes.len()) {
            return Err(Error::invalid_input(format!("{} bytes do not make a tensor {dtype}{shape:?}", bytes.len())));
        }
        if dtype == DType::Bool && bytes.iter().any(|&byte| byte > 1) {
            return Err(Error::invalid_input("a boolean tensor holds a byte that is neither 0 nor 1"));
        }
        Ok(Self { dtype, shape, data: Arc::new(AlignedBytes::copy_from(bytes)) })
    }

    /// A tensor that takes its bytes over.
    pub(crate) fn from_aligned(dtype: DType, shape: Vec<usize>, data: AlignedBytes) -> Result<Self> {
        if byte_count(dtype, &shape) != Some(data.len()) {
            return Err(Error::invalid_input(format!("{} bytes do not make a tensor {dtype}{shape:?}", data.len())));
        }
        Ok(Self { dtype, shape, data: Arc::new(data) })
    }

    /// A tensor of zeros.
    ///
    /// # Errors
    /// [`ErrorKind::Limit`](crate::ErrorKind::Limit) when its size overflows.
    pub fn zeros(dtype: DType, shape: impl Into<Vec<usize>>) -> Result<Self> {
        let shape = shape.into();
        let bytes = byte_count(dtype, &shape)
            .ok_or_else(|| Error::limit(format!("a tensor {dtype}{shape:?} is larger than the address space")))?;
        Ok(Self { dtype, shape, data: Arc::new(AlignedBytes::zeroed(bytes)) })
    }

    /// A tensor without dimensions.
    pub fn scalar<T: Element>(value: T) -> Self {
        let data = Arc::new(AlignedBytes::copy_from(bytemuck::bytes_of(&value)));
        Self { dtype: T::DTYPE, shape: Vec::new(), data }
    }

    /// The elements' type.
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

    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.data.is_empty()
    }

    /// The elements in row-major order.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) when the tensor is of another type.
    pub fn as_slice<T: Element>(&self) -> Result<&[T]> {
        self.check::<T>()?;
        Ok(bytemuck::cast_slice(&self.data))
    }

    /// The elements, to be written; copied first if another clone shares them.
    ///
    /// # Errors
    /// As [`Tensor::as_slice`].
    pub fn as_mut_slice<T: Element>(&mut self) -> Result<&mut [T]> {
        self.check::<T>()?;
        Ok(bytemuck::cast_slice_mut(self.bytes_mut()))
    }

    /// The native-endian bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.data
    }

    /// The native-endian bytes, to be written; copied first if another clone shares them.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        Arc::<AlignedBytes>::make_mut(&mut self.data)
    }

    /// The same elements under another shape.
    ///
    /// # Errors
    /// When the number of elements differs.
    pub fn reshape(mut self, shape: impl Into<Vec<usize>>) -> Result<Self> {
        let shape = shape.into();
        if byte_count(self.dtype, &shape) != Some(self.data.len()) {
            return Err(Error::invalid_input(format!("a tensor {:?} cannot be viewed as {shape:?}", self.shape)));
        }
        self.shape = shape;
        Ok(self)
    }

    /// The elements of an integer or boolean tensor as `i64`, of any width.
    ///
    /// # Errors
    /// When the tensor is of a floating-point type, or a `u64` is past `i64`.
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

impl fmt::Debug for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tensor({}{:?})", self.dtype, self.shape)
    }
}

/// Bytes of a tensor, `None` on overflow: also of what a part of the dimensions would take, so that the product of any of
/// them is a number, whether another one is zero or not.
pub(crate) fn byte_count(dtype: DType, shape: &[usize]) -> Option<usize> {
    let mut others = shape.iter().filter(|&&dim| dim != 0);
    let bytes = others.try_fold(dtype.size(), |product, &dim| product.checked_mul(dim))?;
    let bytes = Some(bytes).filter(|&bytes| bytes <= isize::MAX as usize)?;
    Some(if shape.contains(&0) { 0 } else { bytes })
}

/// Named tensors: the inputs or outputs of one run of a [`Session`](crate::Session), in order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tensors(Vec<(Arc<str>, Tensor)>);

impl Tensors {
    /// No tensors yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a tensor, or replaces the one of that name.
    #[must_use]
    pub fn with(mut self, name: impl Into<Arc<str>>, tensor: Tensor) -> Self {
        self.insert(name, tensor);
        self
    }

    /// Adds a tensor, or replaces the one of that name.
    pub fn insert(&mut self, name: impl Into<Arc<str>>, tensor: Tensor) {
        let name = name.into();
        match self.0.iter_mut().find(|(other, _)| *other == name) {
            Some((_, slot)) => *slot = tensor,
            None => self.0.push((name, tensor)),
        }
    }

    /// Adds a tensor whose name is not there yet.
    pub(crate) fn push(&mut self, name: Arc<str>, tensor: Tensor) {
        self.0.push((name, tensor));
    }

    /// The tensor of that name.
    pub fn get(&self, name: &str) -> Option<&Tensor> {
        self.0.iter().find(|(other, _)| &**other == name).map(|(_, tensor)| tensor)
    }

    /// The names and tensors, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.0.iter().map(|(name, tensor)| (&**name, tensor))
    }

    /// How many tensors there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Bytes of all tensors together.
    pub fn byte_len(&self) -> usize {
        self.0.iter().map(|(_, tensor)| tensor.bytes().len()).sum()
    }
}

impl<const N: usize> From<[(&str, Tensor); N]> for Tensors {
    fn from(entries: [(&str, Tensor); N]) -> Self {
        entries.into_iter().fold(Self::new(), |tensors, (name, tensor)| tensors.with(name, tensor))
    }
}
