//! What a model is: its inputs, outputs and operators, what was fused, and which backend runs what.
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use gristmill::{Model, SessionOptions, inspect::inspect};
//!
//! let inspection = inspect(Model::open("model.onnx")?, &SessionOptions::default())?;
//! println!("{inspection}");
//! std::fs::write("model.svg", inspection.to_svg())?;
//! # Ok(())
//! # }
//! ```

mod chains;
mod layout;
mod svg;
mod text;

use std::collections::BTreeMap;

use crate::{
    backend::{HostOperator, Session, SessionOptions},
    error::Result,
    graph::{Batching, Graph, ValueId},
    import::Model,
    inference::{Description, Inference},
    inspect::chains::Chains,
    shape::Shape,
    tensor::DType,
};

/// A description of a loaded model: [`Display`](std::fmt::Display) writes it as text, [`to_svg`](Self::to_svg) draws it.
#[derive(Clone, Debug)]
pub struct Inspection {
    name: String,
    inputs: Vec<Port>,
    outputs: Vec<Port>,
    /// Elements and bytes of the file's constants, by type.
    parameters: BTreeMap<String, (usize, usize)>,
    /// For each operator, its nodes in the file and after the rewrites.
    operators: BTreeMap<&'static str, (usize, usize)>,
    batching: String,
    weight_bytes: usize,
    device: String,
    host: Vec<HostOperator>,
    notes: Vec<String>,
    chains: Chains,
}

/// An input or output.
#[derive(Clone, Debug)]
struct Port {
    name: String,
    /// Type and dimensions, such as `f32[batch, 384]`.
    fact: String,
}

/// Loads a model and describes it.
///
/// # Errors
/// As [`Model::session`].
pub fn inspect(model: Model, options: &SessionOptions) -> Result<Inspection> {
    let mut parameters = BTreeMap::<String, (usize, usize)>::new();
    let mut operators = BTreeMap::<&'static str, (usize, usize)>::new();
    let graph = model.graph();
    for index in 0..graph.value_count() {
        if let Some(tensor) = graph.constant_of(ValueId(index as u32)) {
            let (elements, bytes) = parameters.entry(tensor.dtype().to_string()).or_default();
            *elements += tensor.len();
            *bytes += tensor.len() * tensor.dtype().size();
        }
    }
    for node in graph.nodes() {
        operators.entry(node.op.def().name).or_default().0 += 1;
    }
    let session = model.session(options)?;
    let graph = session.graph();
    for node in graph.nodes() {
        operators.entry(node.op.def().name).or_default().1 += 1;
    }
    let (host, about) = (session.host_operators(), session.describe());
    Ok(Inspection {
        name: graph.name.clone(),
        inputs: ports(graph, graph.inputs()),
        outputs: ports(graph, graph.outputs()),
        parameters,
        operators,
        batching: batching(&session),
        weight_bytes: session.weight_bytes(),
        device: device(&about),
        chains: Chains::of(graph, &|name| host.iter().any(|host| host.operator == name)),
        host,
        notes: about.notes,
    })
}

/// Device, kernel set and precision; what the first items decide is called auto.
fn device(about: &Description) -> String {
    format!("{}, {}, {}", about.device, about.kernel_set, about.precision)
}

fn batching(session: &Session) -> String {
    match session.batching() {
        Batching::Single { reason } => format!("item by item: {reason}"),
        Batching::Rows { .. } => "items run together along the first axis".to_owned(),
        Batching::Packed { .. } => "sequences run together without padding".to_owned(),
        Batching::Unknown => "not known".to_owned(),
    }
}

fn ports(graph: &Graph, ids: &[ValueId]) -> Vec<Port> {
    let port = |&id: &ValueId| {
        let value = graph.value(id);
        Port { name: value.name.clone(), fact: fact_text(value.fact.dtype, &value.fact.shape, graph.symbols()) }
    };
    ids.iter().map(port).collect()
}

/// A type and a shape with the model's own names of sizes, such as `f32[batch, 2*height+1]`.
fn fact_text(dtype: DType, shape: &Shape, symbols: &[String]) -> String {
    let dims: Vec<String> = shape.dims().iter().map(|dim| dim.named(symbols).to_string()).collect();
    format!("{dtype}[{}]", dims.join(", "))
}

impl Inspection {
    /// The graph as it runs, as a drawing: chains of operators in one box each, coloured by the backend that runs them,
    /// with sizes on the lines between.
    pub fn to_svg(&self) -> String {
        svg::draw(self)
    }
}

#[cfg(test)]
mod tests;
