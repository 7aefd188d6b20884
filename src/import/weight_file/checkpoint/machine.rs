//! The machine that runs a pickle, as far as dictionaries of tensors need it.
//!
//! Source: CPython's `pickletools`, which describes each code.

use std::collections::HashMap;

use crate::{
    error::{Error, Result},
    tensor::DType,
};

/// The most values that a pickle may make or move.
const MOST: usize = 1 << 22;
/// The most dimensions of a tensor.
const MOST_DIMENSIONS: usize = 64;

/// A value that a pickle made; values name others by their numbers.
#[derive(Debug)]
pub(super) enum Value {
    /// `None`, a number that is not needed, ...
    Other,
    Flag(bool),
    Number(i64),
    Text(String),
    /// A tuple or a list.
    Row(Vec<usize>),
    Dictionary(Vec<(usize, usize)>),
    Function(Function),
    /// The numbers of tensors, by a key.
    Storage {
        key: usize,
        dtype: DType,
        /// How many numbers there are.
        count: u64,
    },
    Tensor {
        storage: usize,
        /// The first of the storage's numbers that is the tensor's.
        first: u64,
        shape: Vec<u64>,
        strides: Vec<u64>,
    },
}

/// A function of Python that a pickle names, of those that are known.
#[derive(Clone, Copy, Debug)]
pub(super) enum Function {
    /// `collections.OrderedDict`
    Dictionary,
    /// `torch._utils._rebuild_tensor` and `_rebuild_tensor_v2`
    Tensor,
    /// `torch._utils._rebuild_parameter`
    Parameter,
    /// `torch.FloatStorage` and its like
    Storage(DType),
}

impl Function {
    fn named(module: &str, name: &str) -> Result<Self> {
        Ok(match (module, name) {
            ("collections", "OrderedDict") => Self::Dictionary,
            ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2") => Self::Tensor,
            ("torch._utils", "_rebuild_parameter") => Self::Parameter,
            ("torch", "DoubleStorage") => Self::Storage(DType::F64),
            ("torch", "FloatStorage") => Self::Storage(DType::F32),
            ("torch", "HalfStorage") => Self::Storage(DType::F16),
            ("torch", "BFloat16Storage") => Self::Storage(DType::BF16),
            ("torch", "LongStorage") => Self::Storage(DType::I64),
            ("torch", "IntStorage") => Self::Storage(DType::I32),
            ("torch", "ShortStorage") => Self::Storage(DType::I16),
            ("torch", "CharStorage") => Self::Storage(DType::I8),
            ("torch", "ByteStorage") => Self::Storage(DType::U8),
            ("torch", "BoolStorage") => Self::Storage(DType::Bool),
            _ => {
                return Err(Error::unsupported(format!(
                    "is more than a dictionary of tensors: its pickle calls `{module}.{name}`; save the model as \
                     `model.safetensors`"
                )));
            }
        })
    }
}

/// What a pickle made.
#[derive(Debug)]
pub(super) struct Pickled {
    pub(super) values: Vec<Value>,
    /// The number of the whole.
    pub(super) root: usize,
}

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
                b'(' => self.marks.push(self.stack.len()),
                b'N' | b'G' | 0x8b => self.other()?,
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
                    let [name, value] = [self.pop()?, self.pop()?];
                    self.set(&[value, name])?;
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

    /// A value that nothing here reads.
    fn other(&mut self) -> Result<()> {
        match self.bytes[self.place - 1] {
            b'G' => drop(self.take(8)?),
            0x8b => {
                let len = self.unsigned(4)? as usize;
                self.take(len)?;
            }
            _ => {}
        }
        self.push(Value::Other)
    }

    fn number(&mut self, bytes: usize) -> Result<()> {
        let number = self.unsigned(bytes)?;
        self.push(i64::try_from(number).map_or(Value::Other, Value::Number))
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

    /// A storage, from its description.
    fn storage(&mut self) -> Result<()> {
        let wrong = || damaged("a storage whose description is not understood");
        let row = self.pop()?;
        let Value::Row(row) = &self.values[row] else { return Err(wrong()) };
        // Of the older form a sixth is a view of another storage, which it has not in these files.
        let (&[kind, function, key, _, count], rest) = row.split_first_chunk::<5>().ok_or_else(wrong)?;
        match (&self.values[kind], &self.values[function], &self.values[count]) {
            (Value::Text(kind), Value::Function(Function::Storage(dtype)), Value::Number(count))
                if kind == "storage" =>
            {
                if rest.iter().any(|rest| !matches!(self.values[*rest], Value::Other)) {
                    return Err(unknown("a storage that is a view of another"));
                }
                let (dtype, count) = (*dtype, u64::try_from(*count).map_err(|_| wrong())?);
                self.push(Value::Storage { key, dtype, count })
            }
            _ => Err(wrong()),
        }
    }

    /// The result of a function.
    fn call(&mut self) -> Result<()> {
        let [operands, function] = [self.pop()?, self.pop()?];
        let (Value::Row(operands), Value::Function(function)) = (&self.values[operands], &self.values[function]) else {
            return Err(damaged("it calls what is no function"));
        };
        match (*function, operands.as_slice()) {
            (Function::Dictionary, []) => self.push(Value::Dictionary(Vec::new())),
            (Function::Dictionary, &[pairs]) => {
                let entries = self.pairs(pairs)?;
                self.spend(entries.len())?;
                self.push(Value::Dictionary(entries))
            }
            (Function::Tensor, &[storage, first, shape, strides, ..]) => {
                let Value::Number(first) = self.values[first] else {
                    return Err(damaged("a tensor whose first number is none"));
                };
                let first = u64::try_from(first).map_err(|_| damaged("a tensor that begins before its storage"))?;
                let value = Value::Tensor { storage, first, shape: self.sizes(shape)?, strides: self.sizes(strides)? };
                self.push(value)
            }
            (Function::Parameter, &[tensor, ..]) => {
                self.spend(1)?;
                self.stack.push(tensor);
                Ok(())
            }
            (function, _) => Err(damaged(&format!("it calls {function:?} with other operands"))),
        }
    }

    /// The names and values of a list of pairs.
    fn pairs(&self, list: usize) -> Result<Vec<(usize, usize)>> {
        let wrong = || damaged("a dictionary of what are no pairs");
        let Value::Row(rows) = &self.values[list] else { return Err(wrong()) };
        // No more are made than may be spent.
        rows.iter()
            .take(self.left.saturating_add(1))
            .map(|row| match &self.values[*row] {
                Value::Row(pair) => <[usize; 2]>::try_from(pair.as_slice()).map(|[a, b]| (a, b)).map_err(|_| wrong()),
                _ => Err(wrong()),
            })
            .collect()
    }

    fn sizes(&self, row: usize) -> Result<Vec<u64>> {
        let wrong = || damaged("a tensor whose sizes are no numbers");
        let Value::Row(row) = &self.values[row] else { return Err(wrong()) };
        if row.len() > MOST_DIMENSIONS {
            return Err(Error::limit(format!("has a tensor of {} dimensions", row.len())));
        }
        let size = |item: &usize| match self.values[*item] {
            Value::Number(size) => u64::try_from(size).map_err(|_| wrong()),
            _ => Err(wrong()),
        };
        row.iter().map(size).collect()
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
