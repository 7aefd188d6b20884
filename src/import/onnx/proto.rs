//! The messages of an ONNX file that are read here, borrowing from the file's bytes. Lists of messages are kept as
//! their bytes and opened one at a time.

use smallvec::SmallVec;

use crate::{
    error::{Error, Result},
    import::onnx::wire::{Budget, Message, Scalar, once},
};

/// More dimensions than any tensor has.
const MAX_RANK: usize = 32;
/// More operator sets than any file names.
const MAX_OPSETS: usize = 256;

/// `ModelProto`.
#[derive(Debug, Default)]
pub(super) struct ModelProto<'a> {
    pub(super) ir_version: Option<i64>,
    pub(super) graph: Option<&'a [u8]>,
    /// Domain and version of the operator sets.
    pub(super) opsets: Vec<(&'a str, i64)>,
    /// `FunctionProto`s.
    pub(super) functions: Vec<&'a [u8]>,
    pub(super) trains: bool,
}

impl<'a> ModelProto<'a> {
    pub(super) fn parse(bytes: &'a [u8], budget: &Budget) -> Result<Self> {
        let mut this = Self::default();
        let mut message = Message::open("ModelProto", bytes, budget)?;
        while let Some(field) = message.next()? {
            match field.number {
                1 => once(&mut this.ir_version, &field, field.int()?)?,
                7 => once(&mut this.graph, &field, field.block()?)?,
                8 => {
                    this.opsets.push(opset(field.block()?, budget)?);
                    if this.opsets.len() > MAX_OPSETS {
                        return Err(Error::limit(format!("the file names more than {MAX_OPSETS} operator sets")));
                    }
                }
                20 => this.trains = true,
                25 => {
                    budget.item()?;
                    this.functions.push(field.block()?);
                }
                // Producer, versions, documentation, metadata, hints for devices.
                2..=6 | 14 | 26 => {}
                _ => return Err(field.unknown()),
            }
        }
        Ok(this)
    }
}

fn opset<'a>(bytes: &'a [u8], budget: &Budget) -> Result<(&'a str, i64)> {
    let (mut domain, mut version) = (None, None);
    let mut message = Message::open("OperatorSetIdProto", bytes, budget)?;
    while let Some(field) = message.next()? {
        match field.number {
            1 => once(&mut domain, &field, field.text(budget)?)?,
            2 => once(&mut version, &field, field.int()?)?,
            _ => return Err(field.unknown()),
        }
    }
    Ok((domain.unwrap_or_default(), version.unwrap_or_default()))
}

/// Domain and name of a `FunctionProto`.
pub(super) fn function<'a>(bytes: &'a [u8], budget: &Budget) -> Result<(&'a str, &'a str)> {
    let (mut name, mut domain) = (None, None);
    let mut message = Message::open("FunctionProto", bytes, budget)?;
    while let Some(field) = message.next()? {
        match field.number {
            1 => once(&mut name, &field, field.text(budget)?)?,
            10 => once(&mut domain, &field, field.text(budget)?)?,
            4..=9 | 11..=14 => {}
            _ => return Err(field.unknown()),
        }
    }
    Ok((domain.unwrap_or_default(), name.unwrap_or_default()))
}

/// `GraphProto`.
#[derive(Debug, Default)]
pub(super) struct GraphProto<'a> {
    pub(super) name: Option<&'a str>,
    pub(super) nodes: Vec<&'a [u8]>,
    pub(super) initializers: Vec<&'a [u8]>,
    pub(super) has_sparse: bool,
    pub(super) inputs: Vec<&'a [u8]>,
    pub(super) outputs: Vec<&'a [u8]>,
}

impl<'a> GraphProto<'a> {
    pub(super) fn parse(bytes: &'a [u8], budget: &Budget) -> Result<Self> {
        let mut this = Self::default();
        let mut message = Message::open("GraphProto", bytes, budget)?;
        while let Some(field) = message.next()? {
            let list = match field.number {
                1 => &mut this.nodes,
                5 => &mut this.initializers,
                11 => &mut this.inputs,
                12 => &mut this.outputs,
                2 => {
                    once(&mut this.name, &field, field.text(budget)?)?;
                    continue;
                }
                15 => {
                    this.has_sparse = true;
                    continue;
                }
                // Documentation, types of inner values (inferred here), quantization notes, metadata.
                10 | 13 | 14 | 16 => continue,
                _ => return Err(field.unknown()),
            };
            budget.item()?;
            list.push(field.block()?);
        }
        Ok(this)
    }
}

/// `NodeProto`; the attributes are not opened yet.
#[derive(Debug, Default)]
pub(super) struct NodeProto<'a> {
    name: Option<&'a str>,
    op_type: Option<&'a str>,
    domain: Option<&'a str>,
    overload: Option<&'a str>,
    pub(super) inputs: SmallVec<[&'a str; 8]>,
    pub(super) outputs: SmallVec<[&'a str; 4]>,
    pub(super) attributes: SmallVec<[&'a [u8]; 8]>,
}

impl<'a> NodeProto<'a> {
    pub(super) fn parse(bytes: &'a [u8], budget: &Budget) -> Result<Self> {
        let mut this = Self::default();
        let mut message = Message::open("NodeProto", bytes, budget)?;
        while let Some(field) = message.next()? {
            match field.number {
                1 => {
                    budget.item()?;
                    this.inputs.push(field.text(budget)?);
                }
                2 => {
                    budget.item()?;
                    this.outputs.push(field.text(budget)?);
                }
                3 => once(&mut this.name, &field, field.text(budget)?)?,
                4 => once(&mut this.op_type, &field, field.text(budget)?)?,
                5 => {
                    budget.item()?;
                    this.attributes.push(field.block()?);
                }
                7 => once(&mut this.domain, &field, field.text(budget)?)?,
                8 => once(&mut this.overload, &field, field.text(budget)?)?,
                // Documentation, metadata, hints for devices.
                6 | 9 | 10 => {}
                _ => return Err(field.unknown()),
            }
        }
        if this.op_type().is_empty() {
            return Err(Error::invalid_model(format!("node `{}` names no operator", this.name())));
        }
        // Trailing outputs that nobody asks for.
        while this.outputs.last().is_some_and(|name| name.is_empty()) {
            this.outputs.pop();
        }
        Ok(this)
    }

    /// The node's name, or that of the first value it makes.
    pub(super) fn name(&self) -> &'a str {
        self.name
            .filter(|name| !name.is_empty())
            .or_else(|| self.outputs.iter().copied().find(|name| !name.is_empty()))
            .unwrap_or_default()
    }

    pub(super) fn op_type(&self) -> &'a str {
        self.op_type.unwrap_or_default()
    }

    /// The domain, empty for ONNX's own.
    pub(super) fn domain(&self) -> &'a str {
        default_domain(self.domain.unwrap_or_default())
    }

    /// How errors name the node.
    pub(super) fn describe(&self) -> String {
        format!("node `{}` ({})", self.name(), self.op_type())
    }
}

/// ONNX's own domain has two names.
pub(super) fn default_domain(domain: &str) -> &str {
    if domain == "ai.onnx" { "" } else { domain }
}

/// `TensorProto`; its data are read later, by their type.
#[derive(Debug, Default)]
pub(super) struct TensorProto<'a> {
    name: Option<&'a str>,
    pub(super) dims: SmallVec<[i64; 6]>,
    pub(super) data_type: i32,
    pub(super) raw: Option<&'a [u8]>,
    /// The field that holds typed data, if one does.
    pub(super) typed: Option<u32>,
    pub(super) location: Option<i64>,
    /// Keys and values that say where data outside the file are.
    pub(super) external: SmallVec<[(&'a str, &'a str); 3]>,
    message: &'a [u8],
}

impl<'a> TensorProto<'a> {
    pub(super) fn parse(bytes: &'a [u8], budget: &Budget) -> Result<Self> {
        let mut this = Self { message: bytes, ..Self::default() };
        let mut data_type = None;
        let mut message = Message::open("TensorProto", bytes, budget)?;
        while let Some(field) = message.next()? {
            match field.number {
                1 => field.scalars(Scalar::Varint, |dim| {
                    this.dims.push(dim.cast_signed());
                    if this.dims.len() > MAX_RANK {
                        return Err(Error::limit(format!("a tensor has more than {MAX_RANK} dimensions")));
                    }
                    Ok(())
                })?,
                2 => once(&mut data_type, &field, field.int32()?)?,
                3 => return Err(Error::unsupported("a tensor in segments is not read here")),
                number @ (4..=7 | 10 | 11) => {
                    if this.typed.is_some_and(|other| other != number) {
                        return Err(Error::invalid_model("a tensor holds data of two types"));
                    }
                    this.typed = Some(number);
                }
                8 => once(&mut this.name, &field, field.text(budget)?)?,
                9 => once(&mut this.raw, &field, field.block()?)?,
                13 => {
                    let entry = entry(field.block()?, budget)?;
                    if this.external.iter().any(|(key, _)| *key == entry.0) {
                        return Err(Error::invalid_model(format!("external data give the key `{}` twice", entry.0)));
                    }
                    this.external.push(entry);
                }
                14 => once(&mut this.location, &field, field.int()?)?,
                // Documentation, metadata.
                12 | 16 => {}
                _ => return Err(field.unknown()),
            }
        }
        this.data_type = data_type.unwrap_or_default();
        Ok(this)
    }

    pub(super) fn name(&self) -> &'a str {
        self.name.unwrap_or_default()
    }

    /// Each number of the typed field `number`, as its bits.
    pub(super) fn numbers(&self, number: u32, scalar: Scalar, mut each: impl FnMut(u64) -> Result<()>) -> Result<()> {
        let unlimited = Budget::unlimited();
        let mut message = Message::open("TensorProto", self.message, &unlimited)?;
        while let Some(field) = message.next()? {
            if field.number == number {
                field.scalars(scalar, &mut each)?;
            }
        }
        Ok(())
    }
}

/// `StringStringEntryProto`.
fn entry<'a>(bytes: &'a [u8], budget: &Budget) -> Result<(&'a str, &'a str)> {
    let (mut key, mut value) = (None, None);
    let mut message = Message::open("StringStringEntryProto", bytes, budget)?;
    while let Some(field) = message.next()? {
        match field.number {
            1 => once(&mut key, &field, field.text(budget)?)?,
            2 => once(&mut value, &field, field.text(budget)?)?,
            _ => return Err(field.unknown()),
        }
    }
    Ok((key.unwrap_or_default(), value.unwrap_or_default()))
}

/// A dimension as a file declares it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum DimProto<'a> {
    Fixed(i64),
    Named(&'a str),
    Unknown,
}

/// `ValueInfoProto`.
#[derive(Debug, Default)]
pub(super) struct ValueInfoProto<'a> {
    name: Option<&'a str>,
    /// The element type, if the value is declared to be a tensor.
    pub(super) elem_type: Option<i32>,
    /// The dimensions, if they are declared.
    pub(super) dims: Option<SmallVec<[DimProto<'a>; 6]>>,
    /// What the value is, where it is no tensor.
    pub(super) other: Option<&'static str>,
}

impl<'a> ValueInfoProto<'a> {
    pub(super) fn parse(bytes: &'a [u8], budget: &Budget) -> Result<Self> {
        let mut this = Self::default();
        let mut kind = None;
        let mut message = Message::open("ValueInfoProto", bytes, budget)?;
        while let Some(field) = message.next()? {
            match field.number {
                1 => once(&mut this.name, &field, field.text(budget)?)?,
                2 => once(&mut kind, &field, field.block()?)?,
                3 | 4 => {}
                _ => return Err(field.unknown()),
            }
        }
        if let Some(kind) = kind {
            this.read_type(kind, budget)?;
        }
        Ok(this)
    }

    pub(super) fn name(&self) -> &'a str {
        self.name.unwrap_or_default()
    }

    fn read_type(&mut self, bytes: &'a [u8], budget: &Budget) -> Result<()> {
        let mut tensor = None;
        let mut message = Message::open("TypeProto", bytes, budget)?;
        while let Some(field) = message.next()? {
            let other = match field.number {
                1 => {
                    once(&mut tensor, &field, field.block()?)?;
                    continue;
                }
                6 => continue,
                4 => "a sequence",
                5 => "a map",
                7 => "an opaque value",
                8 => "a sparse tensor",
                9 => "an optional value",
                _ => return Err(field.unknown()),
            };
            once(&mut self.other, &field, other)?;
        }
        match (tensor, self.other) {
            (Some(_), Some(_)) => Err(Error::invalid_model("a value is declared with two types")),
            (Some(tensor), None) => self.read_tensor_type(tensor, budget),
            (None, _) => Ok(()),
        }
    }

    fn read_tensor_type(&mut self, bytes: &'a [u8], budget: &Budget) -> Result<()> {
        let mut shape = None;
        let mut message = Message::open("TypeProto.Tensor", bytes, budget)?;
        while let Some(field) = message.next()? {
            match field.number {
                1 => once(&mut self.elem_type, &field, field.int32()?)?,
                2 => once(&mut shape, &field, field.block()?)?,
                _ => return Err(field.unknown()),
            }
        }
        let Some(shape) = shape else { return Ok(()) };
        let mut dims = SmallVec::new();
        let mut message = Message::open("TensorShapeProto", shape, budget)?;
        while let Some(field) = message.next()? {
            match field.number {
                1 => dims.push(dimension(field.block()?, budget)?),
                _ => return Err(field.unknown()),
            }
            if dims.len() > MAX_RANK {
                return Err(Error::limit(format!("a value is declared with more than {MAX_RANK} dimensions")));
            }
        }
        self.dims = Some(dims);
        Ok(())
    }
}

fn dimension<'a>(bytes: &'a [u8], budget: &Budget) -> Result<DimProto<'a>> {
    let mut dim = None;
    let mut message = Message::open("TensorShapeProto.Dimension", bytes, budget)?;
    while let Some(field) = message.next()? {
        match field.number {
            1 => once(&mut dim, &field, DimProto::Fixed(field.int()?))?,
            2 => once(&mut dim, &field, DimProto::Named(field.text(budget)?))?,
            3 => {}
            _ => return Err(field.unknown()),
        }
    }
    Ok(dim.filter(|dim| *dim != DimProto::Named("")).unwrap_or(DimProto::Unknown))
}
