//! Bulk inference: one trait, one copy of the weights, every core busy, results in order.

pub mod bulk;
pub mod cpu;
mod error;
mod inference;
mod tensor;

pub use error::{Error, ErrorKind, ItemError, Result, Stage};
pub use inference::{Description, Inference, Slots};
pub use tensor::{AlignedBytes, DType, Element, Tensor, Tensors};
