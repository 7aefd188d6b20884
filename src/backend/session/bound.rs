//! An item's tensors, checked against the model's inputs.

use smallvec::SmallVec;

use crate::{
    backend::session::{Named, Session},
    error::{Error, Result},
    shape::Bindings,
    tensor::{Tensor, Tensors},
};

/// An item's tensors in the order of the model's inputs, and the sizes that they bind.
pub(super) struct Bound<'a> {
    pub tensors: SmallVec<[&'a Tensor; 4]>,
    pub sizes: Bindings,
}

impl Session {
    /// Checks an item's tensors and puts them in the order of the model's inputs.
    ///
    /// # Errors
    /// If an input is missing, unknown, or of another type or shape than the model takes.
    pub(super) fn bind<'a>(&self, item: &'a Tensors) -> Result<Bound<'a>> {
        let mut bound = Bound { tensors: SmallVec::new(), sizes: Bindings::default() };
        for named in &self.inputs {
            let tensor = item.get(&named.name).ok_or_else(|| {
                let names: Vec<_> = item.iter().map(|(name, _)| name).collect();
                Error::invalid_input(format!("input `{}` is missing; given are {names:?}", named.name))
            })?;
            check_input(named, tensor, &mut bound.sizes)?;
            bound.tensors.push(tensor);
        }
        if let Some((name, _)) = item.iter().find(|(name, _)| !self.inputs.iter().any(|named| &*named.name == *name)) {
            let names: Vec<_> = self.inputs.iter().map(|named| &*named.name).collect();
            return Err(Error::invalid_input(format!("the model has no input `{name}`; its inputs are {names:?}")));
        }
        Ok(bound)
    }
}

/// Checks the type and shape of an input, and binds its symbolic dimensions.
fn check_input(named: &Named, tensor: &Tensor, sizes: &mut Bindings) -> Result<()> {
    let fits = tensor.dtype() == named.fact.dtype && tensor.shape().len() == named.fact.shape.rank();
    let misfit = || {
        let given = format!("{}{:?}", tensor.dtype(), tensor.shape());
        Error::invalid_input(format!("input `{}` must be {}, given is {given}", named.name, named.fact))
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
                        "input `{}`: a dimension is {size} here and {other} elsewhere, where the model wants them equal",
                        named.name
                    )));
                }
            }
            _ => return Err(misfit()),
        }
    }
    Ok(())
}
