//! Bulk inference: one trait, one copy of the weights, every core busy, results in order.
//!
//! A model is an [`Inference`]: a [`Session`] of a [`Model`] opened from a file, a closure, or a type of your own.
//! [`bulk`] runs it over any iterator of inputs.
//!
//! ```
//! use gristmill::{Shared, bulk};
//!
//! let squares = Shared::new(|number: &u64| Ok(number * number));
//! for (index, square) in bulk::map(squares, 0..1000u64).enumerate() {
//!     assert_eq!(square?, (index * index) as u64);
//! }
//! # Ok::<(), gristmill::ItemError>(())
//! ```
#![deny(unsafe_code)]

mod backend;
pub mod bulk;
#[cfg(feature = "candle")]
pub mod candle;
mod error;
mod graph;
#[cfg(any(feature = "onnx", feature = "hugging-face"))]
mod import;
mod inference;
mod kernels;
mod op;
mod ops;
mod plan;
mod rewrite;
mod shape;
mod tensor;
#[doc(hidden)]
pub mod testing;
#[cfg(feature = "hugging-face")]
pub mod text;
mod threads;
pub mod verify;

/// Graphics adapters that the GPU backend can use.
#[cfg(feature = "gpu")]
pub mod gpu {
    pub use crate::backend::gpu::{Adapter, AdapterType, adapters};
}

pub use backend::{Device, GpuOptions, HostOperator, Precision, Session, SessionOptions};
pub use error::{Error, ErrorKind, ItemError, Result, Stage};
pub use graph::{Batching, Fact};
#[cfg(any(feature = "onnx", feature = "hugging-face"))]
pub use import::{ImportOptions, Model, Weights};
pub use inference::{Description, Fingerprint, Inference, PerThread, Pipeline, Shared, Slots, Unprepared};
pub use kernels::KernelSet;
pub use shape::{Dim, Shape};
pub use tensor::{AlignedBytes, DType, Element, Tensor, Tensors};
