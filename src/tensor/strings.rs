//! Strings by number: tensors hold the numbers, tables the texts.

use std::{collections::HashMap, ops::Range, sync::Arc};

use crate::{
    error::{Error, Result},
    tensor::{AlignedBytes, DType, Tensor, View},
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
    /// The bytes of all strings but the model's, with what holds them.
    bytes: usize,
    /// The most bytes of them, `None` for any number.
    most: Option<usize>,
    /// Whether a string was left out because it was past the most bytes.
    is_over: bool,
}

/// The bytes that hold a string besides its text.
const ENTRY: usize = 2 * size_of::<Arc<str>>() + size_of::<u64>() + 2 * size_of::<usize>();

impl RunStrings {
    pub(crate) fn new(model: Arc<StringTable>) -> Self {
        Self { model, ..Self::default() }
    }

    /// Forgets all strings but the model's; new ones may need `most` bytes.
    pub(crate) fn restart(&mut self, most: usize) {
        self.texts.clear();
        self.numbers.clear();
        (self.bytes, self.most, self.is_over) = (0, Some(most), false);
    }

    /// The bytes of all strings but the model's.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Checks that no string was left out.
    ///
    /// # Errors
    /// `Limit` if the strings need more bytes than they may.
    pub(crate) fn check(&self) -> Result<()> {
        match self.most.filter(|_| self.is_over) {
            Some(most) => Err(Error::limit(format!(
                "the strings of the run need more than {most} bytes (SessionOptions::max_run_bytes, less its values)"
            ))),
            None => Ok(()),
        }
    }

    /// The number of a string, which is added if it is new.
    pub fn intern(&mut self, text: &str) -> u64 {
        if let Some(&number) = self.model.numbers.get(text).or_else(|| self.numbers.get(text)) {
            return number;
        }
        let bytes = self.bytes.saturating_add(text.len()).saturating_add(ENTRY);
        if self.most.is_some_and(|most| bytes > most) {
            // Who runs the kernel checks this before anyone reads its results.
            self.is_over = true;
            return 0;
        }
        self.bytes = bytes;
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

    /// An operand as a tensor by itself, with its own strings.
    ///
    /// # Errors
    /// If its bytes do not fill its shape.
    pub(crate) fn own(&self, view: View<'_>) -> Result<Tensor> {
        match view.dtype {
            DType::String => self.tensor(view.shape, view.slice()?),
            _ => Tensor::from_bytes(view.dtype, view.shape, view.bytes),
        }
    }

    /// The numbers of a tensor of strings in this run, `None` for another tensor.
    ///
    /// # Errors
    /// If there is no memory for them.
    pub(crate) fn numbers_of(&mut self, tensor: &Tensor) -> Result<Option<AlignedBytes>> {
        if tensor.dtype() != DType::String {
            return Ok(None);
        }
        let bytes = tensor.bytes().len();
        let mut numbers = AlignedBytes::try_zeroed(bytes)?;
        self.number(tensor, 0..bytes, bytemuck::cast_slice_mut(&mut numbers))?;
        Ok(Some(numbers))
    }

    /// A tensor whose strings are numbers of this run, without texts of its own.
    ///
    /// # Errors
    /// If there is no memory for them.
    pub(crate) fn numbered(&mut self, tensor: Tensor) -> Result<Tensor> {
        match self.numbers_of(&tensor)? {
            Some(numbers) => Tensor::from_aligned(DType::String, tensor.shape().to_vec(), numbers),
            None => Ok(tensor),
        }
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
        run.restart(usize::MAX);
        assert_eq!((run.intern("a"), run.intern("d")), (1, 3));
    }

    #[test]
    fn strings_past_the_most_bytes_are_refused() {
        let mut run = RunStrings::default();
        run.restart(2 * ENTRY + 4);
        assert_eq!((run.intern("ab"), run.intern("cd"), run.intern("ab")), (1, 2, 1));
        run.check().unwrap();
        run.intern("e");
        assert_eq!(run.check().unwrap_err().kind(), crate::ErrorKind::Limit);
        assert_eq!(run.bytes(), 2 * ENTRY + 4);
        run.restart(ENTRY + 1);
        assert_eq!(run.intern("e"), 1);
        run.check().unwrap();
    }
}
