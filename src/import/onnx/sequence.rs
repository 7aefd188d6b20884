//! Sequences and optional values, in the formats of ONNX's test data.

use crate::{
    error::{Error, Result},
    import::{
        onnx::{
            budget::Budget,
            read_tensor,
            wire::{Message, once},
        },
        options::ImportOptions,
    },
    tensor::Value,
};

/// Reads a `SequenceProto` of tensors, and its name.
pub(super) fn read(bytes: &[u8]) -> Result<(String, Value)> {
    let budget = Budget::new(&ImportOptions::default());
    let (mut name, mut kind, mut values) = (None, None, Vec::new());
    let mut message = Message::open("SequenceProto", bytes, &budget)?;
    while let Some(field) = message.next()? {
        match field.number {
            1 => once(&mut name, &field, field.text(&budget)?)?,
            2 => once(&mut kind, &field, field.int()?)?,
            3 => {
                budget.item()?;
                values.push(Value::Tensor(read_tensor(field.block()?)?.1));
            }
            _ => return Err(Error::unsupported("a sequence of other values than tensors")),
        }
    }
    Ok((name.unwrap_or_default().to_owned(), Value::Sequence(values)))
}

/// Reads an `OptionalProto` of a tensor or a sequence of them, and its name.
pub(super) fn read_optional(bytes: &[u8]) -> Result<(String, Value)> {
    let budget = Budget::new(&ImportOptions::default());
    let (mut name, mut kind, mut value) = (None, None, None);
    let mut message = Message::open("OptionalProto", bytes, &budget)?;
    while let Some(field) = message.next()? {
        let own = match field.number {
            1 => {
                once(&mut name, &field, field.text(&budget)?)?;
                continue;
            }
            2 => {
                once(&mut kind, &field, field.int()?)?;
                continue;
            }
            3 => Value::Tensor(read_tensor(field.block()?)?.1),
            5 => read(field.block()?)?.1,
            _ => return Err(Error::unsupported("an optional value of neither a tensor nor a sequence of them")),
        };
        once(&mut value, &field, own)?;
    }
    Ok((name.unwrap_or_default().to_owned(), Value::Optional(value.map(Box::new))))
}
