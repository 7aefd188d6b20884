//! What a pickle makes: the values that dictionaries of tensors consist of.

use crate::{
    error::{Error, Result},
    tensor::DType,
};

/// A value that a pickle made; values name others by their numbers.
#[derive(Debug)]
pub(super) enum Value {
    /// `None`, a number that is not needed, ...
    Other,
    Flag(bool),
    Number(i64),
    Text(String),
    /// A tuple or a list.
    Row(Vec<usize>),
    Dictionary(Vec<(usize, usize)>),
    Function(Function),
    /// The numbers of tensors, by a key.
    Storage {
        key: usize,
        dtype: DType,
        /// How many numbers there are.
        count: u64,
    },
    Tensor {
        storage: usize,
        /// The first of the storage's numbers that is the tensor's.
        first: u64,
        shape: Vec<u64>,
        strides: Vec<u64>,
    },
}

/// A function of Python that a pickle names, of those that are known.
#[derive(Clone, Copy, Debug)]
pub(super) enum Function {
    /// `collections.OrderedDict`
    Dictionary,
    /// `torch._utils._rebuild_tensor` and `_rebuild_tensor_v2`
    Tensor,
    /// `torch._utils._rebuild_parameter`
    Parameter,
    /// `torch.FloatStorage` and its like
    Storage(DType),
}

impl Function {
    /// The function of this name.
    ///
    /// # Errors
    /// If it is none of those that describe tensors.
    pub(super) fn named(module: &str, name: &str) -> Result<Self> {
        Ok(match (module, name) {
            ("collections", "OrderedDict") => Self::Dictionary,
            ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2") => Self::Tensor,
            ("torch._utils", "_rebuild_parameter") => Self::Parameter,
            ("torch", "DoubleStorage") => Self::Storage(DType::F64),
            ("torch", "FloatStorage") => Self::Storage(DType::F32),
            ("torch", "HalfStorage") => Self::Storage(DType::F16),
            ("torch", "BFloat16Storage") => Self::Storage(DType::BF16),
            ("torch", "LongStorage") => Self::Storage(DType::I64),
            ("torch", "IntStorage") => Self::Storage(DType::I32),
            ("torch", "ShortStorage") => Self::Storage(DType::I16),
            ("torch", "CharStorage") => Self::Storage(DType::I8),
            ("torch", "ByteStorage") => Self::Storage(DType::U8),
            ("torch", "BoolStorage") => Self::Storage(DType::Bool),
            _ => {
                return Err(Error::unsupported(format!(
                    "is more than a dictionary of tensors: its pickle calls `{module}.{name}`; save the model as \
                     `model.safetensors`"
                )));
            }
        })
    }
}

/// What a pickle made.
#[derive(Debug)]
pub(super) struct Pickled {
    pub(super) values: Vec<Value>,
    /// The number of the whole.
    pub(super) root: usize,
}
