//! Named tensors.

use std::sync::Arc;

use crate::{
    error::{Context, Error, Result},
    tensor::{Element, Tensor, Value},
};

/// The inputs or outputs of one run of a [`Session`](crate::Session): named tensors, in order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tensors {
    tensors: Vec<(Arc<str>, Tensor)>,
    /// Sequences and optional values.
    others: Vec<(Arc<str>, Value)>,
}

impl Tensors {
    /// No tensors.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a tensor, or replaces the one of the same name.
    #[must_use]
    pub fn with(mut self, name: impl Into<Arc<str>>, tensor: Tensor) -> Self {
        self.insert(name, tensor);
        self
    }

    /// Adds a tensor, or replaces the one of the same name.
    pub fn insert(&mut self, name: impl Into<Arc<str>>, tensor: Tensor) {
        let name = name.into();
        match self.tensors.iter_mut().find(|(other, _)| *other == name) {
            Some((_, slot)) => *slot = tensor,
            None => self.tensors.push((name, tensor)),
        }
    }

    /// Adds a value, or replaces the one of the same name.
    pub fn insert_value(&mut self, name: impl Into<Arc<str>>, value: Value) {
        let name = name.into();
        match value {
            Value::Tensor(tensor) => {
                self.others.retain(|(other, _)| *other != name);
                self.insert(name, tensor);
            }
            value => {
                self.tensors.retain(|(other, _)| *other != name);
                match self.others.iter_mut().find(|(other, _)| *other == name) {
                    Some((_, slot)) => *slot = value,
                    None => self.others.push((name, value)),
                }
            }
        }
    }

    /// The value of that name.
    pub fn get_value(&self, name: &str) -> Option<Value> {
        let other = || self.others.iter().find(|(other, _)| &**other == name).map(|(_, value)| value.clone());
        self.get(name).cloned().map(Value::Tensor).or_else(other)
    }

    /// The names and values of what is no tensor, in order.
    pub fn others(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.others.iter().map(|(name, value)| (&**name, value))
    }

    /// Adds a tensor whose name is new.
    pub(crate) fn push(&mut self, name: Arc<str>, tensor: Tensor) {
        self.tensors.push((name, tensor));
    }

    /// The tensor of that name.
    pub fn get(&self, name: &str) -> Option<&Tensor> {
        self.tensors.iter().find(|(other, _)| &**other == name).map(|(_, tensor)| tensor)
    }

    /// Removes the tensor of that name and returns it.
    pub fn take(&mut self, name: &str) -> Option<Tensor> {
        let place = self.tensors.iter().position(|(other, _)| &**other == name)?;
        Some(self.tensors.remove(place).1)
    }

    /// The elements of the tensor of that name in row-major order.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) if no tensor has that name, or if its elements are
    /// of another type.
    pub fn elements<T: Element>(&self, name: &str) -> Result<&[T]> {
        let Some(tensor) = self.get(name) else {
            let names: Vec<&str> = self.iter().map(|(name, _)| name).collect();
            return Err(Error::invalid_input(format!("no tensor is named {name:?}; there are {names:?}")));
        };
        tensor.as_slice().context(|| format!("tensor {name:?}"))
    }

    /// The names and tensors, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.tensors.iter().map(|(name, tensor)| (&**name, tensor))
    }

    /// The number of tensors.
    pub fn len(&self) -> usize {
        self.tensors.len()
    }

    /// Whether it has no tensors.
    pub fn is_empty(&self) -> bool {
        self.tensors.is_empty()
    }

    /// The size of all tensors in bytes.
    pub fn byte_len(&self) -> usize {
        let tensors: usize = self.tensors.iter().map(|(_, tensor)| tensor.byte_len()).sum();
        tensors + self.others.iter().map(|(_, value)| value.byte_len()).sum::<usize>()
    }
}

impl<const N: usize> From<[(&str, Tensor); N]> for Tensors {
    fn from(entries: [(&str, Tensor); N]) -> Self {
        entries.into_iter().fold(Self::new(), |tensors, (name, tensor)| tensors.with(name, tensor))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_one_tensor() {
        let mut tensors = Tensors::from([("a", Tensor::scalar(1_i64)), ("b", Tensor::scalar(2_i64))]);
        tensors.insert("a", Tensor::scalar(3_i32));
        assert_eq!(tensors.iter().map(|(name, _)| name).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!((tensors.get("a"), tensors.get("c")), (Some(&Tensor::scalar(3_i32)), None));
        assert_eq!((tensors.len(), tensors.byte_len()), (2, 12));
    }

    #[test]
    fn elements_are_typed_and_a_taken_tensor_is_gone() {
        let mut tensors = Tensors::from([("a", Tensor::from(vec![1.5_f32, -2.0])), ("b", Tensor::scalar(2_i64))]);
        assert_eq!(tensors.elements::<f32>("a").unwrap(), [1.5, -2.0]);
        let message = |result: Result<&[f32]>| result.unwrap_err().to_string();
        assert_eq!(message(tensors.elements("b")), "tensor \"b\": expected a tensor of f32, found i64");
        assert_eq!(message(tensors.elements("c")), "no tensor is named \"c\"; there are [\"a\", \"b\"]");
        assert_eq!(tensors.take("a"), Some(Tensor::from(vec![1.5_f32, -2.0])));
        assert_eq!((tensors.take("a"), tensors.len()), (None, 1));
    }
}
