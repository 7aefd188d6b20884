//! Element types of tensors.

use std::fmt;

use bytemuck::Pod;
use half::{bf16, f16};

use crate::tensor::SmallType;

/// Element type of a tensor.
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
    /// A text; within a run the number of one.
    String,
    /// A number of at most eight bits, one a byte.
    Small(SmallType),
}

impl DType {
    /// The type with this ONNX number (`TensorProto.DataType`), if it is supported.
    pub(crate) const fn from_onnx(code: i64) -> Option<Self> {
        Some(match code {
            1 => Self::F32,
            2 => Self::U8,
            3 => Self::I8,
            4 => Self::U16,
            5 => Self::I16,
            6 => Self::I32,
            7 => Self::I64,
            8 => Self::String,
            9 => Self::Bool,
            10 => Self::F16,
            11 => Self::F64,
            12 => Self::U32,
            13 => Self::U64,
            16 => Self::BF16,
            _ => match SmallType::from_onnx(code) {
                Some(small) => Self::Small(small),
                None => return None,
            },
        })
    }

    /// Bytes of one element.
    pub const fn size(self) -> usize {
        match self {
            DType::I8 | DType::U8 | DType::Bool | DType::Small(_) => 1,
            DType::F16 | DType::BF16 | DType::I16 | DType::U16 => 2,
            DType::F32 | DType::I32 | DType::U32 => 4,
            DType::F64 | DType::I64 | DType::U64 | DType::String => 8,
        }
    }

    /// Whether it is a floating-point type; a small one is not.
    pub const fn is_float(self) -> bool {
        matches!(self, DType::F32 | DType::F64 | DType::F16 | DType::BF16)
    }

    /// Whether it is a floating-point or integer type that kernels compute with.
    pub(crate) const fn is_number(self) -> bool {
        !matches!(self, DType::Bool | DType::String | DType::Small(_))
    }

    /// Whether it is an integer type; booleans and small types are not.
    pub(crate) const fn is_integer(self) -> bool {
        !self.is_float() && self.is_number()
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DType::Small(small) => return small.fmt(f),
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
            DType::String => "string",
        })
    }
}

/// A Rust type that tensors hold.
pub trait Element: Pod + PartialEq + fmt::Debug + Send + Sync {
    /// The element type.
    #[doc(hidden)]
    const DTYPE: DType;
}

macro_rules! elements {
    ($($rust:ty => $dtype:ident),*) => {$(
        impl Element for $rust { const DTYPE: DType = DType::$dtype; }
    )*};
}
elements!(f32 => F32, f64 => F64, f16 => F16, bf16 => BF16, i8 => I8, i16 => I16, i32 => I32, i64 => I64,
          u8 => U8, u16 => U16, u32 => U32, u64 => U64);
