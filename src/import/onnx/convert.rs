//! Conversion of an ONNX graph to a [`Graph`].

mod batch_norm;
mod function;
mod inputs;
mod node;
mod old_opsets;

use std::collections::{HashMap, HashSet};

use crate::{
    error::{Context, Error, Result},
    graph::{Graph, ValueId},
    import::{
        onnx::{
            budget::Budget,
            external::External,
            order,
            proto::{FunctionKey, GraphProto, TensorProto, ValueInfoProto},
            scan::{Functions, check_operators, functions, makers, parse},
            tensor,
        },
        options::ImportOptions,
    },
    op::Attribute,
    ops::tokens,
};

/// The maximum number of inputs and of outputs.
const MAX_PORTS: usize = 4096;

/// Converts a serialized `GraphProto`.
///
/// With `has_defaults`, initializers that are inputs too are defaults of these.
#[allow(clippy::too_many_arguments, reason = "the parts of one file and what to make of them")]
pub(super) fn graph<'a>(
    bytes: &'a [u8],
    name: &str,
    opsets: Vec<(&'a str, i64)>,
    all_functions: &[&'a [u8]],
    budget: &Budget,
    external: &mut External<'_>,
    options: &ImportOptions,
    has_defaults: bool,
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
    let functions = functions(all_functions, budget)?;
    let makers = makers(&proto, budget)?;
    check_operators(&proto, &functions, budget)?;
    let mut scope = Scope { opsets, used: used(&proto)?, ..Scope::default() };
    for bytes in &proto.outputs {
        scope.used.insert(ValueInfoProto::parse(bytes, &Budget::unlimited())?.name());
    }
    let graph = Graph::new(name);
    let mut converter =
        Converter { graph, scope, functions: &functions, calls: Vec::new(), budget, external, notes: Vec::new() };
    converter.initializers(&proto)?;
    converter.inputs(&proto, options, has_defaults)?;
    for (name, &maker) in &makers {
        if converter.scope.values.contains_key(name) {
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

/// The names that the nodes use; the messages are charged elsewhere.
fn used<'a>(proto: &GraphProto<'a>) -> Result<HashSet<&'a str>> {
    let mut used = HashSet::new();
    for index in 0..proto.nodes.len() as u32 {
        used.extend(parse(proto, index)?.inputs);
    }
    Ok(used)
}

/// What names mean in the graph, or in a call of a function.
#[derive(Default)]
struct Scope<'a> {
    values: HashMap<&'a str, ValueId>,
    /// The inputs of the function that the call leaves out.
    absent: HashSet<&'a str>,
    /// The names that nodes or outputs use.
    used: HashSet<&'a str>,
    /// The version of each domain that is named; the default one has no name.
    opsets: Vec<(&'a str, i64)>,
    /// The attributes of the call; `None` outside functions.
    attributes: Option<Vec<(String, Attribute)>>,
}

/// A graph under construction.
struct Converter<'a, 'b, 'c> {
    graph: Graph,
    scope: Scope<'a>,
    functions: &'b Functions<'a>,
    /// The functions that are being inlined, outermost first.
    calls: Vec<FunctionKey<'a>>,
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
            if self.scope.values.insert(name, id).is_some() {
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
                    None if self.scope.values.contains_key(name) || self.scope.absent.contains(name) => {}
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
}
