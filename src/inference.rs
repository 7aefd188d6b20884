//! The one trait that everything else is built round.

mod fingerprint;
mod from_fn;
mod per_worker;
mod pipeline;
pub(crate) mod ran_on;

use std::mem::size_of_val;

pub use fingerprint::Fingerprint;
pub use from_fn::{FromFn, from_fn};
pub use per_worker::PerWorker;
pub use pipeline::{Pipeline, PipelineBuilder};

use crate::error::{Error, Result};

/// A model that turns a chunk of inputs into outputs, one for each.
///
/// `&self`: one value serves every worker at once. Implemented by [`Session`](crate::Session), by
/// [`Pipeline`](crate::Pipeline), by the adaptors [`from_fn`](crate::from_fn) and
/// [`PerWorker`](crate::PerWorker), and by models of your own.
pub trait Inference: Send + Sync {
    /// One input; `str` and slices are welcome.
    type Input: Send + ?Sized;
    /// One output.
    type Output: Send;

    /// Runs one chunk, the result of `chunk[i]` into slot `i` of `out`.
    ///
    /// A slot may be given an error of its own with [`Slots::fail`]. A slot left empty is an error of that item.
    /// After an `Err` or a panic the whole chunk's slots are discarded and its halves are run, down to the item
    /// at fault; so a model that must not see an item twice handles its items' failures itself.
    fn infer(&self, chunk: &[&Self::Input], out: &mut Slots<'_, Self::Output>) -> Result<()>;

    /// The work that one input makes, in a unit of the model's own (tokens, pixels, bytes). Chunks are cut by it.
    fn cost(&self, _input: &Self::Input) -> u64 {
        1
    }

    /// The cost of a chunk that keeps the model's working set in cache, if the model knows it.
    fn preferred_chunk_cost(&self) -> Option<u64> {
        None
    }

    /// How many items the first chunk of a job has, for a model that measures on it: other chunks wait until it has
    /// run. It has fewer where memory, a fixed window or the source has no more for now, and where the caller chose
    /// the chunks. One means no wish.
    fn first_chunk_items(&self) -> usize {
        1
    }

    /// Bytes that an input holds while it waits.
    fn input_bytes(&self, input: &Self::Input) -> usize {
        size_of_val(input)
    }

    /// Bytes that an output holds until it is taken.
    fn output_bytes(&self, output: &Self::Output) -> usize {
        size_of_val(output)
    }

    /// Bytes that a worker, or a driver, holds while it runs a chunk, besides the chunk and the shared weights, as far as
    /// is known.
    fn scratch_bytes(&self) -> usize {
        0
    }

    /// How many chunks the device wants under way at once. More than one: called from driver threads outside the pool;
    /// a model that says one after a chunk that it wanted drivers for is called by the workers from then on.
    fn in_flight(&self) -> usize {
        1
    }

    /// Whether the calling worker can run chunks; where a model says no (one per worker, and this one could not be
    /// made), a chunk that has failed here and every further one go to the other workers. At least one worker must
    /// be told yes.
    fn ready_here(&self) -> bool {
        true
    }

    /// What a report says about the model.
    fn describe(&self) -> Description {
        Description::default()
    }
}

/// What a model tells the report about itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Description {
    /// The device that computes ("cpu"), empty where the model is the user's own.
    pub device: String,
    /// The CPU kernel set ("avx512").
    pub kernel_set: String,
    /// The precision of the arithmetic ("f32").
    pub precision: String,
    /// Bytes that each worker costs besides the shared weights, as far as it is known.
    pub scratch_bytes_per_worker: u64,
    /// Seconds that loading took.
    pub load_seconds: f64,
    /// Names the weights.
    pub model_fingerprint: Fingerprint,
    /// What besides weights, device and precision decides an output: the choices made when the model was opened.
    pub options: String,
    /// Inputs that were cut to the model's longest, so far.
    pub truncated: u64,
    /// Cost units that were computed only as padding, so far.
    pub padding: u64,
    /// Things worth telling in words.
    pub notes: Vec<String>,
}

impl<M: Inference + ?Sized> Inference for std::sync::Arc<M> {
    type Input = M::Input;
    type Output = M::Output;

    fn infer(&self, chunk: &[&Self::Input], out: &mut Slots<'_, Self::Output>) -> Result<()> {
        (**self).infer(chunk, out)
    }
    fn cost(&self, input: &Self::Input) -> u64 {
        (**self).cost(input)
    }
    fn preferred_chunk_cost(&self) -> Option<u64> {
        (**self).preferred_chunk_cost()
    }
    fn first_chunk_items(&self) -> usize {
        (**self).first_chunk_items()
    }
    fn scratch_bytes(&self) -> usize {
        (**self).scratch_bytes()
    }
    fn input_bytes(&self, input: &Self::Input) -> usize {
        (**self).input_bytes(input)
    }
    fn output_bytes(&self, output: &Self::Output) -> usize {
        (**self).output_bytes(output)
    }
    fn in_flight(&self) -> usize {
        (**self).in_flight()
    }
    fn ready_here(&self) -> bool {
        (**self).ready_here()
    }
    fn describe(&self) -> Description {
        (**self).describe()
    }
}

/// The results of one chunk, to be filled in any order: one slot an item, written once.
#[derive(Debug)]
pub struct Slots<'a, T> {
    slots: &'a mut [Option<Result<T>>],
}

impl<'a, T> Slots<'a, T> {
    /// Wraps the slots of a chunk; all must be empty.
    pub fn new(slots: &'a mut [Option<Result<T>>]) -> Self {
        debug_assert!(slots.iter().all(Option::is_none));
        Self { slots }
    }

    /// How many slots there are: as many as the chunk has items.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether the chunk is empty.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Gives item `index` of the chunk its output.
    ///
    /// # Panics
    /// If `index` is past the chunk or its slot is taken: a model that does so is broken.
    pub fn set(&mut self, index: usize, output: T) {
        self.fill(index, Ok(output));
    }

    /// Gives item `index` of the chunk an error of its own; its neighbours stand.
    ///
    /// # Panics
    /// As [`set`](Self::set).
    pub fn fail(&mut self, index: usize, error: Error) {
        self.fill(index, Err(error));
    }

    fn fill(&mut self, index: usize, result: Result<T>) {
        let len = self.slots.len();
        let slot = self.slots.get_mut(index).unwrap_or_else(|| panic!("slot {index} of a chunk of {len}"));
        assert!(slot.is_none(), "slot {index} was filled twice");
        *slot = Some(result);
    }
}
