//! `NodeProto`: one node.

use smallvec::SmallVec;

use crate::{
    error::{Error, Result},
    import::onnx::{
        budget::Budget,
        proto::{FunctionKey, model::default_domain},
        wire::{Message, once},
    },
};

/// A node (`NodeProto`); its attributes are not parsed.
#[derive(Debug, Default)]
pub(crate) struct NodeProto<'a> {
    name: Option<&'a str>,
    op_type: Option<&'a str>,
    domain: Option<&'a str>,
    overload: Option<&'a str>,
    pub(crate) inputs: SmallVec<[&'a str; 8]>,
    pub(crate) outputs: SmallVec<[&'a str; 4]>,
    /// The number of outputs that the file lists, unnamed ones at the end included.
    pub(crate) listed: usize,
    pub(crate) attributes: SmallVec<[&'a [u8]; 8]>,
}

impl<'a> NodeProto<'a> {
    pub(crate) fn parse(bytes: &'a [u8], budget: &Budget) -> Result<Self> {
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
                // Documentation, metadata, device hints.
                6 | 9 | 10 => {}
                _ => return Err(field.unknown()),
            }
        }
        if this.op_type().is_empty() {
            return Err(Error::invalid_model(format!("node `{}` names no operator", this.name())));
        }
        this.listed = this.outputs.len();
        // Trailing outputs without a name are unused.
        while this.outputs.last().is_some_and(|name| name.is_empty()) {
            this.outputs.pop();
        }
        Ok(this)
    }

    /// The name of the node, or else of its first named output.
    pub(crate) fn name(&self) -> &'a str {
        self.name
            .filter(|name| !name.is_empty())
            .or_else(|| self.outputs.iter().copied().find(|name| !name.is_empty()))
            .unwrap_or_default()
    }

    pub(crate) fn op_type(&self) -> &'a str {
        self.op_type.unwrap_or_default()
    }

    /// The domain; empty for the default domain.
    pub(crate) fn domain(&self) -> &'a str {
        default_domain(self.domain.unwrap_or_default())
    }

    /// The name of the function that the node calls, if it calls one.
    pub(crate) fn function(&self) -> FunctionKey<'a> {
        (self.domain(), self.op_type(), self.overload.unwrap_or_default())
    }

    /// The node in error messages.
    pub(crate) fn describe(&self) -> String {
        format!("node `{}` ({})", self.name(), self.op_type())
    }
}
