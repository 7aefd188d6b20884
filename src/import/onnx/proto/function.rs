//! `FunctionProto`: a function of the file.

use crate::{
    error::{Error, Result},
    import::onnx::{
        budget::Budget,
        proto::{
            GraphProto, default_domain,
            model::{MAX_OPSETS, opset},
        },
        wire::{Message, once},
    },
};

/// A function (`FunctionProto`); its nodes and attributes are not parsed.
#[derive(Debug, Default)]
pub(crate) struct FunctionProto<'a> {
    name: Option<&'a str>,
    domain: Option<&'a str>,
    overload: Option<&'a str>,
    pub(crate) inputs: Vec<&'a str>,
    pub(crate) outputs: Vec<&'a str>,
    /// The names of attributes without a default.
    pub(crate) attributes: Vec<&'a str>,
    /// The attributes with their defaults.
    pub(crate) defaults: Vec<&'a [u8]>,
    pub(crate) opsets: Vec<(&'a str, i64)>,
    /// The nodes, as a graph.
    pub(crate) body: GraphProto<'a>,
}

/// The name by which nodes call a function: domain, operator, overload.
pub(crate) type FunctionKey<'a> = (&'a str, &'a str, &'a str);

impl<'a> FunctionProto<'a> {
    pub(crate) fn parse(bytes: &'a [u8], budget: &Budget) -> Result<Self> {
        let mut this = Self::default();
        let mut message = Message::open("FunctionProto", bytes, budget)?;
        while let Some(field) = message.next()? {
            let names = match field.number {
                4 => &mut this.inputs,
                5 => &mut this.outputs,
                6 => &mut this.attributes,
                number => {
                    match number {
                        1 => once(&mut this.name, &field, field.text(budget)?)?,
                        7 => {
                            budget.item()?;
                            this.body.nodes.push(field.block()?);
                        }
                        9 => {
                            this.opsets.push(opset(field.block()?, budget)?);
                            if this.opsets.len() > MAX_OPSETS {
                                let what = format!("a function names more than {MAX_OPSETS} operator sets");
                                return Err(Error::limit(what));
                            }
                        }
                        10 => once(&mut this.domain, &field, field.text(budget)?)?,
                        11 => {
                            budget.item()?;
                            this.defaults.push(field.block()?);
                        }
                        13 => once(&mut this.overload, &field, field.text(budget)?)?,
                        // Documentation, types of inner values (inferred instead), metadata.
                        8 | 12 | 14 => {}
                        _ => return Err(field.unknown()),
                    }
                    continue;
                }
            };
            budget.item()?;
            names.push(field.text(budget)?);
        }
        Ok(this)
    }

    pub(crate) fn key(&self) -> FunctionKey<'a> {
        let domain = default_domain(self.domain.unwrap_or_default());
        (domain, self.name.unwrap_or_default(), self.overload.unwrap_or_default())
    }
}
