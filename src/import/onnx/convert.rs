//! Conversion of an ONNX graph to a [`Graph`].

mod control;
mod free;
mod inputs;

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

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
    op::{OnnxNode, Operator},
    ops::{self, control::is_control, generate::constant::Constant},
    tensor::Tensor,
};

/// The maximum number of inputs and of outputs.
const MAX_PORTS: usize = 4096;

/// What a file has besides its graphs, for the conversion of each of them.
#[derive(Clone, Copy)]
pub(super) struct File<'a, 'b> {
    pub opset: i64,
    pub functions: &'b [&'a [u8]],
    pub budget: &'b Budget,
}

/// Converts a serialized `GraphProto`.
pub(super) fn graph<'a>(
    bytes: &'a [u8],
    name: &str,
    file: File<'a, '_>,
    external: &mut External<'_>,
    constants: &[(String, Tensor)],
) -> Result<Graph> {
    let proto = parse_graph(bytes, file.budget)?;
    let name = proto.name.filter(|name| !name.is_empty()).unwrap_or(name);
    let mut converter = Converter::new(Graph::new(name), file, external, None);
    let makers = scan(&proto, file.functions, file.budget)?;
    converter.initializers(&proto)?;
    converter.inputs(&proto, constants)?;
    converter.nodes(&proto, &makers)?;
    converter.outputs(&proto)?;
    Ok(converter.graph)
}

fn parse_graph<'a>(bytes: &'a [u8], budget: &Budget) -> Result<GraphProto<'a>> {
    let proto = GraphProto::parse(bytes, budget)?;
    for (list, what) in [(&proto.inputs, "inputs"), (&proto.outputs, "outputs")] {
        if list.len() > MAX_PORTS {
            return Err(Error::limit(format!("the graph has more than {MAX_PORTS} {what}")));
        }
    }
    if proto.has_sparse {
        return Err(Error::unsupported("sparse initializers are not built here"));
    }
    Ok(proto)
}

/// The graph around the one that is converted, and its values by name.
#[derive(Clone, Copy)]
struct Outer<'a, 'b> {
    graph: &'b Graph,
    values: &'b HashMap<&'a str, ValueId>,
    depth: usize,
}

/// A graph under construction and the values it has by name.
struct Converter<'a, 'b, 'c> {
    graph: Graph,
    values: HashMap<&'a str, ValueId>,
    file: File<'a, 'b>,
    external: &'b mut External<'c>,
    outer: Option<Outer<'a, 'b>>,
    /// The values of the outer graph that are inputs here, in their order.
    captured: Vec<ValueId>,
    /// The names defined since an inlined graph began, with the values they had before.
    shadowed: Option<Vec<(&'a str, Option<ValueId>)>>,
    depth: usize,
}

impl<'a, 'b, 'c> Converter<'a, 'b, 'c> {
    fn new(graph: Graph, file: File<'a, 'b>, external: &'b mut External<'c>, outer: Option<Outer<'a, 'b>>) -> Self {
        let depth = outer.map_or(0, |outer| outer.depth + 1);
        let (values, captured, shadowed) = (HashMap::new(), Vec::new(), None);
        Self { graph, values, file, external, outer, captured, shadowed, depth }
    }

    /// Gives a value a name; returns the one that had it.
    fn define(&mut self, name: &'a str, id: ValueId) -> Option<ValueId> {
        let before = self.values.insert(name, id);
        if let Some(shadowed) = &mut self.shadowed {
            shadowed.push((name, before));
        }
        before
    }

    /// The value of that name, captured from the outer graph if only that has it.
    fn resolve(&mut self, name: &'a str) -> Option<ValueId> {
        if let Some(&id) = self.values.get(name) {
            return Some(id);
        }
        let outer = self.outer?;
        let &id = outer.values.get(name)?;
        let own = match outer.graph.constant_of(id) {
            Some(tensor) => self.graph.constant(name, tensor.clone()),
            None => {
                self.captured.push(id);
                self.graph.input_of(name, outer.graph.fact(id).clone())
            }
        };
        self.define(name, own);
        Some(own)
    }

    /// Converts the nodes in an order in which each follows those that it depends on.
    fn nodes(&mut self, proto: &GraphProto<'a>, makers: &HashMap<&'a str, u32>) -> Result<()> {
        for (name, &maker) in makers {
            if self.shadowed.is_none() && self.values.contains_key(name) {
                let node = parse(proto, maker)?.describe();
                return Err(Error::invalid_model(format!("value `{name}` is made twice: by the file and by {node}")));
            }
        }
        for index in self.order(proto, makers)? {
            let node = parse(proto, index)?;
            self.node(&node)?;
        }
        Ok(())
    }

    fn initializers(&mut self, proto: &GraphProto<'a>) -> Result<()> {
        let mut seen = HashSet::new();
        for (index, bytes) in proto.initializers.iter().enumerate() {
            let proto =
                TensorProto::parse(bytes, self.file.budget).context(|| format!("initializer number {index}"))?;
            let name = proto.name();
            if name.is_empty() {
                return Err(Error::invalid_model(format!("initializer number {index} has no name")));
            }
            let tensor = tensor::read(&proto, self.external).context(|| format!("initializer `{name}`"))?;
            let id = self.graph.constant(name, tensor);
            if !seen.insert(name) {
                return Err(Error::invalid_model(format!("initializer `{name}` is given twice")));
            }
            self.define(name, id);
        }
        Ok(())
    }

    /// The order in which to convert the nodes.
    fn order(&mut self, proto: &GraphProto<'a>, makers: &HashMap<&'a str, u32>) -> Result<Vec<u32>> {
        let mut needs = Vec::with_capacity(proto.nodes.len());
        for index in 0..proto.nodes.len() as u32 {
            let node = parse(proto, index)?;
            let mut own = Vec::new();
            let within = self.free_names(&node)?;
            for name in node.inputs.iter().copied().filter(|name| !name.is_empty()).chain(within) {
                match makers.get(name) {
                    Some(&maker) => own.push(maker),
                    None if self.resolve(name).is_some() => {}
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
        let inputs = node.inputs.iter().map(|name| {
            if name.is_empty() {
                return Ok(None);
            }
            let id = self.values.get(name).copied();
            id.map(Some).ok_or_else(|| Error::internal(format!("`{name}` was not converted before its use")))
        });
        let inputs = inputs.collect::<Result<Vec<_>>>()?;
        if is_control(node.op_type()) {
            return self.control(node, inputs).context(place);
        }
        let attributes = attribute::read(node, self.file.budget, self.external).context(place)?;
        let count = node.outputs.len();
        let mut own = OnnxNode::new(&self.graph, self.file.opset, node.op_type(), attributes, inputs, count);
        let op = ops::decode(&mut own).context(place)?;
        let inputs = own.finish().context(place)?;
        if let (Some(Constant { value }), [name]) = (op.downcast_ref(), node.outputs.as_slice()) {
            let id = self.graph.constant(*name, value.clone());
            self.define(name, id);
            return Ok(());
        }
        self.add(node, op, inputs)
    }

    /// Adds a node with its operator, and names its results.
    fn add(&mut self, node: &NodeProto<'a>, op: Arc<dyn Operator>, inputs: Vec<Option<ValueId>>) -> Result<()> {
        // Errors of `Graph::node` name the node already.
        let outputs = self.graph.node(node.name(), op, inputs)?;
        if node.outputs.len() > outputs.len() {
            let (asked, made) = (node.outputs.len(), outputs.len());
            let what = format!("{asked} outputs are asked for, of which {made} are built here");
            return Err(Error::unsupported(what).context(node.describe()));
        }
        for (&name, id) in node.outputs.iter().zip(outputs) {
            if !name.is_empty() {
                name.clone_into(&mut self.graph.values[id.index()].name);
                self.define(name, id);
            }
        }
        Ok(())
    }
}
