//! The trait that every model implements, and its adaptors.

mod description;
mod fingerprint;
mod from_fn;
mod hints;
mod per_worker;
mod pipeline;
pub(crate) mod ran_on;
mod slots;
#[cfg(test)]
mod tests;

use std::{mem::size_of_val, sync::Arc};

pub use description::Description;
pub use fingerprint::Fingerprint;
pub use from_fn::{FromFn, from_fn};
pub use hints::Hints;
pub use per_worker::PerWorker;
pub use pipeline::{Pipeline, PipelineBuilder};
pub use slots::Slots;

use crate::error::Result;

/// A model that turns a chunk of inputs into outputs, one output per input.
///
/// All workers call one value at once, through `&self`. Implemented by [`Session`](crate::Session),
/// by [`Pipeline`](crate::Pipeline), by the adaptors [`from_fn`](crate::from_fn) and
/// [`PerWorker`](crate::PerWorker), and by models of your own, which need [`infer`](Self::infer)
/// alone.
pub trait Inference: Send + Sync {
    /// One input; may be unsized, such as `str`.
    type Input: Send + ?Sized;
    /// One output.
    type Output: Send;

    /// Runs one chunk and puts the result of `chunk[i]` into slot `i` of `out`.
    ///
    /// [`Slots::fail`] gives a single item an error. A slot left empty is an error of that item.
    /// After an `Err` or a panic all slots of the chunk are discarded and its two halves run
    /// separately, down to the item at fault. A model that must not see an item twice therefore
    /// reports failures per item.
    fn infer(&self, chunk: &[&Self::Input], out: &mut Slots<'_, Self::Output>) -> Result<()>;

    /// The work that one input causes, in a unit of the model's choice (tokens, pixels, bytes).
    ///
    /// Chunks are cut by the sum of their items' costs.
    fn cost(&self, _input: &Self::Input) -> u64 {
        1
    }

    /// Bytes that an input holds while it waits.
    fn input_bytes(&self, input: &Self::Input) -> usize {
        size_of_val(input)
    }

    /// Bytes that an output holds until the consumer takes it.
    fn output_bytes(&self, output: &Self::Output) -> usize {
        size_of_val(output)
    }

    /// The model's wishes for scheduling, the same for all its items.
    ///
    /// Called at the start of a job and again after chunks: the answer may change while a job runs,
    /// and computing it must be cheap. An adaptor returns its inner model's hints whole and
    /// replaces single fields.
    fn hints(&self) -> Hints {
        Hints::default()
    }

    /// Whether the calling worker can run chunks.
    ///
    /// Apart from [`hints`](Self::hints) because the answer depends on the calling thread, and is
    /// needed before each unit of work. `false` means that the model has no instance for this
    /// worker: a chunk that has failed here and all further chunks go to the other workers. At
    /// least one worker must get `true`.
    fn ready_here(&self) -> bool {
        true
    }

    /// Describes the model for the report.
    fn describe(&self) -> Description {
        Description::default()
    }
}

impl<M: Inference + ?Sized> Inference for Arc<M> {
    type Input = M::Input;
    type Output = M::Output;

    fn infer(&self, chunk: &[&Self::Input], out: &mut Slots<'_, Self::Output>) -> Result<()> {
        (**self).infer(chunk, out)
    }

    fn cost(&self, input: &Self::Input) -> u64 {
        (**self).cost(input)
    }

    fn input_bytes(&self, input: &Self::Input) -> usize {
        (**self).input_bytes(input)
    }

    fn output_bytes(&self, output: &Self::Output) -> usize {
        (**self).output_bytes(output)
    }

    fn hints(&self) -> Hints {
        (**self).hints()
    }

    fn ready_here(&self) -> bool {
        (**self).ready_here()
    }

    fn describe(&self) -> Description {
        (**self).describe()
    }
}
