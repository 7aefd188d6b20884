//! `TensorProto`: a tensor.

use smallvec::SmallVec;

use crate::{
    error::{Error, Result},
    import::onnx::{
        budget::Budget,
        proto::MAX_RANK,
        wire::{Message, Scalar, once},
    },
};

/// The field that holds strings.
const STRINGS: u32 = 6;

/// A tensor (`TensorProto`); its typed data are not parsed.
#[derive(Debug, Default)]
pub(crate) struct TensorProto<'a> {
    name: Option<&'a str>,
    pub(crate) dims: SmallVec<[i64; 6]>,
    pub(crate) data_type: i32,
    pub(crate) raw: Option<&'a [u8]>,
    /// The number of the field with typed data, if any.
    pub(crate) typed: Option<u32>,
    pub(crate) location: Option<i64>,
    /// Keys and values that locate external data.
    pub(crate) external: SmallVec<[(&'a str, &'a str); 3]>,
    message: &'a [u8],
}

impl<'a> TensorProto<'a> {
    pub(crate) fn parse(bytes: &'a [u8], budget: &Budget) -> Result<Self> {
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
                    if number == STRINGS {
                        budget.item()?;
                        budget.bytes(field.block()?.len())?;
                    }
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

    /// Calls `each` with each text in the field `number`.
    pub(crate) fn texts(&self, number: u32, mut each: impl FnMut(&'a str)) -> Result<()> {
        let unlimited = Budget::unlimited();
        let mut message = Message::open("TensorProto", self.message, &unlimited)?;
        while let Some(field) = message.next()? {
            if field.number == number {
                each(field.text(&unlimited)?);
            }
        }
        Ok(())
    }

    pub(crate) fn name(&self) -> &'a str {
        self.name.unwrap_or_default()
    }

    /// Calls `each` with the bits of each number in the field `number`.
    pub(crate) fn numbers(&self, number: u32, scalar: Scalar, mut each: impl FnMut(u64) -> Result<()>) -> Result<()> {
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

/// Parses a key and its value (`StringStringEntryProto`).
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
