//! The declared inputs and outputs of the graph.

use std::collections::{HashMap, HashSet};

use crate::{
    error::{Context, Error, Result},
    graph::{ElementShape, Fact, Kind, ValueId},
    import::{
        onnx::{
            convert::Converter,
            proto::{DimProto, GraphProto, KindProto, MAX_RANK, ValueInfoProto},
            tensor,
        },
        options::ImportOptions,
    },
    ops::{
        moves::identity::Identity,
        tabular::{Labels, zip_map::ZipMap},
    },
    shape::{Dim, Shape},
    tensor::DType,
};

/// The maximum number of symbolic dimensions of a model.
const MAX_SYMBOLS: usize = 1024;

impl<'a> Converter<'a, '_, '_> {
    /// Adds the inputs, except those that the options or the file make constants.
    pub(super) fn inputs(&mut self, proto: &GraphProto<'a>, options: &ImportOptions, has_defaults: bool) -> Result<()> {
        let parse = |bytes: &&'a [u8]| ValueInfoProto::parse(bytes, self.file.budget);
        let inputs = proto.inputs.iter().map(parse).collect::<Result<Vec<_>>>()?;
        for name in &options.without_default {
            let input = inputs.iter().map(ValueInfoProto::name).find(|own| own == name);
            let input = input.filter(|_| has_defaults && self.scope.values.contains_key(name.as_str()));
            let input = input.ok_or_else(|| Error::invalid_input(format!("no input `{name}` has a default")))?;
            self.scope.values.remove(input);
        }
        let named = |values: &HashMap<&str, ValueId>, name: &str| {
            let input = inputs.iter().find(|input| input.name() == name && !values.contains_key(input.name()));
            input.ok_or_else(|| Error::invalid_input(format!("the model has no input `{name}`")))
        };
        for (name, _) in &options.shapes {
            named(&self.scope.values, name)?;
        }
        for (name, tensor) in &options.constants {
            let input = named(&self.scope.values, name)?;
            let id = self.graph.constant(name, tensor.clone());
            self.scope.define(input.name(), id);
        }
        // Named dimensions come first, so that names made for unnamed ones cannot collide with
        // them.
        for name in inputs.iter().flat_map(|input| input.dims.iter().flatten()) {
            if let DimProto::Named(name) = name {
                self.graph.symbol(name);
                self.check_symbols()?;
            }
        }
        let mut seen = HashSet::new();
        for input in &inputs {
            let name = input.name();
            if name.is_empty() {
                return Err(Error::invalid_model("an input has no name"));
            }
            if !seen.insert(name) {
                return Err(Error::invalid_model(format!("input `{name}` is declared twice")));
            }
            match self.scope.values.get(name) {
                // An input with an initializer is a constant; old files list every initializer as
                // an input.
                Some(&id) => {
                    if has_defaults && !options.constants.iter().any(|(own, _)| own == name) {
                        self.graph.add_default(name);
                    }
                    self.check_declared(input, id).and_then(|()| match self.misfit(input, id) {
                        Some(what) => Err(Error::invalid_model(what)),
                        None => Ok(()),
                    })
                }
                None => self.input(input, options),
            }
            .context(|| format!("input `{name}`"))?;
        }
        let parts = self.scope.maps.values().flatten().map(|&id| self.graph.value(id).name.as_str());
        match parts.into_iter().find(|name| seen.contains(name)) {
            Some(name) => Err(Error::unsupported(format!("the input `{name}` is named as a part of a map is here"))),
            None => Ok(()),
        }
    }

    fn input(&mut self, input: &ValueInfoProto<'a>, options: &ImportOptions) -> Result<()> {
        let elem_type = match (input.elem_type, input.kind) {
            (_, KindProto::Other(kind)) => return Err(Error::unsupported(format!("it is {kind}"))),
            (elem_type, _) => elem_type.ok_or_else(|| Error::invalid_model("its type is missing"))?,
        };
        let dtype = tensor::dtype(elem_type)?;
        if let KindProto::Map(key) = input.kind {
            return self.map_input(input.name(), tensor::dtype(key)?, dtype);
        }
        if input.kind != KindProto::Tensor {
            let shape = element_shape(input)?;
            let kind = match input.kind {
                KindProto::Sequence => Kind::Sequence(shape),
                KindProto::Optional => Kind::Optional(shape),
                _ => Kind::OptionalSequence(shape),
            };
            let id = self.graph.input_of(input.name(), Fact::of_kind(dtype, kind));
            self.scope.define(input.name(), id);
            return Ok(());
        }
        let dims = declared_or_given(input, options)?;
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
        self.scope.define(input.name(), id);
        Ok(())
    }

    /// Adds the input of a map: its keys, and its values.
    fn map_input(&mut self, name: &'a str, key: DType, value: DType) -> Result<()> {
        let size = self.graph.symbol(&format!("{name}.size"));
        self.check_symbols()?;
        let mut part =
            |part: &str, dtype| self.graph.input(format!("{name}.{part}"), dtype, Shape::new([Dim::symbol(size)]));
        let parts = [part("keys", key), part("values", value)];
        self.notes.push(format!("input `{name}`, a map, is given as `{name}.keys` and `{name}.values`"));
        self.scope.define(name, parts[0]);
        self.scope.maps.insert(name, parts);
        Ok(())
    }

    fn check_symbols(&self) -> Result<()> {
        if self.graph.symbols().len() > MAX_SYMBOLS {
            return Err(Error::limit(format!("the inputs have more than {MAX_SYMBOLS} symbolic dimensions")));
        }
        Ok(())
    }

    /// Marks the outputs.
    pub(super) fn outputs(&mut self, proto: &GraphProto<'a>) -> Result<()> {
        if proto.outputs.is_empty() {
            return Err(Error::invalid_model("the graph has no outputs"));
        }
        let mut seen = HashSet::new();
        for bytes in &proto.outputs {
            let output = ValueInfoProto::parse(bytes, self.file.budget)?;
            let name = output.name();
            let id = self.resolve(name).filter(|_| !name.is_empty());
            let id = id.ok_or_else(|| Error::invalid_model(format!("nothing makes the output `{name}`")))?;
            if !seen.insert(name) {
                self.notes.push(format!("output `{name}`, which the file declares twice, is given once"));
                continue;
            }
            // Exporters seldom declare the right sizes within nodes.
            if self.outer.is_none() {
                self.check_declared(&output, id).context(|| format!("output `{name}`"))?;
                // Nothing is read by what a file says of its results' sizes, which exporters get wrong.
                if let Some(what) = self.misfit(&output, id) {
                    self.notes.push(format!("output `{name}`: {what}"));
                }
            }
            if let Some(labels) = self.zipped(id) {
                let classes = labels.describe();
                self.notes.push(format!("output `{name}` has a column for each key of the file's maps: {classes}"));
            }
            let id = self.named_output(name, id)?;
            self.graph.output(name, id);
        }
        Ok(())
    }

    /// A value for an output of that name: another one where the value has a name as an input or as another output.
    fn named_output(&mut self, name: &str, id: ValueId) -> Result<ValueId> {
        let value = self.graph.value(id);
        let keeps_name =
            self.graph.inputs().contains(&id) || value.constant.is_some() || self.graph.outputs().contains(&id);
        if self.outer.is_some() || !keeps_name || value.name == name || !value.fact.is_tensor() {
            return Ok(id);
        }
        self.graph.apply(name, Identity, &[id])
    }

    /// The keys of a list of maps, which is held as a table with a column for each.
    fn zipped(&self, id: ValueId) -> Option<&Labels> {
        let mut id = id;
        loop {
            let node = self.graph.nodes().iter().rev().find(|node| node.outputs.contains(&id))?;
            if let Some(ZipMap { labels }) = node.op() {
                return Some(labels);
            }
            node.op::<Identity>()?;
            id = (*node.inputs.first()?)?;
        }
    }

    /// Checks the declared type of a value against the inferred one.
    fn check_declared(&self, declared: &ValueInfoProto<'_>, id: ValueId) -> Result<()> {
        let fact = self.graph.fact(id);
        // A list of maps is the table that it is made of.
        if declared.kind != KindProto::Tensor && self.zipped(id).is_some() {
            return Ok(());
        }
        let fits = match (declared.kind, &fact.kind) {
            (KindProto::Tensor, Kind::Tensor) => true,
            // A value without a declared type is declared as nothing.
            (KindProto::Tensor, _) => declared.elem_type.is_none(),
            (KindProto::Sequence, Kind::Sequence(_)) => true,
            (KindProto::Optional | KindProto::OptionalSequence, _) => true,
            _ => false,
        };
        if !fits {
            return Err(Error::invalid_model(format!("it is declared as {:?} but is {fact}", declared.kind)));
        }
        if let Some(code) = declared.elem_type.filter(|&code| code != 0)
            && tensor::dtype(code)? != fact.dtype
        {
            return Err(Error::invalid_model(format!("it is declared as {} but is {fact}", tensor::dtype(code)?)));
        }
        Ok(())
    }

    /// How the declared shape of a tensor differs from the inferred one.
    fn misfit(&self, declared: &ValueInfoProto<'_>, id: ValueId) -> Option<String> {
        let fact = self.graph.fact(id);
        let dims = declared.dims.as_ref().filter(|_| fact.is_tensor())?;
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
            return Some(format!("it is declared as [{}] but is {fact}", dims.join(", ")));
        }
        None
    }
}

/// The dimensions of an input: those of the options, else those that the file declares.
fn declared_or_given<'a>(input: &ValueInfoProto<'a>, options: &ImportOptions) -> Result<Vec<DimProto<'a>>> {
    let given = options.shapes.iter().rev().find(|(name, _)| name == input.name()).map(|(_, dims)| dims);
    let named = |dim: &DimProto<'a>| match dim {
        DimProto::Named(_) if options.names_apart => DimProto::Unknown,
        dim => *dim,
    };
    let dims: Option<Vec<_>> = input.dims.as_ref().map(|dims| dims.iter().map(named).collect());
    let Some(given) = given else {
        let rank = options.ranks.iter().rev().find(|(name, _)| name == input.name()).map(|(_, rank)| *rank);
        return match (dims, rank) {
            (Some(dims), _) => Ok(dims),
            (None, Some(rank)) if rank <= MAX_RANK => Ok(vec![DimProto::Unknown; rank]),
            (None, Some(rank)) => Err(Error::limit(format!("{rank} dimensions are given, of at most {MAX_RANK}"))),
            (None, None) => Err(Error::unsupported(
                "its number of dimensions is not declared; `ImportOptions::input_shape` or the option `ranks` gives it",
            )),
        };
    };
    let declared = dims.filter(|dims| dims.len() == given.len());
    // A size that runs choose keeps its name.
    let open = |axis: usize| match declared.as_ref().map(|dims| dims[axis]) {
        Some(DimProto::Named(name)) => DimProto::Named(name),
        _ => DimProto::Unknown,
    };
    let dim = |(axis, size): (usize, &Option<usize>)| match size.map(i64::try_from) {
        None => Ok(open(axis)),
        Some(Ok(size)) => Ok(DimProto::Fixed(size)),
        Some(Err(_)) => Err(Error::limit("a dimension is too large")),
    };
    given.iter().enumerate().map(dim).collect()
}

/// What is declared of the shape of the tensors within a value.
fn element_shape(input: &ValueInfoProto<'_>) -> Result<ElementShape> {
    let Some(dims) = &input.dims else { return Ok(ElementShape::Any) };
    let size = |dim: &DimProto<'_>| match dim {
        DimProto::Fixed(size) => Ok(Some(Dim::from(tensor::size(*size)?))),
        // The same name may have another size in each tensor.
        _ => Ok(None),
    };
    Ok(ElementShape::Sizes(dims.iter().map(size).collect::<Result<_>>()?))
}
