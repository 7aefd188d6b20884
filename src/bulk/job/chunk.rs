//! Preparing an item, running a chunk and finishing it: the parts that a job and a queue share.
//!
//! A failure in a chunk is narrowed down to the item at fault by bisection.

use std::ops::Range;

use crate::{
    bulk::{
        job::{results::Slot, window::Entry},
        stages::{Ready, Staged, Stages},
    },
    error::{Error, ErrorKind, ItemError, Result, Stage},
    inference::{
        Inference, Slots,
        ran_on::{self, Devices},
    },
    threads::panics,
};

/// The results of a chunk.
pub(in crate::bulk) struct Outcome<O> {
    /// In the order of the chunk.
    pub(in crate::bulk) results: Vec<Slot<O>>,
    /// Results that are not errors.
    pub(in crate::bulk) succeeded: usize,
    /// Bytes that the results hold.
    pub(in crate::bulk) bytes: usize,
}

/// The model's output for an input, before it is finished.
pub(in crate::bulk) type Raw<S> = <<S as Staged>::Model as Inference>::Output;

/// Prepares the item at `place` of its window, at the time `prepared`.
///
/// If stages do not prepare (the item itself is run), `at_hand` is set to the item's bytes as soon
/// as they are known: they are to be released if its cost panics.
#[inline]
pub(in crate::bulk) fn prepare_item<S: Stages<I>, I>(
    stages: &S,
    item: I,
    place: usize,
    prepared: u32,
    at_hand: &mut usize,
) -> Result<Ready<Entry<S::Entry>, S::Output>> {
    let value = match stages.prepare(item)? {
        Ready::Run(value) => value,
        Ready::Done(output) => return Ok(Ready::Done(output)),
    };
    let (model, input) = (stages.model(), stages.input(&value));
    let bytes = model.input_bytes(input);
    if !S::PREPARES {
        *at_hand = bytes;
    }
    let cost = model.cost(input).max(1);
    Ok(Ready::Run(Entry { place, cost, bytes, prepared, value }))
}

/// The model's output for each item of a chunk, and the devices that parts of the chunk ran on.
pub(in crate::bulk) type Inferred<R> = (Vec<Option<Result<R>>>, Vec<(Range<usize>, Devices)>);

/// Runs a chunk through the model; `None` if this thread cannot run it and another can.
///
/// Panics of user code become errors of their items.
pub(in crate::bulk) fn infer_chunk<S: Stages<I>, I>(
    stages: &S,
    entries: &[Entry<S::Entry>],
) -> Option<Inferred<Raw<S>>> {
    let inputs: Vec<_> = entries.iter().map(|entry| stages.input(&entry.value)).collect();
    let mut slots = Vec::new();
    slots.resize_with(inputs.len(), || None);
    let mut devices = Vec::new();
    if bisect(stages.model(), &inputs, 0, &mut slots, &mut devices).is_none() {
        panics::drop_each(slots);
        return None;
    }
    Some((slots, devices))
}

/// Makes results of a chunk's outputs; the first item of its window has the index `first`.
///
/// Panics of user code become errors of their items.
pub(in crate::bulk) fn finish_chunk<S: Stages<I>, I>(
    stages: &S,
    first: usize,
    entries: &[Entry<S::Entry>],
    slots: Vec<Option<Result<Raw<S>>>>,
) -> Outcome<S::Output> {
    let mut outcome = Outcome { results: Vec::with_capacity(entries.len()), succeeded: 0, bytes: 0 };
    let mut pairs = entries.iter().zip(slots);
    let mut index = first;
    loop {
        let finished = panics::catch(|| {
            for (entry, slot) in pairs.by_ref() {
                index = first + entry.place;
                let result = match slot {
                    Some(Ok(output)) => match stages.finish_entry(&entry.value, output) {
                        Ok(result) => {
                            outcome.bytes += stages.output_bytes(&result);
                            outcome.succeeded += 1;
                            Ok(result)
                        }
                        Err(source) => Err(ItemError { index, stage: Stage::Finish, source }),
                    },
                    Some(Err(source)) => Err(ItemError { index, stage: Stage::Run, source }),
                    None => Err(ItemError { index, stage: Stage::Run, source: empty_slot() }),
                };
                outcome.results.push(Some(result));
            }
            Ok(())
        });
        let Err(source) = finished else { return outcome };
        outcome.results.push(Some(Err(ItemError { index, stage: Stage::Finish, source })));
    }
}

/// Cost and bytes of all entries.
pub(in crate::bulk) fn totals<'e, E: 'e>(entries: impl IntoIterator<Item = &'e Entry<E>>) -> (u64, usize) {
    let entries = entries.into_iter();
    entries.fold((0_u64, 0), |(cost, bytes), entry| (cost.saturating_add(entry.cost), bytes + entry.bytes))
}

#[cold]
fn empty_slot() -> Error {
    Error::new(ErrorKind::User, "the model left the slot of this input empty")
}

/// Runs inputs, which begin at `start` in their chunk, together and, after a failure, each half by
/// itself.
fn bisect<M: Inference>(
    model: &M,
    inputs: &[&M::Input],
    start: usize,
    slots: &mut [Option<Result<M::Output>>],
    devices: &mut Vec<(Range<usize>, Devices)>,
) -> Option<()> {
    let (result, used) = ran_on::recorded(|| panics::catch(|| model.infer(inputs, &mut Slots::new(slots))));
    match result {
        Ok(()) if used.is_empty() => {}
        Ok(()) => devices.push((start..start + inputs.len(), used)),
        Err(_) if !model.ready_here() => return None,
        Err(error) if inputs.len() <= 1 => {
            panics::drop_each(slots.iter_mut().map(Option::take));
            slots.fill_with({
                let mut error = Some(error);
                move || error.take().map(Err)
            });
        }
        Err(_) => {
            panics::drop_each(slots.iter_mut().map(Option::take));
            let middle = inputs.len() / 2;
            let (left, right) = slots.split_at_mut(middle);
            bisect(model, &inputs[..middle], start, left, devices)?;
            bisect(model, &inputs[middle..], start + middle, right, devices)?;
        }
    }
    Some(())
}
