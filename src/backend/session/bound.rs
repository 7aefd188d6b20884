//! An item's tensors, checked against the model's inputs.

use std::sync::LazyLock;

use smallvec::SmallVec;

use crate::{
    backend::session::{Named, Session},
    error::{Error, Result},
    graph::{Batching, Kind},
    shape::Bindings,
    tensor::{Tensor, Tensors, Value, byte_count},
};

/// An item's tensors in the order of the model's inputs, and the sizes that they bind.
pub(super) struct Bound<'a> {
    pub tensors: SmallVec<[&'a Tensor; 4]>,
    pub sizes: Bindings,
    /// What the inputs that are no tensors are, by their position; a tensor stands in their place above.
    pub others: SmallVec<[(usize, Value); 0]>,
}

impl Session {
    /// Checks an item's tensors and puts them in the order of the model's inputs.
    ///
    /// # Errors
    /// If an input is missing, unknown, or of another type or shape than the model takes.
    pub(super) fn bind<'a>(&self, item: &'a Tensors) -> Result<Bound<'a>> {
        let mut bound = Bound { tensors: SmallVec::new(), sizes: Bindings::default(), others: SmallVec::new() };
        for (position, named) in self.inputs.iter().enumerate() {
            if !named.fact.is_tensor() {
                bound.others.push((position, other_input(named, item)?));
                bound.tensors.push(no_tensor());
                continue;
            }
            let tensor = item.get(&named.name).ok_or_else(|| {
                let names: Vec<_> = item.iter().map(|(name, _)| name).collect();
                Error::invalid_input(format!("input `{}` is missing; given are {names:?}", named.name))
            })?;
            check_input(named, tensor, &mut bound.sizes)?;
            bound.tensors.push(tensor);
        }
        let names = item.iter().map(|(name, _)| name).chain(item.others().map(|(name, _)| name));
        if let Some(name) = names.into_iter().find(|name| !self.inputs.iter().any(|named| &*named.name == *name)) {
            if self.graph().defaults().iter().any(|own| own == name) {
                let what = format!("input `{name}` has a default in the file, which was built in");
                return Err(Error::invalid_input(format!(
                    "{what}; ImportOptions::no_default opens the model without it"
                )));
            }
            let names: Vec<_> = self.inputs.iter().map(|named| &*named.name).collect();
            return Err(Error::invalid_input(format!("the model has no input `{name}`; its inputs are {names:?}")));
        }
        if let Batching::Rows { .. } = self.batching {
            self.check_outputs(&bound.sizes)?;
        }
        Ok(bound)
    }

    /// Checks the bytes of an item's outputs against the cap, since its rows may be cut into runs that are each below.
    ///
    /// Outputs with a size that a run measures are left to those runs.
    fn check_outputs(&self, sizes: &Bindings) -> Result<()> {
        let mut parts = SmallVec::<[usize; 4]>::new();
        let mut shape = Vec::new();
        let known = |symbol| sizes.get(symbol).is_some();
        let outputs =
            self.outputs.iter().filter(|named| named.fact.shape.dims().iter().all(|dim| dim.all_symbols(&known)));
        for named in outputs.clone() {
            shape.clear();
            named.fact.shape.eval_into(sizes, &mut shape)?;
            parts.push(byte_count(named.fact.dtype, &shape).unwrap_or(usize::MAX));
        }
        let total = parts.iter().fold(0, |sum: usize, bytes| sum.saturating_add(*bytes));
        let name = |(named, bytes): (&Named, usize)| (format!("output `{}`", named.name), bytes);
        self.cap.check(total, || outputs.zip(parts).map(name).collect())
    }
}

/// Stands for an input that is no tensor.
fn no_tensor() -> &'static Tensor {
    static NONE: LazyLock<Tensor> = LazyLock::new(|| Tensor::scalar(0u8));
    &NONE
}

/// The value of an input that is no tensor, checked.
fn other_input(named: &Named, item: &Tensors) -> Result<Value> {
    let value = item
        .get_value(&named.name)
        .ok_or_else(|| Error::invalid_input(format!("input `{}` is missing", named.name)))?;
    let fits = |value: &Value, sequence: bool| match (value, sequence) {
        (Value::Tensor(tensor), false) => tensor.dtype() == named.fact.dtype,
        (Value::Sequence(values), true) => {
            let is_own = |value: &Value| value.as_tensor().is_some_and(|tensor| tensor.dtype() == named.fact.dtype);
            values.iter().all(is_own)
        }
        _ => false,
    };
    let sequence = matches!(named.fact.kind, Kind::Sequence(_) | Kind::OptionalSequence(_));
    let optional = !matches!(named.fact.kind, Kind::Sequence(_));
    let fits = match &value {
        Value::Optional(inner) => optional && inner.as_ref().is_none_or(|inner| fits(inner, sequence)),
        value => fits(value, sequence),
    };
    if fits {
        return Ok(value);
    }
    let (name, given) = (&named.name, value.describe());
    Err(Error::invalid_input(format!("input `{name}` must be {}, given is {given}", named.fact)))
}

/// Checks the type and shape of an input, and binds its symbolic dimensions.
fn check_input(named: &Named, tensor: &Tensor, sizes: &mut Bindings) -> Result<()> {
    let fits = tensor.dtype() == named.fact.dtype && tensor.shape().len() == named.fact.shape.rank();
    let misfit = || {
        let given = format!("{}{:?}", tensor.dtype(), tensor.shape());
        let mut row = vec![1];
        row.extend(tensor.shape());
        let remedy = match named.fact.shape.rank() == row.len() {
            true => format!("; one row of it has the shape {row:?}"),
            false => String::new(),
        };
        Error::invalid_input(format!("input `{}` must be {}, given is {given}{remedy}", named.name, named.fact))
    };
    if !fits {
        return Err(misfit());
    }
    for (dim, &size) in named.fact.shape.dims().iter().zip(tensor.shape()) {
        match (dim.as_fixed(), dim.as_symbol()) {
            (Some(fixed), _) if fixed == size as i64 => {}
            (None, Some(symbol)) => {
                if let Some(other) = sizes.bind(symbol, size) {
                    return Err(Error::invalid_input(format!(
                        "input `{}`: a dimension is {size} here and {other} elsewhere, where the model gives them one name; \
                         `ImportOptions::names_apart` takes names of an ONNX file as hints",
                        named.name
                    )));
                }
            }
            _ => return Err(misfit()),
        }
    }
    Ok(())
}
