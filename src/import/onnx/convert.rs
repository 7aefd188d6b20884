//! Conversion of an ONNX graph to a [`Graph`].

mod inputs;

use std::collections::HashMap;

use crate::{
    error::{Context, Error, Result},
    graph::{Graph, ValueId},
    import::onnx::{
        attribute,
        budget::Budget,
        external::External,
        order,
        proto::{GraphProto, NodeProto, TensorProto},
        scan::{parse, scan},
        tensor,
    },
    op::OnnxNode,
    ops::{self, generate::constant::Constant, tokens},
    tensor::Tensor,
};

/// The maximum number of inputs and of outputs.
const MAX_PORTS: usize = 4096;

/// The version of an operator set that the file does not name.
const UNNAMED_OPSET: i64 = 1;

/// Converts a serialized `GraphProto`.
pub(super) fn graph(
    bytes: &[u8],
    name: &str,
    opsets: &[(&str, i64)],
    functions: &[&[u8]],
    budget: &Budget,
    external: &mut External<'_>,
    constants: &[(String, Tensor)],
) -> Result<(Graph, Vec<String>)> {
    let proto = GraphProto::parse(bytes, budget)?;
    for (list, what) in [(&proto.inputs, "inputs"), (&proto.outputs, "outputs")] {
        if list.len() > MAX_PORTS {
            return Err(Error::limit(format!("the graph has more than {MAX_PORTS} {what}")));
        }
    }
    if proto.has_sparse {
        return Err(Error::unsupported("sparse initializers are not built here"));
    }
    let name = proto.name.filter(|name| !name.is_empty()).unwrap_or(name);
    let mut converter =
        Converter { graph: Graph::new(name), values: HashMap::new(), opsets, budget, external, notes: Vec::new() };
    let makers = scan(&proto, functions, budget)?;
    converter.initializers(&proto)?;
    converter.inputs(&proto, constants)?;
    for (name, &maker) in &makers {
        if converter.values.contains_key(name) {
            let node = parse(&proto, maker)?.describe();
            return Err(Error::invalid_model(format!("value `{name}` is made twice: by the file and by {node}")));
        }
    }
    for index in converter.order(&proto, &makers)? {
        let node = parse(&proto, index)?;
        converter.node(&node)?;
    }
    converter.outputs(&proto)?;
    tokens::check(&converter.graph)?;
    Ok((converter.graph, converter.notes))
}

/// A graph under construction and the values it has by name.
struct Converter<'a, 'b, 'c> {
    graph: Graph,
    values: HashMap<&'a str, ValueId>,
    /// The version of each domain; the default one has no name.
    opsets: &'b [(&'b str, i64)],
    budget: &'b Budget,
    external: &'b mut External<'c>,
    /// Remarks for the report.
    notes: Vec<String>,
}

impl<'a> Converter<'a, '_, '_> {
    fn initializers(&mut self, proto: &GraphProto<'a>) -> Result<()> {
        for (index, bytes) in proto.initializers.iter().enumerate() {
            let proto = TensorProto::parse(bytes, self.budget).context(|| format!("initializer number {index}"))?;
            let name = proto.name();
            if name.is_empty() {
                return Err(Error::invalid_model(format!("initializer number {index} has no name")));
            }
            let tensor = tensor::read(&proto, self.external).context(|| format!("initializer `{name}`"))?;
            let id = self.graph.constant(name, tensor);
            if self.values.insert(name, id).is_some() {
                return Err(Error::invalid_model(format!("initializer `{name}` is given twice")));
            }
        }
        Ok(())
    }

    /// The order in which to convert the nodes.
    fn order(&self, proto: &GraphProto<'a>, makers: &HashMap<&'a str, u32>) -> Result<Vec<u32>> {
        let mut needs = Vec::with_capacity(proto.nodes.len());
        for index in 0..proto.nodes.len() as u32 {
            let node = parse(proto, index)?;
            let mut own = Vec::new();
            for name in node.inputs.iter().copied().filter(|name| !name.is_empty()) {
                match makers.get(name) {
                    Some(&maker) => own.push(maker),
                    None if self.values.contains_key(name) => {}
                    None => {
                        let node = node.describe();
                        return Err(Error::invalid_model(format!("{node} uses `{name}`, which nothing makes")));
                    }
                }
            }
            needs.push(own);
        }
        order::sort(&needs).map_err(|index| match parse(proto, index as u32) {
            Ok(node) => Error::invalid_model(format!("{} depends on its own result", node.describe())),
            Err(error) => error,
        })
    }

    fn node(&mut self, node: &NodeProto<'a>) -> Result<()> {
        let place = || node.describe();
        let attributes = attribute::read(node, self.budget, self.external).context(place)?;
        let inputs = node.inputs.iter().map(|name| {
            if name.is_empty() {
                return Ok(None);
            }
            let id = self.values.get(name).copied();
            id.map(Some).ok_or_else(|| Error::internal(format!("`{name}` was not converted before its use")))
        });
        let inputs = inputs.collect::<Result<Vec<_>>>()?;
        let decode = ops::find_onnx(node.domain(), node.op_type())
            .ok_or_else(|| Error::internal("the operator was found before"))?;
        let opset = self.opsets.iter().find(|(domain, _)| *domain == node.domain());
        let opset = opset.map_or(UNNAMED_OPSET, |(_, version)| *version);
        let mut own = OnnxNode::new(&self.graph, opset, node.op_type(), attributes, inputs, node.outputs.len());
        let op = decode(&mut own).context(place)?;
        let inputs = own.finish().context(place)?;
        if let (Some(Constant { value }), [name]) = (op.downcast_ref(), node.outputs.as_slice()) {
            let id = self.graph.constant(*name, value.clone());
            self.values.insert(name, id);
            return Ok(());
        }
        // Errors of `Graph::node` name the node already.
        let outputs = self.graph.node(node.name(), op, inputs)?;
        if node.outputs.len() > outputs.len() {
            let (asked, made) = (node.outputs.len(), outputs.len());
            let what = format!("{asked} outputs are asked for, of which {made} are built here");
            return Err(Error::unsupported(what).context(place()));
        }
        for (&name, id) in node.outputs.iter().zip(outputs) {
            if !name.is_empty() {
                name.clone_into(&mut self.graph.values[id.index()].name);
                self.values.insert(name, id);
            }
        }
        Ok(())
    }
}
