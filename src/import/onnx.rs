//! The reader of ONNX files.
//!
//! `wire` reads protocol buffers in place, `proto` the messages, `tensor` and `external` the
//! weights, and `convert` builds the [`Graph`]. Nothing recurses: subgraphs and functions are never
//! parsed, so no file can exhaust the stack.

mod attribute;
mod budget;
mod convert;
mod external;
pub(crate) mod file;
mod order;
mod proto;
mod scan;
mod tensor;
mod wire;

pub(crate) use external::External;

use crate::{
    error::{Error, Result},
    graph::Graph,
    import::{
        onnx::{
            budget::Budget,
            proto::{ModelProto, TensorProto, default_domain},
        },
        options::ImportOptions,
    },
    tensor::Tensor,
};

/// The supported versions of ONNX's default operator set.
pub const OPSETS: std::ops::RangeInclusive<i64> = 9..=21;

/// The oldest supported version of the file format.
const OLDEST_IR: i64 = 3;

/// Reads a model; `name` names the graph if the file does not.
pub(crate) fn read(
    bytes: &[u8],
    name: &str,
    external: &mut External<'_>,
    options: &ImportOptions,
) -> Result<(Graph, Vec<String>)> {
    let budget = Budget::new(options);
    let model = ModelProto::parse(bytes, &budget)?;
    match model.ir_version {
        Some(OLDEST_IR..) => {}
        Some(version) => return Err(Error::unsupported(format!("ONNX format version {version} is not read here"))),
        None => return Err(Error::invalid_model("not an ONNX model: the format version is missing")),
    }
    let mut opsets = vec![("", opset(&model)?)];
    opsets.extend(model.opsets.iter().copied().filter(|(domain, _)| !default_domain(domain).is_empty()));
    let graph = model.graph.ok_or_else(|| Error::invalid_model("the model has no graph"))?;
    let mut notes = Vec::new();
    if model.trains {
        notes.push("the file's training part is not used".to_owned());
    }
    let (graph, more) = convert::graph(graph, name, &opsets, &model.functions, &budget, external, &options.constants)?;
    notes.extend(more);
    Ok((graph, notes))
}

/// The version of ONNX's default operator set; other sets matter only to the nodes that use them.
fn opset(model: &ModelProto<'_>) -> Result<i64> {
    let mut domains: Vec<&str> = model.opsets.iter().map(|(domain, _)| default_domain(domain)).collect();
    domains.sort_unstable();
    if let Some(twice) = domains.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(Error::invalid_model(format!("the operator set `{}` is named twice", twice[0])));
    }
    let own = model.opsets.iter().find(|(domain, _)| default_domain(domain).is_empty());
    let (_, version) = own.ok_or_else(|| {
        let others: Vec<_> = model.opsets.iter().map(|(domain, _)| domain).collect();
        Error::unsupported(format!("the file does not name ONNX's own operator set, only {others:?}"))
    })?;
    if !OPSETS.contains(version) {
        let (first, last) = OPSETS.into_inner();
        return Err(Error::unsupported(format!("opset {version} is not read here; opsets {first} to {last} are")));
    }
    Ok(*version)
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
