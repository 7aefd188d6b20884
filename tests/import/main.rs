//! Files of models: how they are read, what becomes of them, and what is refused.

#[path = "../support/allocation.rs"]
mod allocation;
mod decode;
#[cfg(feature = "onnx")]
mod einsum;
#[cfg(feature = "onnx")]
mod functions;
#[cfg(feature = "onnx")]
mod hostile;
#[cfg(feature = "onnx")]
mod hot;
#[cfg(feature = "hugging-face")]
mod hugging_face;
#[cfg(feature = "onnx")]
mod maps;
#[cfg(feature = "onnx")]
mod onnx;
mod rewrites;
#[cfg(feature = "onnx")]
mod sizes;
#[path = "../support/mod.rs"]
mod support;
#[cfg(feature = "onnx")]
mod versions;
