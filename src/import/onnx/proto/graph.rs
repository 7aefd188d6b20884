//! `GraphProto`: a graph.

use crate::{
    error::Result,
    import::onnx::{
        budget::Budget,
        wire::{Message, once},
    },
};

/// A graph (`GraphProto`); its messages are not parsed.
#[derive(Debug, Default)]
pub(crate) struct GraphProto<'a> {
    pub(crate) name: Option<&'a str>,
    pub(crate) nodes: Vec<&'a [u8]>,
    pub(crate) initializers: Vec<&'a [u8]>,
    pub(crate) has_sparse: bool,
    pub(crate) inputs: Vec<&'a [u8]>,
    pub(crate) outputs: Vec<&'a [u8]>,
}

impl<'a> GraphProto<'a> {
    pub(crate) fn parse(bytes: &'a [u8], budget: &Budget) -> Result<Self> {
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
                // Documentation, types of inner values (inferred instead), quantization notes,
                // metadata.
                10 | 13 | 14 | 16 => continue,
                _ => return Err(field.unknown()),
            };
            budget.item()?;
            list.push(field.block()?);
        }
        Ok(this)
    }
}
