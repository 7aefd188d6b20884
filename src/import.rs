//! Readers of model files, which are not trusted.
//!
//! Whatever a file contains that is unread, unbounded or inconsistent is an error.
//! [`ImportOptions`] sets the limits.

mod find;
mod fingerprint;
mod hot;
#[cfg(feature = "hugging-face")]
pub mod hugging_face;
mod model;
#[cfg(feature = "onnx")]
pub mod onnx;
mod options;
pub(crate) mod origin;
#[cfg(feature = "hugging-face")]
mod shared_options;
#[cfg(feature = "hugging-face")]
mod unique_map;
#[cfg(feature = "hugging-face")]
pub mod weight_file;

pub use model::Model;
pub use options::{ImportOptions, Weights};
#[cfg(feature = "hugging-face")]
pub(crate) use shared_options::shared_options;
