//! Strings by number: tensors hold the numbers, tables the texts.

use std::{collections::HashMap, ops::Range, sync::Arc};

use crate::{
    error::{Error, Result},
    tensor::Tensor,
};

/// Distinct strings, numbered in the order of their coming; the empty string is number 0.
///
/// Two numbers of one table are equal exactly if the strings are, and zeroed memory is a tensor of
/// empty strings.
#[derive(Clone, Debug)]
pub(crate) struct StringTable {
    texts: Vec<Arc<str>>,
    numbers: HashMap<Arc<str>, u64>,
    /// The bytes of all strings.
    bytes: usize,
}

impl Default for StringTable {
    fn default() -> Self {
        let empty: Arc<str> = "".into();
        Self { texts: vec![empty.clone()], numbers: HashMap::from([(empty, 0)]), bytes: 0 }
    }
}

impl StringTable {
    /// The number of a string, which is added if it is new.
    pub(crate) fn intern(&mut self, text: &str) -> u64 {
        if let Some(&number) = self.numbers.get(text) {
            return number;
        }
        let (own, number): (Arc<str>, u64) = (text.into(), self.texts.len() as u64);
        self.texts.push(own.clone());
        self.numbers.insert(own, number);
        self.bytes += text.len();
        number
    }

    /// The string with that number.
    pub(crate) fn get(&self, number: u64) -> Option<&Arc<str>> {
        usize::try_from(number).ok().and_then(|number| self.texts.get(number))
    }

    /// The number of strings.
    pub(crate) fn len(&self) -> u64 {
        self.texts.len() as u64
    }

    /// The bytes of all strings.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

/// The strings of one run: those of the model, and those that came with the inputs or were made.
#[derive(Debug, Default)]
pub struct RunStrings {
    model: Arc<StringTable>,
    /// Numbered after those of the model.
    texts: Vec<Arc<str>>,
    numbers: HashMap<Arc<str>, u64>,
}

impl RunStrings {
    pub(crate) fn new(model: Arc<StringTable>) -> Self {
        Self { model, ..Self::default() }
    }

    /// Forgets all strings but the model's.
    pub(crate) fn clear(&mut self) {
        self.texts.clear();
        self.numbers.clear();
    }

    /// The number of a string, which is added if it is new.
    pub fn intern(&mut self, text: &str) -> u64 {
        if let Some(&number) = self.model.numbers.get(text).or_else(|| self.numbers.get(text)) {
            return number;
        }
        let (own, number): (Arc<str>, u64) = (text.into(), self.model.len() + self.texts.len() as u64);
        self.texts.push(own.clone());
        self.numbers.insert(own, number);
        number
    }

    /// Writes the numbers that elements of a tensor of strings, by their bytes, have in this run.
    ///
    /// # Errors
    /// `Internal` if it is of another type or of another length than `to`.
    pub(crate) fn number(&mut self, tensor: &Tensor, part: Range<usize>, to: &mut [u64]) -> Result<()> {
        let (from, table) = tensor.numbers()?;
        let from = &from[part.start / size_of::<u64>()..part.end / size_of::<u64>()];
        if from.len() != to.len() {
            return Err(Error::internal(format!("{} strings for {} elements", from.len(), to.len())));
        }
        if Arc::ptr_eq(table, &self.model) {
            to.copy_from_slice(from);
            return Ok(());
        }
        for (number, to) in from.iter().zip(to) {
            *to = table.get(*number).map_or(0, |text| self.intern(text));
        }
        Ok(())
    }

    /// A tensor of the strings with these numbers.
    ///
    /// # Errors
    /// If they do not fill the shape.
    pub(crate) fn tensor(&self, shape: impl Into<Vec<usize>>, numbers: &[u64]) -> Result<Tensor> {
        // Labels are strings of the model: its table serves all results.
        if numbers.iter().all(|&number| number < self.model.len()) {
            return Tensor::of_numbers(shape, numbers, self.model.clone());
        }
        let mut table = StringTable::default();
        let numbers: Vec<u64> =
            numbers.iter().map(|&number| self.get(number).map_or(0, |text| table.intern(text))).collect();
        Tensor::of_numbers(shape, &numbers, table.into())
    }

    /// The string with that number.
    pub fn get(&self, number: u64) -> Option<&Arc<str>> {
        match number.checked_sub(self.model.len()) {
            None => self.model.get(number),
            Some(own) => usize::try_from(own).ok().and_then(|own| self.texts.get(own)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_strings_have_one_number() {
        let mut model = StringTable::default();
        assert_eq!((model.intern(""), model.intern("a"), model.intern("b"), model.intern("a")), (0, 1, 2, 1));
        let mut run = RunStrings::new(Arc::new(model));
        assert_eq!((run.intern("b"), run.intern("c"), run.intern("d"), run.intern("c")), (2, 3, 4, 3));
        assert_eq!((run.get(1).map(|text| &**text), run.get(4).map(|text| &**text)), (Some("a"), Some("d")));
        assert!(run.get(5).is_none());
        run.clear();
        assert_eq!((run.intern("a"), run.intern("d")), (1, 3));
    }
}
