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

pub mod backend;
pub mod bulk;
#[cfg(feature = "candle")]
pub mod candle;
mod error;
pub mod graph;
#[cfg(any(feature = "onnx", feature = "hugging-face"))]
pub mod import;
mod inference;
pub mod kernels;
pub mod op;
pub mod ops;
pub mod plan;
pub mod rewrite;
pub mod shape;
mod tensor;
#[cfg(feature = "hugging-face")]
pub mod text;
pub mod threads;
pub mod verify;

pub use backend::{
    Session,
    options::{Device, GpuOptions, Precision, SessionOptions},
};
pub use error::{Error, ErrorKind, ItemError, Result, Stage};
#[cfg(any(feature = "onnx", feature = "hugging-face"))]
pub use import::{ImportOptions, Model, Weights};
pub use inference::{Description, Fingerprint, Inference, PerThread, Pipeline, Shared, Slots, Unprepared};
pub use tensor::{AlignedBytes, DType, Element, Tensor, Tensors};
