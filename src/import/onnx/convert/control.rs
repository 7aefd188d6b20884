//! Nodes that hold graphs.

use std::{collections::HashMap, ops::Range, sync::Arc};

use crate::{
    error::{Context as _, Error, Result},
    graph::{ElementShape, Fact, Graph, Kind, Node, ValueId},
    import::onnx::{
        attribute,
        convert::{
            Converter, open_ranks, parse_graph,
            scope::{Outer, Scope, used},
        },
        opset,
        proto::{GraphProto, NodeProto, ValueInfoProto},
        scan::{check_depth, makers},
    },
    op::{Attribute, Body, OnnxNode, Operator},
    ops::{
        control::{conditional::If, map::SequenceMap, repeat::Loop, scan::Scan},
        moves::reshape::Reshape,
        random, tokens,
    },
    shape::{Dim, Shape},
    tensor::DType,
};

/// Bytes of the budget that a symbol takes in each graph within a node.
const SYMBOL_BYTES: usize = 32;

/// What a graph within a node is given: a fact, and which of its sizes vary between runs.
#[derive(Clone)]
struct Given {
    fact: Fact,
    varies: Vec<bool>,
    /// Whether the graph's declaration says the number of dimensions.
    declared: bool,
    /// Whether a value of one element takes the number of dimensions of what replaces it, and whether it did.
    ones: Ones,
}

/// What becomes of the dimensions of a value of one element.
#[derive(Clone, Copy, PartialEq)]
enum Ones {
    Stay,
    Follow,
    Followed,
}

impl Given {
    fn new(fact: Fact) -> Self {
        let varies = vec![false; fact.shape.rank()];
        Self { fact, varies, declared: false, ones: Ones::Stay }
    }

    /// A tensor whose number of dimensions the graph itself declares.
    fn of_unknown_rank(dtype: DType) -> Self {
        Self { declared: true, ..Self::new(Fact::new(dtype, Shape::scalar())) }
    }

    /// A value that the graph replaces: its elements vary.
    fn carried(fact: &Fact) -> Self {
        Self::new(Fact { elements: None, ..fact.clone() })
    }

    /// Lets vary what differs from the value that replaces it; `false` if nothing does.
    fn widen(&mut self, fact: &Fact, body: &Graph, position: usize) -> Result<bool> {
        let own = body.fact(body.inputs()[position]);
        let unlike = || Error::unsupported(format!("a value of {own} is replaced by one of {fact} after an iteration"));
        if own.dtype != fact.dtype {
            return Err(unlike());
        }
        let is_other = fact.is_tensor() && own.shape.rank() != fact.shape.rank();
        if self.ones == Ones::Follow && is_one(&self.fact) && is_other {
            // ONNX Runtime takes a list of one for a scalar, and the other way around. Exporters also put a scalar in the
            // place of a value that the first iteration makes.
            let id = body.inputs()[position];
            let reads = |node: &Node| node.inputs.contains(&Some(id));
            let is_read = body.outputs().contains(&id) || body.nodes().iter().any(reads);
            if !is_read || (is_listed(&self.fact) && is_listed(fact)) {
                *self = Self { ones: Ones::Followed, ..Self::new(Fact::new(fact.dtype, ones(fact.shape.rank()))) };
                return Ok(true);
            }
        }
        let joined = |shape: &ElementShape| shape.join(&fact.element_shape());
        let kind = match (&self.fact.kind, &fact.kind) {
            (Kind::Tensor, Kind::Tensor) if own.shape.rank() == fact.shape.rank() => {
                let mut widened = false;
                for (axis, varies) in self.varies.iter_mut().enumerate() {
                    if !*varies && own.shape[axis] != fact.shape[axis] {
                        (*varies, widened) = (true, true);
                    }
                }
                return Ok(widened);
            }
            (Kind::Sequence(shape), Kind::Sequence(_)) => Kind::Sequence(joined(shape)),
            (Kind::Optional(shape), Kind::Optional(_) | Kind::Tensor) => Kind::Optional(joined(shape)),
            (Kind::OptionalSequence(shape), Kind::OptionalSequence(_) | Kind::Sequence(_)) => {
                Kind::OptionalSequence(joined(shape))
            }
            _ => return Err(unlike()),
        };
        let widened = kind != self.fact.kind;
        self.fact.kind = kind;
        Ok(widened)
    }
}

/// Whether a tensor has a single element whatever the run.
fn is_one(fact: &Fact) -> bool {
    fact.is_tensor() && fact.shape.dims().iter().all(|dim| dim.as_fixed() == Some(1))
}

/// Whether it is a scalar, or a list of one.
fn is_listed(fact: &Fact) -> bool {
    is_one(fact) && fact.shape.rank() <= 1
}

/// The shape of a single element with so many dimensions.
fn ones(rank: usize) -> Shape {
    Shape::new(vec![Dim::from(1); rank])
}

/// Makes a list of one of a scalar result where the other graph gives such a list; whether there were any.
fn equalize(graphs: [&mut Graph; 2]) -> Result<bool> {
    let outputs = graphs.each_ref().map(|graph| graph.outputs().to_vec());
    let mut changed = false;
    for index in 0..outputs[0].len().min(outputs[1].len()) {
        let facts = [0, 1].map(|own| graphs[own].fact(outputs[own][index]));
        let scalar = facts.iter().position(|fact| fact.shape.rank() == 0);
        let Some(own) = scalar.filter(|_| facts.iter().all(|fact| is_listed(fact))) else { continue };
        if facts[1 - own].shape.rank() == 1 {
            let id = outputs[own][index];
            let name = graphs[own].value(id).name.clone();
            let mut all = graphs[own].outputs().to_vec();
            all[index] = graphs[own].apply(&name, Reshape::to(&ones(1)), &[id])?;
            graphs[own].set_outputs(all);
            changed = true;
        }
    }
    Ok(changed)
}

/// A converted graph, and the values of the graph around it that it captures.
type Within = (Graph, Vec<ValueId>);

impl<'a> Converter<'a, '_, '_> {
    /// Converts a node that holds graphs.
    pub(super) fn control(
        &mut self,
        node: &NodeProto<'a>,
        mut attributes: Vec<(String, Attribute)>,
        inputs: Vec<Option<ValueId>>,
    ) -> Result<()> {
        let graphs = attribute::graphs(node, self.file.budget)?;
        let graph = |name: &str| {
            let found = graphs.iter().find(|(own, _)| *own == name).map(|(_, bytes)| *bytes);
            found.ok_or_else(|| Error::invalid_model(format!("the graph `{name}` is missing")))
        };
        attributes.retain(|(name, _)| !graphs.iter().any(|(own, _)| own == name));
        let count = node.outputs.len();
        let opset = opset(&self.scope.opsets, "");
        let mut own = OnnxNode::new(&self.graph, opset, node.op_type(), attributes, inputs.clone(), count);
        match node.op_type() {
            "If" => {
                own.finish()?;
                self.conditional(node, inputs, graph("then_branch")?, graph("else_branch")?)
            }
            "Loop" => {
                own.finish()?;
                self.repeat(node, inputs, graph("body")?)
            }
            "Scan" => {
                let scan = Scanned::read(&mut own)?;
                own.finish()?;
                self.scan(node, inputs, graph("body")?, scan)
            }
            _ => {
                own.finish()?;
                self.map(node, inputs, graph("body")?)
            }
        }
    }

    fn conditional(
        &mut self,
        node: &NodeProto<'a>,
        inputs: Vec<Option<ValueId>>,
        then: &'a [u8],
        other: &'a [u8],
    ) -> Result<()> {
        let &[Some(condition)] = inputs.as_slice() else {
            return Err(Error::invalid_model("an If has one operand, its condition"));
        };
        let known = match self.graph.fact(condition).elements.as_deref() {
            Some([element]) => element.as_fixed(),
            _ => None,
        };
        if let Some(known) = known {
            return self.inlined(node, if known != 0 { then } else { other });
        }
        let mut operands = inputs;
        let both = self.branches(&node.describe(), [then, other], &mut operands);
        if both.as_ref().map_or(true, |[then, other]| open_ranks::differ(then, other))
            && let Some(first) = self.taken(condition, &|| node.describe())?
        {
            return self.inlined(node, if first { then } else { other });
        }
        self.add_control(node, Arc::new(If { branches: both? }), operands)
    }

    fn branches(&mut self, place: &str, bytes: [&'a [u8]; 2], inputs: &mut Vec<Option<ValueId>>) -> Result<[Body; 2]> {
        let (mut then, mut other) = (self.within(bytes[0], &[])?, self.within(bytes[1], &[])?);
        if equalize([&mut then.0, &mut other.0])? {
            self.notes.push(format!("{place}: a scalar result becomes a list of one, as the other graph's is"));
        }
        let then = self.body(then, inputs);
        Ok([then, self.body(other, inputs)])
    }

    fn repeat(&mut self, node: &NodeProto<'a>, inputs: Vec<Option<ValueId>>, bytes: &'a [u8]) -> Result<()> {
        let mut inputs = inputs;
        inputs.resize(inputs.len().max(2), None);
        let mut given = vec![
            Given::new(Fact::new(DType::I64, Shape::scalar())),
            Given::new(Fact::new(DType::Bool, Shape::scalar())),
        ];
        given.extend(self.carried(&inputs[2..])?.into_iter().map(|given| Given { ones: Ones::Follow, ..given }));
        let carried = given.len() - 2;
        let within = self.settled(bytes, &mut given, 2..2 + carried, 1)?;
        for (given, input) in given.iter().zip(&mut inputs).filter(|(given, _)| given.ones == Ones::Followed) {
            let Some(id) = *input else { continue };
            self.notes.push(format!(
                "{}: the first `{}` gets {} dimensions, as what replaces it has",
                node.describe(),
                self.graph.value(id).name,
                given.fact.shape.rank()
            ));
            *input = Some(self.graph.apply(node.name(), Reshape::to(&given.fact.shape), &[id])?);
        }
        let body = [self.body(within, &mut inputs)];
        self.add_control(node, Arc::new(Loop { body, carried }), inputs)
    }

    fn scan(
        &mut self,
        node: &NodeProto<'a>,
        inputs: Vec<Option<ValueId>>,
        bytes: &'a [u8],
        scanned: Scanned,
    ) -> Result<()> {
        let batched = opset(&self.scope.opsets, "") < 9;
        let first = usize::from(batched);
        let states = inputs.len().checked_sub(scanned.count.saturating_add(first));
        let states = states.ok_or_else(|| Error::invalid_model("fewer operands than are scanned"))?;
        let outputs = node.outputs.len().checked_sub(states);
        let outputs = outputs.ok_or_else(|| Error::invalid_model("fewer results than states"))?;
        let mut op = scanned.operator(outputs, states, batched)?;
        let mut given = self.carried(&inputs[first..first + states])?;
        if batched {
            for given in &mut given {
                let inner = given.fact.shape.dims().get(1..).map(|dims| Shape::new(dims.to_vec()));
                let inner = inner.ok_or_else(|| Error::invalid_model("a state has no batch axis"))?;
                *given = Given::new(Fact::new(given.fact.dtype, inner));
            }
        }
        for (index, id) in inputs[first + states..].iter().enumerate() {
            let id = id.ok_or_else(|| Error::invalid_model("a scanned operand is missing"))?;
            let fact = self.graph.fact(id);
            let (slice, _) = op.slice(index, &fact.shape)?;
            given.push(Given::new(Fact::new(fact.dtype, slice)));
        }
        let mut inputs = inputs;
        let within = self.settled(bytes, &mut given, 0..states, 0)?;
        op.body = [self.body(within, &mut inputs)];
        self.add_control(node, Arc::new(op), inputs)
    }

    fn map(&mut self, node: &NodeProto<'a>, inputs: Vec<Option<ValueId>>, bytes: &'a [u8]) -> Result<()> {
        let mut inputs = inputs;
        let count = inputs.len();
        let mut given = Vec::with_capacity(count);
        for id in &inputs {
            let id = id.ok_or_else(|| Error::invalid_model("an operand of a SequenceMap is missing"))?;
            let fact = self.graph.fact(id);
            given.push(match &fact.kind {
                Kind::Sequence(ElementShape::Sizes(sizes)) => {
                    let varies = sizes.iter().map(Option::is_none).collect();
                    let dims = sizes.iter().map(|size| size.clone().unwrap_or_else(|| Dim::from(1)));
                    Given { varies, ..Given::new(Fact::new(fact.dtype, dims.collect())) }
                }
                Kind::Sequence(_) => Given::of_unknown_rank(fact.dtype),
                _ => Given::new(fact.clone()),
            });
        }
        let within = self.within(bytes, &given)?;
        let body = [self.body(within, &mut inputs)];
        self.add_control(node, Arc::new(SequenceMap { body, operands: count }), inputs)
    }

    /// Adds a node that holds graphs, and names its results.
    fn add_control(&mut self, node: &NodeProto<'a>, op: Arc<dyn Operator>, inputs: Vec<Option<ValueId>>) -> Result<()> {
        // An If runs its graph once; the others would draw the same numbers each time.
        let repeats = op.downcast_ref::<If>().is_none();
        if let Some(drawn) = op.bodies().iter().filter(|_| repeats).find_map(|body| random::find(&body.graph)) {
            let message = format!("random numbers in a loop, which would be alike: {}", drawn.describe());
            return Err(Error::unsupported(message)).context(|| node.describe());
        }
        // Errors of `Graph::node` name the node already.
        let made = self.graph.node(node.name(), op, inputs)?;
        self.name(node, node.outputs.len(), made)
    }

    /// What a graph is given of the first values of those that it replaces.
    fn carried(&self, ids: &[Option<ValueId>]) -> Result<Vec<Given>> {
        let carried = ids.iter().map(|id| id.map(|id| Given::carried(self.graph.fact(id))));
        carried.collect::<Option<_>>().ok_or_else(|| Error::invalid_model("a first value is missing"))
    }

    /// Converts a graph whose inputs `carried` are replaced by its outputs from `first` on.
    ///
    /// A size that an iteration changes becomes a symbol.
    fn settled(&mut self, bytes: &'a [u8], given: &mut [Given], carried: Range<usize>, first: usize) -> Result<Within> {
        loop {
            let (graph, captured) = self.within(bytes, given)?;
            let mut widened = false;
            for (position, index) in carried.clone().enumerate() {
                let output = graph.outputs().get(first + position);
                let output = output.ok_or_else(|| Error::invalid_model("the graph within has too few outputs"))?;
                widened |= given[index].widen(graph.fact(*output), &graph, index)?;
            }
            if !widened {
                return Ok((graph, captured));
            }
        }
    }

    /// Converts a graph within a node, whose declared inputs are `given`.
    fn within(&mut self, bytes: &'a [u8], given: &[Given]) -> Result<Within> {
        check_depth(self.depth + 1)?;
        let budget = self.file.budget;
        budget.bytes(self.graph.symbols().len() * SYMBOL_BYTES)?;
        let proto = parse_graph(bytes, budget)?;
        let makers = makers(&proto, budget)?;
        let graph = self.graph.within(proto.name.unwrap_or_default());
        let scope = Scope {
            opsets: self.scope.opsets.clone(),
            absent: self.scope.absent.clone(),
            used: used(&proto, self.depth + 1)?,
            attributes: self.scope.attributes.clone(),
            ..Scope::default()
        };
        let outer = Outer { graph: &self.graph, values: &self.scope.values, calls: &self.calls, depth: self.depth };
        let mut own = Converter::new(graph, scope, self.file, &mut *self.external, Some(outer));
        own.initializers(&proto)?;
        own.given(&proto.inputs, given)?;
        own.nodes(&proto, &makers)?;
        own.outputs(&proto)?;
        tokens::check(&own.graph)?;
        let Converter { graph, captured, notes, .. } = own;
        // A graph may be converted more than once.
        for note in notes {
            if !self.notes.contains(&note) {
                self.notes.push(note);
            }
        }
        Ok((graph, captured))
    }

    /// Adds the declared inputs of a graph within a node.
    fn given(&mut self, declared: &[&'a [u8]], given: &[Given]) -> Result<()> {
        if declared.len() != given.len() {
            let (takes, gets) = (declared.len(), given.len());
            return Err(Error::invalid_model(format!("the graph takes {takes} values, but gets {gets}")));
        }
        for (bytes, given) in declared.iter().zip(given) {
            let info = ValueInfoProto::parse(bytes, self.file.budget)?;
            let name = info.name();
            let Given { mut fact, mut varies, declared, .. } = given.clone();
            if declared {
                let dims = info.dims.as_ref().ok_or_else(|| {
                    Error::unsupported(format!(
                        "the number of dimensions of `{name}` is not declared, which is needed here"
                    ))
                })?;
                varies = vec![true; dims.len()];
                fact.shape = varies.iter().map(|_| Dim::from(1)).collect();
            }
            if fact.is_tensor() {
                let dims: Vec<Dim> = varies
                    .iter()
                    .zip(fact.shape.dims())
                    .enumerate()
                    .map(|(axis, (varies, dim))| match varies {
                        true => Dim::symbol(self.graph.new_symbol(format!("{name}.{axis}"))),
                        false => dim.clone(),
                    })
                    .collect();
                fact.shape = Shape::new(dims);
            }
            let id = self.graph.input_of(name, fact);
            if name.is_empty() || self.scope.define(name, id).is_some() {
                return Err(Error::invalid_model(format!("input `{name}` of a graph is not its own")));
            }
        }
        Ok(())
    }

    /// The body of a node, whose operands get the values that it captures.
    fn body(&self, (graph, captured): Within, inputs: &mut Vec<Option<ValueId>>) -> Body {
        let operands = captured.into_iter().map(|id| {
            inputs.push(Some(id));
            inputs.len() - 1
        });
        Body::new(graph, operands.collect(), &self.graph)
    }

    /// Converts the nodes of a graph that is sure to run in place of the node that holds it.
    fn inlined(&mut self, node: &NodeProto<'a>, bytes: &'a [u8]) -> Result<()> {
        let ids = self.inline_bytes(bytes, &[])?;
        if node.outputs.len() > ids.len() {
            return Err(Error::invalid_model(format!("{} outputs are asked of {}", node.outputs.len(), ids.len())));
        }
        for (&name, id) in node.outputs.iter().zip(ids).filter(|(name, _)| !name.is_empty()) {
            self.scope.define(name, id);
        }
        Ok(())
    }

    /// Converts the nodes of a graph with these inputs, in place; returns its outputs.
    pub(super) fn inline_bytes(&mut self, bytes: &'a [u8], given: &[ValueId]) -> Result<Vec<ValueId>> {
        check_depth(self.depth + 1)?;
        let proto = parse_graph(bytes, self.file.budget)?;
        let makers = makers(&proto, self.file.budget)?;
        self.scope.used.extend(used(&proto, self.depth + 1)?);
        let before = self.scope.shadowed.replace(Vec::new());
        self.depth += 1;
        let converted = self.inline_graph(&proto, &makers, given);
        self.depth -= 1;
        self.scope.unshadow(before);
        converted
    }

    fn inline_graph(
        &mut self,
        proto: &GraphProto<'a>,
        makers: &HashMap<&'a str, u32>,
        given: &[ValueId],
    ) -> Result<Vec<ValueId>> {
        if proto.inputs.len() != given.len() {
            let (takes, gets) = (proto.inputs.len(), given.len());
            return Err(Error::invalid_model(format!("the graph takes {takes} values, but gets {gets}")));
        }
        for (bytes, &id) in proto.inputs.iter().zip(given) {
            self.scope.define(ValueInfoProto::parse(bytes, self.file.budget)?.name(), id);
        }
        self.initializers(proto)?;
        self.nodes(proto, makers)?;
        let mut ids = Vec::with_capacity(proto.outputs.len());
        for bytes in &proto.outputs {
            let output = ValueInfoProto::parse(bytes, self.file.budget)?;
            let id = self.resolve(output.name());
            ids.push(id.ok_or_else(|| Error::invalid_model(format!("nothing makes the output `{}`", output.name())))?);
        }
        Ok(ids)
    }
}

/// The attributes of a Scan.
struct Scanned {
    count: usize,
    input_axes: Option<Vec<i64>>,
    input_directions: Option<Vec<i64>>,
    output_axes: Option<Vec<i64>>,
    output_directions: Option<Vec<i64>>,
}

impl Scanned {
    fn read(node: &mut OnnxNode<'_>) -> Result<Self> {
        let count = node.int("num_scan_inputs")?.and_then(|count| usize::try_from(count).ok());
        // The first version has directions of the inputs alone, under another name.
        let directions = node.ints("directions")?;
        Ok(Self {
            count: count.ok_or_else(|| Error::invalid_model("`num_scan_inputs` is missing or negative"))?,
            input_axes: node.ints("scan_input_axes")?,
            input_directions: node.ints("scan_input_directions")?.or(directions),
            output_axes: node.ints("scan_output_axes")?,
            output_directions: node.ints("scan_output_directions")?,
        })
    }

    /// The operator, still without its graph.
    fn operator(self, outputs: usize, states: usize, batched: bool) -> Result<Scan> {
        let Self { count, input_axes, input_directions, output_axes, output_directions } = self;
        let lists = |axes: Option<Vec<i64>>, directions: Option<Vec<i64>>, count: usize| {
            let (axes, directions) = (axes.unwrap_or(vec![0; count]), directions.unwrap_or(vec![0; count]));
            if axes.len() != count || directions.len() != count {
                return Err(Error::invalid_model("there are not as many axes and directions as operands or results"));
            }
            Ok(axes.into_iter().zip(directions.into_iter().map(|direction| direction == 1)).collect())
        };
        let inputs = lists(input_axes, input_directions, count)?;
        let outputs = lists(output_axes, output_directions, outputs)?;
        let empty = Body::new(Graph::default(), Vec::new(), &Graph::default());
        Ok(Scan { body: [empty], states, inputs, outputs, batched })
    }
}
