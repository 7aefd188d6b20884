//! Operators: what they compute, and what they promise of rows, shapes and precisions.

mod batching;
#[cfg(feature = "candle")]
mod candle;
mod cases;
#[cfg(feature = "onnx")]
mod control;
#[cfg(feature = "onnx")]
mod edges;
mod int8;
#[cfg(feature = "onnx")]
mod measured;
mod neighbours;
#[cfg(feature = "onnx")]
mod onnx;
#[cfg(feature = "onnx")]
#[path = "../../examples/common/onnx_cases.rs"]
mod onnx_cases;
#[path = "../oracle/mod.rs"]
mod oracle;
#[cfg(feature = "onnx")]
mod precision;
#[cfg(feature = "onnx")]
mod random;
mod shape_chains;
#[cfg(feature = "onnx")]
mod sizes;
mod strings;
#[path = "../support/mod.rs"]
mod support;
mod trees;
