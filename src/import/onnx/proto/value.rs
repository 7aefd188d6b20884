//! `ValueInfoProto`: the declared type and shape of a value.

use smallvec::SmallVec;

use crate::{
    error::{Error, Result},
    import::onnx::{
        budget::Budget,
        proto::MAX_RANK,
        wire::{Message, once},
    },
};

/// A declared dimension.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum DimProto<'a> {
    Fixed(i64),
    Named(&'a str),
    Unknown,
}

/// What a value is declared as.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) enum KindProto {
    /// Nothing, or a tensor.
    #[default]
    Tensor,
    Sequence,
    Optional,
    OptionalSequence,
    /// A map from keys of this type to scalars.
    Map(i32),
    /// Something else, by its name.
    Other(&'static str),
}

/// A declared type (`TypeProto`): that of a tensor, or of the tensors within.
#[derive(Clone, Debug, Default)]
pub(crate) struct TypeProto<'a> {
    pub(crate) kind: KindProto,
    pub(crate) elem_type: Option<i32>,
    /// The dimensions, if declared.
    pub(crate) dims: Option<SmallVec<[DimProto<'a>; 6]>>,
}

/// The declared type and shape of a value (`ValueInfoProto`).
#[derive(Debug, Default)]
pub(crate) struct ValueInfoProto<'a> {
    name: Option<&'a str>,
    /// The element type of a tensor, or of the tensors within.
    pub(crate) elem_type: Option<i32>,
    /// The dimensions of a tensor, if declared.
    pub(crate) dims: Option<SmallVec<[DimProto<'a>; 6]>>,
    pub(crate) kind: KindProto,
}

impl<'a> ValueInfoProto<'a> {
    pub(crate) fn parse(bytes: &'a [u8], budget: &Budget) -> Result<Self> {
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
            let TypeProto { kind, elem_type, dims } = TypeProto::parse(kind, budget)?;
            (this.kind, this.elem_type, this.dims) = (kind, elem_type, dims);
        }
        Ok(this)
    }

    pub(crate) fn name(&self) -> &'a str {
        self.name.unwrap_or_default()
    }
}

impl<'a> TypeProto<'a> {
    pub(crate) fn parse(bytes: &'a [u8], budget: &Budget) -> Result<Self> {
        // An optional value of a sequence of tensors is the deepest type.
        Self::parse_within(bytes, budget, 2)
    }

    fn parse_within(bytes: &'a [u8], budget: &Budget, left: usize) -> Result<Self> {
        let mut found = None;
        let mut message = Message::open("TypeProto", bytes, budget)?;
        while let Some(field) = message.next()? {
            let own = match field.number {
                1 => Self::tensor(field.block()?, budget)?,
                4 | 9 if left > 0 => {
                    let inner = Self::element(field.block()?, budget, left - 1)?;
                    let kind = match (field.number, inner.kind) {
                        (4, KindProto::Tensor) => KindProto::Sequence,
                        (9, KindProto::Tensor) => KindProto::Optional,
                        (9, KindProto::Sequence) => KindProto::OptionalSequence,
                        _ => KindProto::Other("a sequence or optional value of other values than tensors"),
                    };
                    Self { kind, ..inner }
                }
                6 => continue,
                4 => Self::other("a sequence of sequences"),
                5 => Self::map(field.block()?, budget)?,
                7 => Self::other("an opaque value"),
                8 => Self::other("a sparse tensor"),
                9 => Self::other("an optional value of such"),
                _ => return Err(field.unknown()),
            };
            if found.replace(own).is_some() {
                return Err(Error::invalid_model("a value is declared with two types"));
            }
        }
        Ok(found.unwrap_or_default())
    }

    fn other(name: &'static str) -> Self {
        Self { kind: KindProto::Other(name), ..Self::default() }
    }

    /// The type in a `TypeProto.Sequence` or `TypeProto.Optional`.
    fn element(bytes: &'a [u8], budget: &Budget, left: usize) -> Result<Self> {
        let mut inner = None;
        let mut message = Message::open("TypeProto.Sequence", bytes, budget)?;
        while let Some(field) = message.next()? {
            match field.number {
                1 => once(&mut inner, &field, field.block()?)?,
                _ => return Err(field.unknown()),
            }
        }
        inner.map_or_else(|| Ok(Self::default()), |inner| Self::parse_within(inner, budget, left))
    }

    /// The type in a `TypeProto.Map`.
    fn map(bytes: &'a [u8], budget: &Budget) -> Result<Self> {
        let (mut key, mut value) = (None, None);
        let mut message = Message::open("TypeProto.Map", bytes, budget)?;
        while let Some(field) = message.next()? {
            match field.number {
                1 => once(&mut key, &field, field.int32()?)?,
                2 => once(&mut value, &field, field.block()?)?,
                _ => return Err(field.unknown()),
            }
        }
        let value = value.map(|value| Self::parse_within(value, budget, 0)).transpose()?;
        Ok(match (key, value) {
            (Some(key), Some(value)) if value.kind == KindProto::Tensor => {
                Self { kind: KindProto::Map(key), elem_type: value.elem_type, dims: None }
            }
            _ => Self::other("a map to other values than tensors"),
        })
    }

    fn tensor(bytes: &'a [u8], budget: &Budget) -> Result<Self> {
        let mut this = Self::default();
        let mut shape = None;
        let mut message = Message::open("TypeProto.Tensor", bytes, budget)?;
        while let Some(field) = message.next()? {
            match field.number {
                1 => once(&mut this.elem_type, &field, field.int32()?)?,
                2 => once(&mut shape, &field, field.block()?)?,
                _ => return Err(field.unknown()),
            }
        }
        let Some(shape) = shape else { return Ok(this) };
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
        this.dims = Some(dims);
        Ok(this)
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
    let known = |dim: &DimProto<'_>| match dim {
        // Older exporters write -1 for a size that is not known.
        DimProto::Fixed(size) => *size != -1,
        DimProto::Named(name) => is_name(name),
        DimProto::Unknown => false,
    };
    Ok(dim.filter(known).unwrap_or(DimProto::Unknown))
}

/// Whether a dimension's name is that of a size, rather than a mark that every unknown size has.
fn is_name(name: &str) -> bool {
    name.contains(|c: char| c.is_alphabetic() || c == '_') && !name.eq_ignore_ascii_case("none")
}
