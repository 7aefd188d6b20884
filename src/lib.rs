//! Bulk inference: one trait, one copy of the weights, every core busy, results in order.

pub mod backend;
pub mod bulk;
pub mod cpu;
mod error;
pub mod graph;
#[cfg(any(feature = "onnx", feature = "hugging-face"))]
pub mod import;
mod inference;
pub mod ops;
pub mod plan;
mod platform;
pub mod rewrite;
pub mod shape;
mod tensor;
#[cfg(feature = "hugging-face")]
pub mod text;

pub use backend::{Device, Precision, Session, SessionOptions};
pub use error::{Error, ErrorKind, ItemError, Result, Stage};
#[cfg(any(feature = "onnx", feature = "hugging-face"))]
pub use import::{ImportOptions, Model};
pub use inference::{Description, Inference, PerThread, Pipeline, Shared, Slots, Unprepared};
pub use tensor::{AlignedBytes, DType, Element, Tensor, Tensors};
