//! The machine that runs a pickle, as far as dictionaries of tensors need it.
//!
//! Source: CPython's `pickletools`, which describes each code.

mod calls;

use std::collections::HashMap;

use crate::{
    error::{Error, Result},
    import::weight_file::checkpoint::values::{Function, Pickled, Value},
};

/// The most values that a pickle may make or move.
const MOST: usize = 1 << 20;

/// Runs the pickle at the beginning of `bytes`; also returns its length.
pub(super) fn run(bytes: &[u8]) -> Result<(Pickled, usize)> {
    let mut machine = Machine {
        bytes,
        place: 0,
        values: Vec::new(),
        stack: Vec::new(),
        marks: Vec::new(),
        memory: HashMap::new(),
        left: MOST,
    };
    let root = machine.run()?;
    Ok((Pickled { values: machine.values, root }, machine.place))
}

struct Machine<'a> {
    bytes: &'a [u8],
    place: usize,
    values: Vec<Value>,
    stack: Vec<usize>,
    /// The lengths of the stack at which rows begin.
    marks: Vec<usize>,
    /// Values that the pickle comes back to.
    memory: HashMap<u64, usize>,
    /// How many more values may be made or moved.
    left: usize,
}

impl Machine<'_> {
    fn run(&mut self) -> Result<usize> {
        loop {
            match self.take(1)?[0] {
                // The version; the length of a part.
                0x80 => drop(self.take(1)?),
                0x95 => drop(self.take(8)?),
                b'.' => return self.pop(),
                b'(' => {
                    self.spend(1)?;
                    self.marks.push(self.stack.len());
                }
                b'N' => self.push(Value::Other)?,
                b'G' => {
                    self.take(8)?;
                    self.push(Value::Other)?;
                }
                0x8b => {
                    let len = self.unsigned(4)? as usize;
                    self.take(len)?;
                    self.push(Value::Other)?;
                }
                0x88 => self.push(Value::Flag(true))?,
                0x89 => self.push(Value::Flag(false))?,
                b'K' => self.number(1)?,
                b'M' => self.number(2)?,
                b'J' => {
                    let number = i32::from_le_bytes(self.array()?);
                    self.push(Value::Number(number.into()))?;
                }
                0x8a => self.long_number()?,
                b'X' => self.text(4)?,
                0x8c | b'U' => self.text(1)?,
                0x8d => self.text(8)?,
                b'T' => self.text(4)?,
                b'c' => {
                    let (module, name) = (self.line()?, self.line()?);
                    self.push(Value::Function(Function::named(&module, &name)?))?;
                }
                0x93 => self.function_of_stack()?,
                b'q' => self.remember(1)?,
                b'r' => self.remember(4)?,
                0x94 => {
                    let (number, top) = (self.memory.len() as u64, self.top()?);
                    self.keep(number, top)?;
                }
                b'h' => self.recall(1)?,
                b'j' => self.recall(4)?,
                b')' | b']' => self.push(Value::Row(Vec::new()))?,
                b'}' => self.push(Value::Dictionary(Vec::new()))?,
                0x85 => self.row_of(1)?,
                0x86 => self.row_of(2)?,
                0x87 => self.row_of(3)?,
                b't' | b'l' => {
                    let row = self.marked()?;
                    self.push(Value::Row(row))?;
                }
                b'a' => {
                    let item = self.pop()?;
                    self.append(&[item])?;
                }
                b'e' => {
                    let items = self.marked()?;
                    self.append(&items)?;
                }
                b's' => {
                    let [value, name] = [self.pop()?, self.pop()?];
                    self.set(&[name, value])?;
                }
                b'u' => {
                    let items = self.marked()?;
                    self.set(&items)?;
                }
                // The attributes of an object: those of a dictionary are the versions of its modules.
                b'b' => drop(self.pop()?),
                b'Q' => self.storage()?,
                b'R' => self.call()?,
                code => return Err(unknown(&format!("the code {code:#04x}"))),
            }
        }
    }

    fn take(&mut self, count: usize) -> Result<&[u8]> {
        let end = self.place.checked_add(count).filter(|end| *end <= self.bytes.len());
        let end = end.ok_or_else(|| damaged("it is cut off, or longer than `max_header_bytes`"))?;
        let taken = &self.bytes[self.place..end];
        self.place = end;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    /// A number of so many bytes without a sign.
    fn unsigned(&mut self, bytes: usize) -> Result<u64> {
        let mut array = [0; 8];
        array[..bytes].copy_from_slice(self.take(bytes)?);
        Ok(u64::from_le_bytes(array))
    }

    fn line(&mut self) -> Result<String> {
        let rest = &self.bytes[self.place..];
        let len = rest.iter().position(|byte| *byte == b'\n').ok_or_else(|| damaged("a name without an end"))?;
        let line = String::from_utf8_lossy(&self.take(len + 1)?[..len]).into_owned();
        Ok(line)
    }

    /// Counts values against the limit.
    fn spend(&mut self, count: usize) -> Result<()> {
        let too_many = || Error::limit(format!("has a pickle of more than {MOST} values"));
        self.left = self.left.checked_sub(count).ok_or_else(too_many)?;
        Ok(())
    }

    fn push(&mut self, value: Value) -> Result<()> {
        self.spend(1)?;
        self.stack.push(self.values.len());
        self.values.push(value);
        Ok(())
    }

    fn pop(&mut self) -> Result<usize> {
        let bottom = self.marks.last().copied().unwrap_or(0);
        if self.stack.len() <= bottom {
            return Err(damaged("it takes more from the stack than there is"));
        }
        self.stack.pop().ok_or_else(|| Error::internal("an empty stack"))
    }

    fn top(&self) -> Result<usize> {
        self.stack.last().copied().ok_or_else(|| damaged("it looks at an empty stack"))
    }

    /// What stands behind the last mark.
    fn marked(&mut self) -> Result<Vec<usize>> {
        let mark = self.marks.pop().ok_or_else(|| damaged("a row without a beginning"))?;
        self.spend(self.stack.len().saturating_sub(mark))?;
        Ok(self.stack.split_off(mark.min(self.stack.len())))
    }

    /// A number of one or two bytes.
    fn number(&mut self, bytes: usize) -> Result<()> {
        let number = self.unsigned(bytes)?;
        self.push(Value::Number(number as i64))
    }

    fn long_number(&mut self) -> Result<()> {
        let len = self.unsigned(1)? as usize;
        let bytes = self.take(len)?;
        let value = if len > 8 {
            Value::Other
        } else {
            let fill = if bytes.last().is_some_and(|last| last & 0x80 != 0) { 0xff } else { 0 };
            let mut array = [fill; 8];
            array[..len].copy_from_slice(bytes);
            Value::Number(i64::from_le_bytes(array))
        };
        self.push(value)
    }

    /// A text behind its length of so many bytes.
    fn text(&mut self, bytes: usize) -> Result<()> {
        let len = usize::try_from(self.unsigned(bytes)?).map_err(|_| damaged("a text past the address space"))?;
        let text = std::str::from_utf8(self.take(len)?).map_err(|_| damaged("a text that is not UTF-8"))?;
        let text = text.to_owned();
        self.push(Value::Text(text))
    }

    fn function_of_stack(&mut self) -> Result<()> {
        let [name, module] = [self.pop()?, self.pop()?];
        let (Value::Text(module), Value::Text(name)) = (&self.values[module], &self.values[name]) else {
            return Err(damaged("a function whose name is no text"));
        };
        let function = Function::named(module, name)?;
        self.push(Value::Function(function))
    }

    fn remember(&mut self, bytes: usize) -> Result<()> {
        let (number, top) = (self.unsigned(bytes)?, self.top()?);
        self.keep(number, top)
    }

    fn keep(&mut self, number: u64, value: usize) -> Result<()> {
        self.spend(1)?;
        self.memory.insert(number, value);
        Ok(())
    }

    fn recall(&mut self, bytes: usize) -> Result<()> {
        let number = self.unsigned(bytes)?;
        let value = *self.memory.get(&number).ok_or_else(|| damaged("it recalls what it never kept"))?;
        self.spend(1)?;
        self.stack.push(value);
        Ok(())
    }

    fn row_of(&mut self, count: usize) -> Result<()> {
        let mut row = (0..count).map(|_| self.pop()).collect::<Result<Vec<_>>>()?;
        row.reverse();
        self.push(Value::Row(row))
    }

    fn append(&mut self, items: &[usize]) -> Result<()> {
        let list = self.top()?;
        match &mut self.values[list] {
            Value::Row(row) => row.extend_from_slice(items),
            _ => return Err(damaged("it appends to what is no list")),
        }
        Ok(())
    }

    /// Adds names and values in turn to a dictionary.
    fn set(&mut self, items: &[usize]) -> Result<()> {
        let top = self.top()?;
        let (pairs, []) = items.as_chunks::<2>() else { return Err(damaged("a name without a value")) };
        match &mut self.values[top] {
            Value::Dictionary(entries) => entries.extend(pairs.iter().map(|&[name, value]| (name, value))),
            _ => return Err(damaged("it adds a name to what is no dictionary")),
        }
        Ok(())
    }
}

fn damaged(what: &str) -> Error {
    Error::invalid_model(format!("has a damaged pickle: {what}"))
}

fn unknown(what: &str) -> Error {
    Error::unsupported(format!(
        "has a pickle with {what}, which no dictionary of tensors needs; save the model as `model.safetensors`"
    ))
}
