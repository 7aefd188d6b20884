//! An ONNX graph as a [`Graph`].

use std::collections::{BTreeMap, HashMap};

use crate::{
    error::{Context, Error, Result},
    graph::{Graph, ValueId},
    import::onnx::{
        external::External,
        order,
        proto::{self, DimProto, GraphProto, NodeProto, TensorProto, ValueInfoProto, default_domain},
        tensor,
        wire::{Budget, Message, Scalar, once},
    },
    op::{Attribute, OnnxNode},
    ops::{self, generate::constant::Constant},
    shape::{Dim, Shape},
    tensor::Tensor,
};

/// More inputs, or outputs, than any model has.
const MAX_PORTS: usize = 4096;
/// The most symbolic dimensions of a model.
const MAX_SYMBOLS: usize = 1024;
/// How many missing operators an error lists.
const MAX_LISTED: usize = 64;

/// Makes the graph of a `GraphProto`.
pub(super) fn graph(
    bytes: &[u8],
    name: &str,
    opset: i64,
    functions: &[&[u8]],
    budget: &Budget,
    external: &mut External<'_>,
    constants: &[(String, Tensor)],
) -> Result<Graph> {
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
    let mut converter = Converter { graph: Graph::new(name), values: HashMap::new(), opset, budget, external };
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
    Ok(converter.graph)
}

/// A node that [`scan`] has read and charged for.
fn parse<'a>(proto: &GraphProto<'a>, index: u32) -> Result<NodeProto<'a>> {
    NodeProto::parse(proto.nodes[index as usize], &Budget::unlimited())
}

/// Reads every node once: finds who makes which value, and all operators that are not built here.
fn scan<'a>(proto: &GraphProto<'a>, functions: &[&'a [u8]], budget: &Budget) -> Result<HashMap<&'a str, u32>> {
    let mut makers = HashMap::new();
    let mut missing: BTreeMap<(&str, &str), (usize, String)> = BTreeMap::new();
    for (index, bytes) in proto.nodes.iter().enumerate() {
        let node = NodeProto::parse(bytes, budget).context(|| format!("node number {index}"))?;
        for name in node.outputs.iter().copied().filter(|name| !name.is_empty()) {
            if let Some(other) = makers.insert(name, index as u32) {
                let other = parse(proto, other)?.describe();
                let own = node.describe();
                return Err(Error::invalid_model(format!("value `{name}` is made twice: by {other} and by {own}")));
            }
        }
        let built = node.domain().is_empty() && ops::find_onnx(node.op_type()).is_some();
        if !built {
            missing.entry((node.domain(), node.op_type())).or_insert_with(|| (0, node.name().to_owned())).0 += 1;
        }
    }
    if missing.is_empty() {
        return Ok(makers);
    }
    let functions = functions.iter().map(|bytes| proto::function(bytes, budget)).collect::<Result<Vec<_>>>()?;
    let listed = missing.iter().take(MAX_LISTED).map(|(&(domain, op), (count, first))| {
        let nodes = if *count == 1 { format!("node `{first}`") } else { format!("{count} nodes, first `{first}`") };
        let kind = match functions.iter().any(|&(other, name)| name == op && default_domain(other) == domain) {
            true => ", a function of the file, which is not inlined here",
            false => "",
        };
        let dot = if domain.is_empty() { "" } else { "." };
        format!("{domain}{dot}{op} ({nodes}{kind})")
    });
    let mut listed = listed.collect::<Vec<_>>().join(", ");
    if missing.len() > MAX_LISTED {
        listed += &format!(" and {} more", missing.len() - MAX_LISTED);
    }
    Err(Error::unsupported(format!("the model needs operators that are not built here: {listed}")))
}

struct Converter<'a, 'b, 'c> {
    graph: Graph,
    values: HashMap<&'a str, ValueId>,
    opset: i64,
    budget: &'b Budget,
    external: &'b mut External<'c>,
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

    fn inputs(&mut self, proto: &GraphProto<'a>, constants: &[(String, Tensor)]) -> Result<()> {
        let parse = |bytes: &&'a [u8]| ValueInfoProto::parse(bytes, self.budget);
        let inputs = proto.inputs.iter().map(parse).collect::<Result<Vec<_>>>()?;
        for (name, tensor) in constants {
            let input = inputs.iter().find(|input| input.name() == name && !self.values.contains_key(input.name()));
            let input = input.ok_or_else(|| Error::invalid_input(format!("the model has no input `{name}`")))?;
            let id = self.graph.constant(name, tensor.clone());
            self.values.insert(input.name(), id);
        }
        // Named dimensions first, so that the names made for unnamed ones are new.
        for name in inputs.iter().flat_map(|input| input.dims.iter().flatten()) {
            if let DimProto::Named(name) = name {
                self.graph.symbol(name);
                self.check_symbols()?;
            }
        }
        let mut seen = std::collections::HashSet::new();
        for input in &inputs {
            let name = input.name();
            if name.is_empty() {
                return Err(Error::invalid_model("an input has no name"));
            }
            if !seen.insert(name) {
                return Err(Error::invalid_model(format!("input `{name}` is declared twice")));
            }
            match self.values.get(name) {
                // An input that has a value in the file is a constant; old files list all of them.
                Some(&id) => self.check_declared(input, id),
                None => self.input(input),
            }
            .context(|| format!("input `{name}`"))?;
        }
        Ok(())
    }

    fn input(&mut self, input: &ValueInfoProto<'a>) -> Result<()> {
        if let Some(kind) = input.other {
            return Err(Error::unsupported(format!("it is {kind}; only tensors are taken here")));
        }
        let elem_type = input.elem_type.ok_or_else(|| Error::invalid_model("its type is missing"))?;
        let dtype = tensor::dtype(elem_type)?;
        let dims = input
            .dims
            .as_ref()
            .ok_or_else(|| Error::unsupported("its number of dimensions is not declared, which is needed here"))?;
        let mut shape = Vec::with_capacity(dims.len());
        for (axis, dim) in dims.iter().enumerate() {
            shape.push(match *dim {
                DimProto::Fixed(size) => Dim::from(tensor::size(size)?),
                DimProto::Named(name) => Dim::symbol(self.graph.symbol(name)),
                DimProto::Unknown => {
                    let mut name = format!("{}.{axis}", input.name());
                    while self.graph.symbols().contains(&name) {
                        name.push('\'');
                    }
                    let symbol = self.graph.symbol(&name);
                    self.check_symbols()?;
                    Dim::symbol(symbol)
                }
            });
        }
        let shape = Shape::new(shape);
        shape.fixed_elements()?;
        if shape.dims().iter().any(|dim| !dim.is_valid()) {
            return Err(Error::limit("a dimension is too large"));
        }
        let id = self.graph.input(input.name(), dtype, shape);
        self.values.insert(input.name(), id);
        Ok(())
    }

    fn check_symbols(&self) -> Result<()> {
        if self.graph.symbols().len() > MAX_SYMBOLS {
            return Err(Error::limit(format!("the inputs have more than {MAX_SYMBOLS} symbolic dimensions")));
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
        let attributes = self.attributes(node).context(place)?;
        let inputs = node.inputs.iter().map(|name| {
            if name.is_empty() {
                return Ok(None);
            }
            let id = self.values.get(name).copied();
            id.map(Some).ok_or_else(|| Error::internal(format!("`{name}` was not converted before its use")))
        });
        let inputs = inputs.collect::<Result<Vec<_>>>()?;
        let decode = ops::find_onnx(node.op_type()).ok_or_else(|| Error::internal("the operator was found before"))?;
        let mut own = OnnxNode::new(&self.graph, self.opset, node.op_type(), attributes, inputs, node.outputs.len());
        let op = decode(&mut own).context(place)?;
        let inputs = own.finish().context(place)?;
        if let (Some(Constant { value }), [name]) = (op.downcast_ref(), node.outputs.as_slice()) {
            let id = self.graph.constant(*name, value.clone());
            self.values.insert(name, id);
            return Ok(());
        }
        // The graph names the node itself where an operand does not fit.
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

    fn attributes(&mut self, node: &NodeProto<'a>) -> Result<Vec<(String, Attribute)>> {
        let attributes = node.attributes.iter().map(|bytes| self.attribute(bytes)).collect::<Result<Vec<_>>>()?;
        let mut names: Vec<&str> = attributes.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        match names.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(twice) => Err(Error::invalid_model(format!("attribute `{}` is given twice", twice[0]))),
            None => Ok(attributes),
        }
    }

    /// Reads an `AttributeProto`.
    fn attribute(&mut self, bytes: &'a [u8]) -> Result<(String, Attribute)> {
        let budget = self.budget;
        let (mut name, mut kind, mut float, mut int, mut string, mut tensor) = (None, None, None, None, None, None);
        let (mut floats, mut ints, mut strings) = (Vec::new(), Vec::new(), Vec::new());
        // The types of the fields that the message holds, as a set of bits.
        let mut present = 0u32;
        let mut message = Message::open("AttributeProto", bytes, budget)?;
        while let Some(field) = message.next()? {
            let own = match field.number {
                1 => {
                    once(&mut name, &field, field.text(budget)?)?;
                    continue;
                }
                20 => {
                    once(&mut kind, &field, field.int32()?)?;
                    continue;
                }
                21 => return Err(Error::invalid_model("an attribute refers to one of a function, outside a function")),
                13 => continue,
                2 => {
                    once(&mut float, &field, field.float()?)?;
                    FLOAT
                }
                3 => {
                    once(&mut int, &field, field.int()?)?;
                    INT
                }
                4 => {
                    once(&mut string, &field, field.text(budget)?)?;
                    STRING
                }
                5 => {
                    once(&mut tensor, &field, field.block()?)?;
                    TENSOR
                }
                7 => {
                    field.scalars(Scalar::Fixed32, |bits| {
                        floats.push(f32::from_bits(bits as u32));
                        Ok(())
                    })?;
                    FLOATS
                }
                8 => {
                    field.scalars(Scalar::Varint, |value| {
                        ints.push(value.cast_signed());
                        Ok(())
                    })?;
                    INTS
                }
                9 => {
                    budget.item()?;
                    strings.push(field.text(budget)?.to_owned());
                    STRINGS
                }
                6 => GRAPH,
                10 => 9,
                11 => 10,
                14 => 13,
                15 => 14,
                22 => 11,
                23 => 12,
                _ => return Err(field.unknown()),
            };
            present |= 1 << own;
        }
        let name = name.unwrap_or_default();
        if name.is_empty() {
            return Err(Error::invalid_model("an attribute has no name"));
        }
        let fault = |what: &str| Error::invalid_model(format!("attribute `{name}` {what}"));
        // Old files do not say the type; new ones may leave a value out that is zero or empty.
        let kind = match kind.filter(|&kind| kind != 0) {
            Some(kind) => u32::try_from(kind).ok().filter(|kind| (1..=14).contains(kind)),
            None if present.is_power_of_two() => Some(present.trailing_zeros()),
            None => None,
        };
        let kind = kind.ok_or_else(|| fault("has no type"))?;
        if present & !(1 << kind) != 0 {
            return Err(fault("has a value of another type than it says"));
        }
        let value = match kind {
            FLOAT => Attribute::Float(float.unwrap_or_default()),
            INT => Attribute::Int(int.unwrap_or_default()),
            STRING => Attribute::String(string.unwrap_or_default().to_owned()),
            TENSOR => {
                let bytes = tensor.ok_or_else(|| fault("has no tensor"))?;
                let place = || format!("attribute `{name}`");
                let proto = TensorProto::parse(bytes, budget).context(place)?;
                Attribute::Tensor(tensor::read(&proto, self.external).context(place)?.into())
            }
            FLOATS => Attribute::Floats(floats),
            INTS => Attribute::Ints(ints),
            STRINGS => Attribute::Strings(strings),
            GRAPH => Attribute::Other("a graph"),
            9 => Attribute::Other("a list of tensors"),
            10 => Attribute::Other("a list of graphs"),
            11 => Attribute::Other("a sparse tensor"),
            12 => Attribute::Other("a list of sparse tensors"),
            13 => Attribute::Other("a type"),
            _ => Attribute::Other("a list of types"),
        };
        Ok((name.to_owned(), value))
    }

    fn outputs(&mut self, proto: &GraphProto<'a>) -> Result<()> {
        if proto.outputs.is_empty() {
            return Err(Error::invalid_model("the graph has no outputs"));
        }
        let mut seen = std::collections::HashSet::new();
        for bytes in &proto.outputs {
            let output = ValueInfoProto::parse(bytes, self.budget)?;
            let name = output.name();
            let id = self.values.get(name).copied().filter(|_| !name.is_empty());
            let id = id.ok_or_else(|| Error::invalid_model(format!("nothing makes the output `{name}`")))?;
            if !seen.insert(name) {
                return Err(Error::invalid_model(format!("output `{name}` is declared twice")));
            }
            self.check_declared(&output, id).context(|| format!("output `{name}`"))?;
            self.graph.output(name, id);
        }
        Ok(())
    }

    /// Holds what the file declares of a value against what is known of it.
    fn check_declared(&self, declared: &ValueInfoProto<'_>, id: ValueId) -> Result<()> {
        let fact = self.graph.fact(id);
        if let Some(kind) = declared.other {
            return Err(Error::invalid_model(format!("it is declared as {kind} but is {fact}")));
        }
        if let Some(code) = declared.elem_type.filter(|&code| code != 0)
            && tensor::dtype(code)? != fact.dtype
        {
            return Err(Error::invalid_model(format!("it is declared as {} but is {fact}", tensor::dtype(code)?)));
        }
        let Some(dims) = &declared.dims else { return Ok(()) };
        let differs = |(dim, own): (&DimProto<'_>, &Dim)| match (dim, own.as_fixed()) {
            (DimProto::Fixed(size), Some(own)) => *size != own,
            _ => false,
        };
        if dims.len() != fact.shape.rank() || dims.iter().zip(fact.shape.dims()).any(differs) {
            let dims: Vec<_> = dims
                .iter()
                .map(|dim| match dim {
                    DimProto::Fixed(size) => size.to_string(),
                    DimProto::Named(name) => (*name).to_owned(),
                    DimProto::Unknown => "?".to_owned(),
                })
                .collect();
            return Err(Error::invalid_model(format!("it is declared as [{}] but is {fact}", dims.join(", "))));
        }
        Ok(())
    }
}

/// ONNX's numbers for the types of attributes that are read.
const FLOAT: u32 = 1;
const INT: u32 = 2;
const STRING: u32 = 3;
const TENSOR: u32 = 4;
const GRAPH: u32 = 5;
const FLOATS: u32 = 6;
const INTS: u32 = 7;
const STRINGS: u32 = 8;
