//! The results of the functions that a pickle calls, and its storages.

use crate::{
    error::{Error, Result},
    import::weight_file::checkpoint::{
        machine::{Machine, damaged, unknown},
        values::{Function, Value},
    },
};

/// The most dimensions of a tensor.
const MOST_DIMENSIONS: usize = 8;

impl Machine<'_> {
    /// A storage, from its description.
    pub(super) fn storage(&mut self) -> Result<()> {
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
    pub(super) fn call(&mut self) -> Result<()> {
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
