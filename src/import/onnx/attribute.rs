//! The attributes of a node.

use crate::{
    error::{Context, Error, Result},
    import::onnx::{
        budget::Budget,
        external::External,
        proto::{KindProto, NodeProto, TensorProto, TypeProto},
        tensor,
        wire::{Message, Scalar, once},
    },
    op::Attribute,
};

/// ONNX's numbers of the attribute types.
const FLOAT: u32 = 1;
const INT: u32 = 2;
const STRING: u32 = 3;
const TENSOR: u32 = 4;
const GRAPH: u32 = 5;
const FLOATS: u32 = 6;
const INTS: u32 = 7;
const STRINGS: u32 = 8;

/// Reads the attributes of a node with their names.
///
/// In a function, those of the call replace references to them; a reference to an absent one is
/// absent too.
pub(super) fn read(
    node: &NodeProto<'_>,
    budget: &Budget,
    external: &mut External<'_>,
    of_call: Option<&[(String, Attribute)]>,
) -> Result<Vec<(String, Attribute)>> {
    let mut attributes = Vec::with_capacity(node.attributes.len());
    for bytes in &node.attributes {
        match read_one(bytes, budget, external)? {
            Read::Value(name, value) => attributes.push((name, value)),
            Read::Reference(name, other) => {
                let of_call = of_call.ok_or_else(|| {
                    Error::invalid_model("an attribute refers to one of a function, outside a function")
                })?;
                let found = of_call.iter().find(|(own, _)| own == other);
                attributes.extend(found.map(|(_, value)| (name, value.clone())));
            }
        }
    }
    let mut names: Vec<&str> = attributes.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    match names.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(twice) => Err(Error::invalid_model(format!("attribute `{}` is given twice", twice[0]))),
        None => Ok(attributes),
    }
}

/// Reads the default of a function's attribute.
pub(super) fn read_default(bytes: &[u8], budget: &Budget, external: &mut External<'_>) -> Result<(String, Attribute)> {
    match read_one(bytes, budget, external)? {
        Read::Value(name, value) => Ok((name, value)),
        Read::Reference(name, _) => Err(Error::invalid_model(format!("the default of `{name}` is a reference"))),
    }
}

/// An attribute as it is written.
enum Read<'a> {
    Value(String, Attribute),
    /// The name, and that of the function's attribute.
    Reference(String, &'a str),
}

/// The names and bytes of the graphs among the attributes of a node.
pub(super) fn graphs<'a>(node: &NodeProto<'a>, budget: &Budget) -> Result<Vec<(&'a str, &'a [u8])>> {
    let mut graphs = Vec::new();
    for bytes in &node.attributes {
        let (mut name, mut graph) = (None, None);
        let mut message = Message::open("AttributeProto", bytes, budget)?;
        while let Some(field) = message.next()? {
            match field.number {
                1 => once(&mut name, &field, field.text(budget)?)?,
                6 => once(&mut graph, &field, field.block()?)?,
                _ => {}
            }
        }
        graphs.extend(name.zip(graph));
    }
    Ok(graphs)
}

/// Reads an `AttributeProto`.
fn read_one<'a>(bytes: &'a [u8], budget: &Budget, external: &mut External<'_>) -> Result<Read<'a>> {
    let mut reference = None;
    let (mut name, mut kind, mut float, mut int, mut string, mut tensor) = (None, None, None, None, None, None);
    let mut value_type = None;
    let (mut floats, mut ints, mut strings) = (Vec::new(), Vec::new(), Vec::new());
    // A bit set of the types for which the message has a field.
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
            21 => {
                once(&mut reference, &field, field.text(budget)?)?;
                continue;
            }
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
            14 => {
                once(&mut value_type, &field, TypeProto::parse(field.block()?, budget)?)?;
                13
            }
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
    if let Some(other) = reference.filter(|other| !other.is_empty()) {
        return match present {
            0 => Ok(Read::Reference(name.to_owned(), other)),
            _ => Err(Error::invalid_model(format!("attribute `{name}` has a value and refers to another"))),
        };
    }
    let fault = |what: &str| Error::invalid_model(format!("attribute `{name}` {what}"));
    // Old files omit the type; new ones may omit a value that is zero or empty.
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
            Attribute::Tensor(tensor::read(&proto, external).context(place)?.into())
        }
        FLOATS => Attribute::Floats(floats),
        INTS => Attribute::Ints(ints),
        STRINGS => Attribute::Strings(strings),
        GRAPH => Attribute::Other("a graph"),
        9 => Attribute::Other("a list of tensors"),
        10 => Attribute::Other("a list of graphs"),
        11 => Attribute::Other("a sparse tensor"),
        12 => Attribute::Other("a list of sparse tensors"),
        13 => {
            let TypeProto { kind, elem_type, .. } = value_type.ok_or_else(|| fault("has no type"))?;
            match kind {
                KindProto::Tensor => Attribute::Type(tensor::dtype(elem_type.unwrap_or_default())?, false),
                KindProto::Sequence => Attribute::Type(tensor::dtype(elem_type.unwrap_or_default())?, true),
                _ => Attribute::Other("a type of neither tensors nor sequences of them"),
            }
        }
        _ => Attribute::Other("a list of types"),
    };
    Ok(Read::Value(name.to_owned(), value))
}
