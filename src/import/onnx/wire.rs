//! The wire format of protocol buffers, read in place.
//!
//! Nothing is copied, nothing recurses, and no number in the file decides an allocation.

use crate::{
    error::{Error, Result},
    import::onnx::budget::Budget,
};

/// The maximum length of a name or text in bytes.
const MAX_TEXT: usize = 1 << 16;

/// The value of a field, by wire type.
#[derive(Clone, Copy, Debug)]
pub(super) enum Wire<'a> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'a [u8]),
    Fixed32(u32),
}

/// A field of a message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Field<'a> {
    pub(super) number: u32,
    pub(super) wire: Wire<'a>,
    /// The message's type, for errors.
    of: &'static str,
}

impl<'a> Field<'a> {
    fn wrong(&self, expected: &str) -> Error {
        let found = match self.wire {
            Wire::Varint(_) => "a variable-length integer",
            Wire::Fixed64(_) => "eight bytes",
            Wire::Bytes(_) => "a block of bytes",
            Wire::Fixed32(_) => "four bytes",
        };
        Error::invalid_model(format!("field {} of {} is {found}, expected {expected}", self.number, self.of))
    }

    /// The error for a field that the reader does not know in its message.
    pub(super) fn unknown(&self) -> Error {
        Error::unsupported(format!("{} has a field {}, which is not known here", self.of, self.number))
    }

    pub(super) fn int(&self) -> Result<i64> {
        match self.wire {
            // Negative numbers are encoded as their 64-bit pattern.
            Wire::Varint(value) => Ok(value.cast_signed()),
            _ => Err(self.wrong("an integer")),
        }
    }

    pub(super) fn int32(&self) -> Result<i32> {
        i32::try_from(self.int()?).map_err(|_| self.wrong("a 32-bit integer"))
    }

    pub(super) fn float(&self) -> Result<f32> {
        match self.wire {
            Wire::Fixed32(bits) => Ok(f32::from_bits(bits)),
            _ => Err(self.wrong("a 32-bit number")),
        }
    }

    /// The value as a block of bytes, not charged to the budget.
    pub(super) fn block(&self) -> Result<&'a [u8]> {
        match self.wire {
            Wire::Bytes(bytes) => Ok(bytes),
            _ => Err(self.wrong("a block of bytes")),
        }
    }

    /// The value as text, charged to the budget.
    pub(super) fn text(&self, budget: &Budget) -> Result<&'a str> {
        let bytes = self.block()?;
        budget.bytes(bytes.len())?;
        if bytes.len() > MAX_TEXT {
            return Err(Error::limit(format!("a text in {} is longer than {MAX_TEXT} bytes", self.of)));
        }
        std::str::from_utf8(bytes)
            .map_err(|_| Error::invalid_model(format!("field {} of {} is not UTF-8", self.number, self.of)))
    }

    /// Calls `each` with the bits of each number in a repeated field, packed or not.
    pub(super) fn scalars(&self, scalar: Scalar, mut each: impl FnMut(u64) -> Result<()>) -> Result<()> {
        match (self.wire, scalar) {
            (Wire::Varint(value), Scalar::Varint) | (Wire::Fixed64(value), Scalar::Fixed64) => each(value),
            (Wire::Fixed32(value), Scalar::Fixed32) => each(u64::from(value)),
            (Wire::Bytes(mut packed), _) => {
                while !packed.is_empty() {
                    each(match scalar {
                        Scalar::Varint => varint(&mut packed, self.of)?,
                        Scalar::Fixed32 => u64::from(u32::from_le_bytes(array(&mut packed, self.of)?)),
                        Scalar::Fixed64 => u64::from_le_bytes(array(&mut packed, self.of)?),
                    })?;
                }
                Ok(())
            }
            _ => Err(self.wrong("numbers of another width")),
        }
    }
}

/// The encoding of the numbers in a repeated field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scalar {
    Varint,
    Fixed32,
    Fixed64,
}

/// A message, read field by field.
#[derive(Debug)]
pub(super) struct Message<'a, 'b> {
    rest: &'a [u8],
    of: &'static str,
    pub(super) budget: &'b Budget,
}

impl<'a, 'b> Message<'a, 'b> {
    /// Starts reading a message of the type `of`, charged to the budget.
    pub(super) fn open(of: &'static str, bytes: &'a [u8], budget: &'b Budget) -> Result<Self> {
        budget.item()?;
        Ok(Self { rest: bytes, of, budget })
    }

    /// Reads the next field; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<Field<'a>>> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let before = self.rest.len();
        let tag = varint(&mut self.rest, self.of)?;
        let number = u32::try_from(tag >> 3).ok().filter(|number| (1..1 << 29).contains(number));
        let number =
            number.ok_or_else(|| Error::invalid_model(format!("{} has a field of an impossible number", self.of)))?;
        let wire = match tag & 7 {
            0 => Wire::Varint(varint(&mut self.rest, self.of)?),
            1 => Wire::Fixed64(u64::from_le_bytes(array(&mut self.rest, self.of)?)),
            2 => {
                let len = varint(&mut self.rest, self.of)?;
                let len = usize::try_from(len).ok().filter(|&len| len <= self.rest.len());
                let (block, rest) = self.rest.split_at(len.ok_or_else(|| truncated(self.of))?);
                self.rest = rest;
                self.budget.bytes(before - rest.len() - block.len())?;
                return Ok(Some(Field { number, wire: Wire::Bytes(block), of: self.of }));
            }
            5 => Wire::Fixed32(u32::from_le_bytes(array(&mut self.rest, self.of)?)),
            kind => {
                let what = format!("field {number} of {} has the wire type {kind}, which is not in use", self.of);
                return Err(Error::invalid_model(what));
            }
        };
        self.budget.bytes(before - self.rest.len())?;
        Ok(Some(Field { number, wire, of: self.of }))
    }
}

/// Sets `slot` to the value of a field that may occur once.
pub(super) fn once<T>(slot: &mut Option<T>, field: &Field<'_>, value: T) -> Result<()> {
    if slot.replace(value).is_some() {
        return Err(Error::invalid_model(format!("{} holds its field {} twice", field.of, field.number)));
    }
    Ok(())
}

fn truncated(of: &str) -> Error {
    Error::invalid_model(format!("{of} is cut short"))
}

fn array<const N: usize>(rest: &mut &[u8], of: &str) -> Result<[u8; N]> {
    let (head, tail) = rest.split_first_chunk::<N>().ok_or_else(|| truncated(of))?;
    *rest = tail;
    Ok(*head)
}

fn varint(rest: &mut &[u8], of: &str) -> Result<u64> {
    let mut value = 0u64;
    for (index, &byte) in rest.iter().enumerate() {
        // The tenth byte has one bit left.
        if index == 9 && byte > 1 {
            return Err(Error::invalid_model(format!("{of} holds an integer of more than 64 bits")));
        }
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte < 0x80 {
            *rest = &rest[index + 1..];
            return Ok(value);
        }
    }
    Err(truncated(of))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(bytes: &[u8]) -> Result<Option<Field<'_>>> {
        Message::open("M", bytes, &Budget::unlimited())?.next()
    }

    #[test]
    fn integers_of_every_length() {
        for shift in 0..64 {
            for value in [1u64 << shift, (1u64 << shift).wrapping_sub(1), u64::MAX >> shift] {
                let (mut bytes, mut rest) = (vec![8u8], value);
                while rest >= 0x80 {
                    bytes.push(rest as u8 | 0x80);
                    rest >>= 7;
                }
                bytes.push(rest as u8);
                assert_eq!(first(&bytes).unwrap().unwrap().int().unwrap(), value.cast_signed());
            }
        }
        assert!(first(&[8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2]).is_err());
        assert!(first(&[8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x81, 0]).is_err());
    }

    #[test]
    fn a_length_past_the_end_is_refused() {
        assert!(first(&[10, 1]).is_err());
        assert!(first(&[10, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]).is_err());
        assert_eq!(first(&[10, 1, 7]).unwrap().unwrap().block().unwrap(), [7]);
    }

    #[test]
    fn groups_and_field_zero_are_refused() {
        for tag in [3u8, 11, 12, 14, 15, 0, 2] {
            assert!(first(&[tag, 0]).is_err(), "tag {tag}");
        }
    }

    #[test]
    fn packed_and_single_numbers_are_the_same() {
        for bytes in [&[8u8, 1, 8, 0x80, 1][..], &[10, 3, 1, 0x80, 1]] {
            let budget = Budget::unlimited();
            let (mut message, mut got) = (Message::open("M", bytes, &budget).unwrap(), Vec::new());
            while let Some(field) = message.next().unwrap() {
                field
                    .scalars(Scalar::Varint, |value| {
                        got.push(value);
                        Ok(())
                    })
                    .unwrap();
            }
            assert_eq!(got, [1, 128]);
        }
    }

    #[test]
    fn budgets_run_out() {
        let budget = Budget::of(2, 5);
        Message::open("M", &[], &budget).unwrap();
        let mut message = Message::open("M", &[8, 1, 8, 1, 8, 1], &budget).unwrap();
        assert!(Message::open("M", &[], &budget).is_err());
        assert!(message.next().is_ok() && message.next().is_ok() && message.next().is_err());
    }
}
