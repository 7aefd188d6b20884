//! What is allocated and held, counted by thread or in a process of its own.

#[cfg(any(feature = "onnx", feature = "hugging-face"))]
#[path = "../support/allocation.rs"]
mod allocation;
#[cfg(feature = "onnx")]
mod allocations;
#[cfg(all(feature = "onnx", target_os = "linux"))]
mod hostile;
#[cfg(all(feature = "onnx", target_os = "linux"))]
mod jobs;
#[cfg(all(feature = "hugging-face", unix))]
mod mapped;
#[path = "../support/mod.rs"]
mod support;
