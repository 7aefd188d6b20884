//! What a job does to an item: a plain model runs it; a pipeline prepares, runs and finishes it.

use std::borrow::Borrow;

use crate::{
    error::{Result, Stage},
    inference::{Inference, Pipeline},
};

/// A model or pipeline that a [`Bulk`](crate::bulk::Bulk) runs.
///
/// Implemented by [`Plain`], [`Pipeline`] and, with the feature `cache`, `Cached`; it cannot be
/// implemented elsewhere.
pub trait Staged: Send + Sync + sealed::Sealed {
    /// An item, borrowed.
    type Item: ?Sized;
    /// The model.
    #[doc(hidden)]
    type Model: Inference;
    /// The result of an item.
    type Output: Send;

    /// The model.
    #[doc(hidden)]
    fn model(&self) -> &Self::Model;
    /// Makes the result from the model's output for `input`.
    #[doc(hidden)]
    fn finish(
        &self,
        input: &<Self::Model as Inference>::Input,
        output: <Self::Model as Inference>::Output,
    ) -> Result<Self::Output>;
    /// Bytes that an item holds before it is prepared.
    #[doc(hidden)]
    fn item_bytes(&self, item: &Self::Item) -> usize;
    /// Bytes that a result holds until it is taken.
    #[doc(hidden)]
    fn output_bytes(&self, output: &Self::Output) -> usize;
    /// Results that came from a cache so far, and notes for the report.
    #[doc(hidden)]
    fn cached(&self) -> (usize, Vec<String>) {
        (0, Vec::new())
    }
}

/// The outcome of preparing an item.
#[doc(hidden)]
#[derive(Debug)]
pub enum Ready<E, O> {
    /// An entry to run.
    Run(E),
    /// The result, known without running.
    Done(O),
}

/// [`Staged`] for items of the type `I`: whatever borrows as [`Staged::Item`].
pub trait Stages<I>: Staged {
    /// Whether an entry differs from its item, and may be larger.
    #[doc(hidden)]
    const PREPARES: bool;
    /// The stage that an item waits for when it has been read.
    #[doc(hidden)]
    const FIRST: Stage = if Self::PREPARES { Stage::Prepare } else { Stage::Run };
    /// A prepared item, which waits to be run.
    #[doc(hidden)]
    type Entry: Send;

    /// Prepares an item. [`Ready::Done`] is returned only if [`PREPARES`](Self::PREPARES).
    #[doc(hidden)]
    fn prepare(&self, item: I) -> Result<Ready<Self::Entry, Self::Output>>;
    /// Makes the result from the model's output for an entry.
    #[doc(hidden)]
    fn finish_entry(
        &self,
        entry: &Self::Entry,
        output: <<Self as Staged>::Model as Inference>::Output,
    ) -> Result<Self::Output> {
        self.finish(self.input(entry), output)
    }
    /// The model's input in an entry.
    #[doc(hidden)]
    fn input<'e>(&self, entry: &'e Self::Entry) -> &'e <Self::Model as Inference>::Input;
    /// Borrows an item.
    #[doc(hidden)]
    fn item<'i>(&self, item: &'i I) -> &'i Self::Item;
}

/// A model without steps of its own: an item is its input, an output is the result.
#[derive(Debug)]
pub struct Plain<M>(pub(super) M);

impl<M: Inference> Staged for Plain<M> {
    type Item = M::Input;
    type Model = M;
    type Output = M::Output;

    fn model(&self) -> &M {
        &self.0
    }
    fn finish(&self, _input: &M::Input, output: M::Output) -> Result<M::Output> {
        Ok(output)
    }
    fn item_bytes(&self, item: &M::Input) -> usize {
        self.0.input_bytes(item)
    }
    fn output_bytes(&self, output: &M::Output) -> usize {
        self.0.output_bytes(output)
    }
}

impl<M: Inference, I: Borrow<M::Input> + Send> Stages<I> for Plain<M> {
    const PREPARES: bool = false;
    type Entry = I;

    fn prepare(&self, item: I) -> Result<Ready<I, M::Output>> {
        Ok(Ready::Run(item))
    }
    fn input<'e>(&self, entry: &'e I) -> &'e M::Input {
        entry.borrow()
    }
    fn item<'i>(&self, item: &'i I) -> &'i M::Input {
        item.borrow()
    }
}

impl<T: ?Sized, M: Inference<Input: Sized>, R: Send> Staged for Pipeline<T, M, R> {
    type Item = T;
    type Model = M;
    type Output = R;

    fn model(&self) -> &M {
        Pipeline::model(self)
    }
    fn finish(&self, input: &M::Input, output: M::Output) -> Result<R> {
        self.finish_item(input, output)
    }
    fn item_bytes(&self, item: &T) -> usize {
        self.bytes_of_item(item)
    }
    fn output_bytes(&self, output: &R) -> usize {
        self.bytes_of_result(output)
    }
}

impl<T: ?Sized, M: Inference<Input: Sized>, R: Send, I: Borrow<T> + Send> Stages<I> for Pipeline<T, M, R> {
    const PREPARES: bool = true;
    type Entry = M::Input;

    fn prepare(&self, item: I) -> Result<Ready<M::Input, R>> {
        self.prepare_item(item.borrow()).map(Ready::Run)
    }
    fn input<'e>(&self, entry: &'e M::Input) -> &'e M::Input {
        entry
    }
    fn item<'i>(&self, item: &'i I) -> &'i T {
        item.borrow()
    }
}

pub(super) use sealed::Sealed;

mod sealed {
    use super::{Inference, Pipeline, Plain};

    #[allow(unnameable_types, reason = "a sealed trait has no name outside")]
    pub trait Sealed {}
    impl<M: Inference> Sealed for Plain<M> {}
    impl<T: ?Sized, M: Inference<Input: Sized>, R> Sealed for Pipeline<T, M, R> {}
}
