//! One chunk through the model; a failure in it is cut down to the item.

use super::{
    guard,
    stages::{Staged, Stages},
    window::Entry,
};
use crate::{
    error::{Error, ErrorKind, Result, Stage},
    inference::{Inference, Slots},
};

/// The results of a chunk in its order, and the bytes they hold.
pub(super) struct Outcome<O> {
    pub(super) results: Vec<Result<O, (Stage, Error)>>,
    pub(super) bytes: usize,
}

/// What the model makes of each input.
pub(super) type Raw<S> = <<S as Staged>::Model as Inference>::Output;

/// Runs a chunk through the model; never panics for what user code does. `None`: this worker cannot run it, another can.
pub(super) fn infer_chunk<S: Stages<I>, I>(
    stages: &S,
    entries: &[Entry<S::Entry>],
) -> Option<Vec<Option<Result<Raw<S>>>>> {
    let inputs: Vec<_> = entries.iter().map(|entry| stages.input(&entry.value)).collect();
    let mut slots = Vec::new();
    slots.resize_with(inputs.len(), || None);
    bisect(stages.model(), &inputs, &mut slots)?;
    Some(slots)
}

/// Finishes what the model made of a chunk; never panics either.
pub(super) fn finish_chunk<S: Stages<I>, I>(
    stages: &S,
    entries: &[Entry<S::Entry>],
    slots: Vec<Option<Result<Raw<S>>>>,
) -> Outcome<S::Output> {
    let mut bytes = 0;
    let mut finish = |entry: &Entry<S::Entry>, output| {
        let result = stages.finish_entry(&entry.value, output)?;
        bytes += stages.output_bytes(&result);
        Ok(result)
    };
    let results = entries.iter().zip(slots).map(|(entry, slot)| match slot {
        Some(Ok(output)) => guard::catch(|| finish(entry, output)).map_err(|error| (Stage::Finish, error)),
        Some(Err(error)) => Err((Stage::Run, error)),
        None => Err((Stage::Run, Error::internal("a chunk's slot was left empty"))),
    });
    let results = results.collect();
    Outcome { results, bytes }
}

/// Fills every slot: runs the inputs together, and after a failure each half by itself.
fn bisect<M: Inference>(model: &M, inputs: &[&M::Input], slots: &mut [Option<Result<M::Output>>]) -> Option<()> {
    match guard::catch(|| model.infer(inputs, &mut Slots::new(slots))) {
        Ok(()) => {
            for slot in slots.iter_mut().filter(|slot| slot.is_none()) {
                *slot = Some(Err(Error::new(ErrorKind::User, "the model left the slot of this input empty")));
            }
        }
        Err(_) if !model.ready_here() => return None,
        Err(error) if inputs.len() <= 1 => slots.fill_with({
            let mut error = Some(error);
            move || error.take().map(Err)
        }),
        Err(_) => {
            slots.fill_with(|| None);
            let middle = inputs.len() / 2;
            let (left, right) = slots.split_at_mut(middle);
            bisect(model, &inputs[..middle], left)?;
            bisect(model, &inputs[middle..], right)?;
        }
    }
    Some(())
}
