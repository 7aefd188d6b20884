//! Conversion of an ONNX graph to a [`Graph`].

mod assumed;
mod batch_norm;
mod call;
pub(super) mod composed;
mod control;
mod dequantized;
mod einsum;
mod flex_attention;
mod free;
mod function;
mod inputs;
mod lower;
mod node;
mod old_opsets;
mod open_ranks;
mod scope;

use std::collections::{HashMap, HashSet};

use assumed::OpenRanks;
use dequantized::Dequantized;
use scope::{Outer, Scope};

use crate::{
    error::{Context, Error, Result},
    graph::{Graph, ValueId},
    import::{
        onnx::{
            budget::Budget,
            external::External,
            order,
            proto::{FunctionKey, GraphProto, TensorProto},
            scan::{Functions, check_operators, functions, makers, parse},
            tensor,
        },
        options::ImportOptions,
    },
    ops::tokens,
};

/// The maximum number of inputs and of outputs.
const MAX_PORTS: usize = 4096;

/// Converts a serialized `GraphProto`.
///
/// With `has_defaults`, initializers that are inputs too are defaults of these; `is_pytorch` says that PyTorch made the file.
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
    is_pytorch: bool,
) -> Result<(Graph, Vec<String>)> {
    let proto = parse_graph(bytes, budget)?;
    let name = proto.name.filter(|name| !name.is_empty()).unwrap_or(name);
    let functions = functions(all_functions, budget)?;
    let makers = makers(&proto, budget)?;
    check_operators(&proto, &functions, budget)?;
    assumed::settled(&proto, budget, |open| {
        let file = File { functions: &functions, budget, open, is_pytorch };
        let scope = Scope { opsets: opsets.clone(), used: scope::used(&proto, 0)?, ..Scope::default() };
        let mut converter = Converter::new(Graph::new(name), scope, file, external, None);
        converter.initializers(&proto)?;
        converter.inputs(&proto, options, has_defaults)?;
        converter.nodes(&proto, &makers)?;
        converter.outputs(&proto)?;
        tokens::check(&converter.graph)?;
        Ok((converter.graph, converter.notes))
    })
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

/// What a file has besides its graphs, for the conversion of each of them.
#[derive(Clone, Copy)]
struct File<'a, 'b> {
    functions: &'b Functions<'a>,
    budget: &'b Budget,
    open: &'b OpenRanks,
    is_pytorch: bool,
}

/// A graph under construction.
struct Converter<'a, 'b, 'c> {
    graph: Graph,
    scope: Scope<'a>,
    file: File<'a, 'b>,
    external: &'b mut External<'c>,
    /// The functions that are being inlined, outermost first.
    calls: Vec<FunctionKey<'a>>,
    outer: Option<Outer<'a, 'b>>,
    /// The values of the outer graph that are inputs here, in their order.
    captured: Vec<ValueId>,
    depth: usize,
    /// The bytes that values stand for.
    dequantized: HashMap<ValueId, Dequantized>,
    /// Remarks for the report.
    notes: Vec<String>,
}

impl<'a, 'b, 'c> Converter<'a, 'b, 'c> {
    fn new(
        graph: Graph,
        scope: Scope<'a>,
        file: File<'a, 'b>,
        external: &'b mut External<'c>,
        outer: Option<Outer<'a, 'b>>,
    ) -> Self {
        let depth = outer.map_or(0, |outer| outer.depth + 1);
        let calls = outer.map_or_else(Vec::new, |outer| outer.calls.to_vec());
        Self {
            graph,
            scope,
            file,
            external,
            calls,
            outer,
            captured: Vec::new(),
            depth,
            dequantized: HashMap::new(),
            notes: Vec::new(),
        }
    }

    /// Converts the nodes in an order in which each follows those that it depends on.
    fn nodes(&mut self, proto: &GraphProto<'a>, makers: &HashMap<&'a str, u32>) -> Result<()> {
        for (name, &maker) in makers {
            if self.scope.has_own(name) {
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
            self.scope.define(name, id);
        }
        Ok(())
    }

    /// The order in which to convert the nodes.
    fn order(&mut self, proto: &GraphProto<'a>, makers: &HashMap<&'a str, u32>) -> Result<Vec<u32>> {
        let mut needs = Vec::with_capacity(proto.nodes.len());
        for index in 0..proto.nodes.len() as u32 {
            let node = parse(proto, index)?;
            let mut own = Vec::new();
            let within = free::free_names(&node, self.file.budget, self.depth + 1)?;
            for name in node.inputs.iter().copied().filter(|name| !name.is_empty()).chain(within) {
                match makers.get(name) {
                    Some(&maker) => own.push(maker),
                    None if self.resolve(name).is_some() || self.scope.absent.contains(name) => {}
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
