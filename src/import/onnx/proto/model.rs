//! `ModelProto`: a model.

use crate::{
    error::{Error, Result},
    import::onnx::{
        budget::Budget,
        wire::{Message, once},
    },
};

/// The maximum number of operator sets that a file may name.
pub(super) const MAX_OPSETS: usize = 256;

/// A model (`ModelProto`).
#[derive(Debug, Default)]
pub(crate) struct ModelProto<'a> {
    pub(crate) ir_version: Option<i64>,
    /// The name of the tool that made the file.
    pub(crate) producer: Option<&'a [u8]>,
    pub(crate) graph: Option<&'a [u8]>,
    /// The domain and version of each operator set.
    pub(crate) opsets: Vec<(&'a str, i64)>,
    /// The functions, each a serialized `FunctionProto`.
    pub(crate) functions: Vec<&'a [u8]>,
    /// Whether the file has a training part.
    pub(crate) trains: bool,
}

impl<'a> ModelProto<'a> {
    pub(crate) fn parse(bytes: &'a [u8], budget: &Budget) -> Result<Self> {
        let mut this = Self::default();
        let mut message = Message::open("ModelProto", bytes, budget)?;
        while let Some(field) = message.next()? {
            match field.number {
                1 => once(&mut this.ir_version, &field, field.int()?)?,
                2 => once(&mut this.producer, &field, field.block()?)?,
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
                // Versions, documentation, metadata, device hints.
                3..=6 | 14 | 26 => {}
                _ => return Err(field.unknown()),
            }
        }
        Ok(this)
    }
}

pub(super) fn opset<'a>(bytes: &'a [u8], budget: &Budget) -> Result<(&'a str, i64)> {
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

/// The domain with `ai.onnx`, the second name of the default domain, as the empty name.
pub(crate) fn default_domain(domain: &str) -> &str {
    if domain == "ai.onnx" { "" } else { domain }
}
