//! Outputs that hold NaN although the inputs are finite, and weights that are not finite.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use rayon::prelude::*;

use crate::{
    backend::session::Session,
    error::{Error, Result},
    graph::{Graph, ValueId},
    tensor::{Tensor, Tensors},
};

/// The most names of weights in a note.
const MOST_NAMES: usize = 3;

/// The outputs of a session that held NaN.
#[derive(Debug)]
pub(super) struct NotANumber {
    /// Whether such an item fails.
    fails: bool,
    items: AtomicU64,
    /// The first place.
    first: Mutex<String>,
}

impl NotANumber {
    pub(super) fn new(fails: bool) -> Self {
        Self { fails, items: AtomicU64::new(0), first: Mutex::default() }
    }

    /// The note for the report, if there were any.
    pub(super) fn note(&self) -> Option<String> {
        let items = self.items.load(Relaxed);
        let first = self.first.lock().unwrap_or_else(PoisonError::into_inner);
        (items > 0).then(|| {
            let items = if items == 1 { "1 item".to_owned() } else { format!("{items} items") };
            format!("{items} of finite inputs gave NaN since the model was loaded, first {first}")
        })
    }
}

impl Session {
    /// Passes on the outputs of an item, and counts or refuses those that hold NaN.
    ///
    /// # Errors
    /// If they do, the inputs are finite, and the options ask for it.
    pub(super) fn judged(&self, inputs: &Tensors, outputs: Tensors) -> Result<Tensors> {
        let found = outputs.iter().find_map(|(name, tensor)| Some((name, tensor, tensor.first_nan()?)));
        let Some((name, tensor, position)) = found else { return Ok(outputs) };
        if inputs.iter().any(|(_, tensor)| tensor.first_not_finite().is_some()) {
            return Ok(outputs);
        }
        let place = format!("in output `{name}` at {:?}", indices(tensor, position));
        let own = &self.not_a_number;
        if own.items.fetch_add(1, Relaxed) == 0 {
            own.first.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&place);
        }
        match own.fails {
            true => Err(Error::invalid_input(format!("the inputs are finite, but there is NaN {place}"))),
            false => Ok(outputs),
        }
    }
}

/// The indices of the element at a position.
fn indices(tensor: &Tensor, mut position: usize) -> Vec<usize> {
    let mut indices: Vec<usize> = tensor
        .shape()
        .iter()
        .rev()
        .map(|&dim| {
            let index = position % dim.max(1);
            position /= dim.max(1);
            index
        })
        .collect();
    indices.reverse();
    indices
}

/// A note that names weights with NaN or infinity, if there are any.
///
/// Weights that stay in their file are not read for it. A lone infinity is a bound, and an ordinary constant.
pub(super) fn weights_note(graph: &Graph) -> Option<String> {
    let ids: Vec<u32> = (0..graph.value_count() as u32).collect();
    let name = |&id: &u32| {
        let id = ValueId(id);
        let tensor = graph.constant_of(id).filter(|tensor| !tensor.is_mapped())?;
        let found = if tensor.len() == 1 { tensor.first_nan() } else { tensor.first_not_finite() };
        found.map(|position| format!("`{}` at {:?}", graph.value(id).name, indices(tensor, position)))
    };
    let names: Vec<String> = ids.par_iter().filter_map(name).collect();
    let more = names.len().saturating_sub(MOST_NAMES);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let shown = names.iter().take(MOST_NAMES).cloned().collect::<Vec<_>>().join(", ");
    (!names.is_empty()).then(|| format!("weights hold NaN or infinity: {shown}{more}"))
}
