//! The reader of ONNX files.
//!
//! `wire` reads protocol buffers in place, `proto` the messages, `tensor` and `external` the
//! weights, and `convert` builds the [`Graph`]. Only graphs within nodes recurse, to a bounded
//! depth, so no file can exhaust the stack.

mod attribute;
mod budget;
mod convert;
mod external;
pub(crate) mod file;
mod lowered;
mod order;
mod proto;
mod scan;
mod sequence;
mod tensor;
mod wire;

pub(crate) use external::External;

use crate::{
    error::{Error, Result},
    graph::{Fact, Graph, Kind},
    import::{
        onnx::{
            budget::Budget,
            proto::{ModelProto, TensorProto, default_domain},
        },
        options::ImportOptions,
    },
    tensor::{Tensor, Value},
};

/// The supported versions of ONNX's default operator set.
pub const OPSETS: std::ops::RangeInclusive<i64> = 1..=28;

/// The oldest supported version of the file format.
const OLDEST_IR: i64 = 3;

/// The first version of the file format in which initializers are defaults of inputs.
///
/// Up to then, every initializer is listed as an input.
const DEFAULTS_IR: i64 = 4;

/// Reads a model; `name` names the graph if the file does not.
pub(crate) fn read(
    bytes: &[u8],
    name: &str,
    external: &mut External<'_>,
    options: &ImportOptions,
) -> Result<(Graph, Vec<String>)> {
    let budget = Budget::new(options);
    let model = ModelProto::parse(bytes, &budget)?;
    let has_defaults = match model.ir_version {
        Some(version @ OLDEST_IR..) => version >= DEFAULTS_IR,
        Some(version) => return Err(Error::unsupported(format!("ONNX format version {version} is not read here"))),
        None => return Err(Error::invalid_model("not an ONNX model: the format version is missing")),
    };
    if model.opsets.is_empty() {
        return Err(Error::invalid_model("the file names no operator set"));
    }
    let opsets = opsets(&[], &model.opsets)?;
    let graph = model.graph.ok_or_else(|| Error::invalid_model("the model has no graph"))?;
    let mut notes = Vec::new();
    if model.trains {
        notes.push("the file's training part is not used".to_owned());
    }
    let is_pytorch = model.producer == Some(b"pytorch");
    let (graph, more) =
        convert::graph(graph, name, opsets, &model.functions, &budget, external, options, has_defaults, is_pytorch)?;
    notes.extend(more);
    Ok((graph, notes))
}

/// The versions of the operator sets by domain, those of `outer` where these do not name a domain.
///
/// As in ONNX Runtime, of a set that is named twice the last version counts.
fn opsets<'a>(outer: &[(&'a str, i64)], named: &[(&'a str, i64)]) -> Result<Vec<(&'a str, i64)>> {
    let mut opsets = outer.to_vec();
    for &(domain, version) in named {
        let domain = default_domain(domain);
        opsets.retain(|(own, _)| *own != domain);
        opsets.push((domain, version));
    }
    let version = opset(&opsets, "");
    if !OPSETS.contains(&version) {
        let (first, last) = OPSETS.into_inner();
        return Err(Error::unsupported(format!("opset {version} is not read here; opsets {first} to {last} are")));
    }
    Ok(opsets)
}

/// The version of a domain's operator set.
///
/// As in ONNX Runtime, a set that is not named has the latest version.
fn opset(opsets: &[(&str, i64)], domain: &str) -> i64 {
    let latest = if domain.is_empty() { *OPSETS.end() } else { i64::MAX };
    opsets.iter().find(|(own, _)| *own == domain).map_or(latest, |(_, version)| *version)
}

/// Reads a tensor and its name from a serialized `TensorProto`, the format of ONNX's test data.
///
/// # Errors
/// If the bytes are not a valid tensor, or its data are in another file.
pub fn read_tensor(bytes: &[u8]) -> Result<(String, Tensor)> {
    let options = ImportOptions::default();
    let proto = TensorProto::parse(bytes, &Budget::new(&options))?;
    let tensor = tensor::read(&proto, &mut External::new(None, &options))?;
    Ok((proto.name().to_owned(), tensor))
}

/// Reads a value of the kind that `like` has, and its name, in the formats of ONNX's test data:
/// `TensorProto`, `SequenceProto` or `OptionalProto`.
///
/// # Errors
/// As [`read_tensor`], and if the value holds others than tensors and sequences of them.
pub fn read_value(bytes: &[u8], like: &Fact) -> Result<(String, Value)> {
    match &like.kind {
        Kind::Tensor => read_tensor(bytes).map(|(name, tensor)| (name, Value::Tensor(tensor))),
        Kind::Sequence(_) => sequence::read(bytes),
        Kind::Optional(_) | Kind::OptionalSequence(_) => sequence::read_optional(bytes),
    }
}
