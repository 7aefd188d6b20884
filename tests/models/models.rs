//! Whole models in bulk: file types, texts, candle's.

#[cfg(feature = "hugging-face")]
mod adapters;
#[cfg(feature = "candle")]
mod candle;
#[cfg(feature = "hugging-face")]
mod decoders;
#[cfg(feature = "hugging-face")]
mod embed;
#[cfg(feature = "hugging-face")]
mod encoders;
#[cfg(feature = "onnx")]
#[path = "../../examples/identify/features.rs"]
mod features;
#[cfg(feature = "hugging-face")]
mod heads;
#[cfg(feature = "hugging-face")]
mod hybrid;
#[cfg(feature = "onnx")]
#[path = "../../examples/identify/identifier.rs"]
mod identifier;
#[cfg(feature = "onnx")]
mod identify;
#[cfg(feature = "onnx")]
#[path = "../../examples/identify/labels.rs"]
mod labels;
#[cfg(feature = "hugging-face")]
mod long_texts;
#[cfg(feature = "hugging-face")]
mod modules;
#[cfg(feature = "onnx")]
mod onnx_runtime;
#[cfg(feature = "onnx")]
mod random_graphs;
#[cfg(feature = "hugging-face")]
mod sparse;
#[cfg(feature = "hugging-face")]
mod static_vectors;
#[path = "../support/mod.rs"]
mod support;
#[cfg(feature = "onnx")]
mod tabular;
#[cfg(feature = "hugging-face")]
mod tags;
#[cfg(feature = "hugging-face")]
mod token_vectors;
#[cfg(feature = "vision")]
mod vision;
#[cfg(feature = "hugging-face")]
mod weights;
