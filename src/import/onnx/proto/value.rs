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

/// The declared type and shape of a value (`ValueInfoProto`).
#[derive(Debug, Default)]
pub(crate) struct ValueInfoProto<'a> {
    name: Option<&'a str>,
    /// The element type of a tensor.
    pub(crate) elem_type: Option<i32>,
    /// The dimensions of a tensor, if declared.
    pub(crate) dims: Option<SmallVec<[DimProto<'a>; 6]>>,
    /// The kind of a value that is not a tensor.
    pub(crate) other: Option<&'static str>,
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
            this.read_type(kind, budget)?;
        }
        Ok(this)
    }

    pub(crate) fn name(&self) -> &'a str {
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
