//! Values of a run: tensors, sequences of values, and optional values.

use crate::{error::Result, tensor::Tensor};

/// A value of a run.
///
/// Sequences and optional values exist between the operators of a model; most models take and give
/// tensors alone.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// A tensor.
    Tensor(Tensor),
    /// Values of one kind, in order.
    Sequence(Vec<Value>),
    /// A value that may be absent.
    Optional(Option<Box<Value>>),
}

impl Value {
    /// The tensor, if the value is one.
    pub fn as_tensor(&self) -> Option<&Tensor> {
        match self {
            Self::Tensor(tensor) => Some(tensor),
            _ => None,
        }
    }

    /// The value with its tensors replaced.
    ///
    /// # Errors
    /// As `replace`.
    pub(crate) fn with_tensors(self, replace: &mut impl FnMut(Tensor) -> Result<Tensor>) -> Result<Self> {
        Ok(match self {
            Self::Tensor(tensor) => Self::Tensor(replace(tensor)?),
            Self::Sequence(values) => {
                Self::Sequence(values.into_iter().map(|value| value.with_tensors(replace)).collect::<Result<_>>()?)
            }
            Self::Optional(None) => Self::Optional(None),
            Self::Optional(Some(value)) => Self::Optional(Some(Box::new(value.with_tensors(replace)?))),
        })
    }

    /// The size of all tensors in bytes.
    pub fn byte_len(&self) -> usize {
        match self {
            Self::Tensor(tensor) => tensor.byte_len(),
            Self::Sequence(values) => values.iter().map(Self::byte_len).sum(),
            Self::Optional(value) => value.as_ref().map_or(0, |value| value.byte_len()),
        }
    }

    /// What the value is, for messages.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Tensor(tensor) => format!("{}{:?}", tensor.dtype(), tensor.shape()),
            Self::Sequence(values) => format!("a sequence of {} values", values.len()),
            Self::Optional(None) => "an absent value".to_owned(),
            Self::Optional(Some(value)) => format!("an optional value that is {}", value.describe()),
        }
    }
}

impl From<Tensor> for Value {
    fn from(tensor: Tensor) -> Self {
        Self::Tensor(tensor)
    }
}
