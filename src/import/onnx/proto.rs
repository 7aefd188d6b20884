//! The messages of an ONNX file that the importer reads, borrowed from the file's bytes.
//!
//! Lists of messages are kept as their bytes; each message is parsed when it is needed.

mod function;
mod graph;
mod model;
mod node;
mod tensor;
mod value;

pub(super) use function::{FunctionKey, FunctionProto};
pub(super) use graph::GraphProto;
pub(super) use model::{ModelProto, default_domain};
pub(super) use node::NodeProto;
pub(super) use tensor::TensorProto;
pub(super) use value::{DimProto, KindProto, TypeProto, ValueInfoProto};

/// The maximum number of dimensions of a tensor.
pub(super) const MAX_RANK: usize = 32;
