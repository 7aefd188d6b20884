//! What a job does to one item: a plain model, or a pipeline whose steps run item by item.

use std::borrow::Borrow;

use crate::{
    error::Result,
    inference::{Inference, Pipeline},
};

/// A model as a job sees it, whatever the items' owned type. Implemented by [`Plain`] and [`Pipeline`].
pub trait Staged: Send + Sync + sealed::Sealed {
    /// What an item is, borrowed.
    type Item: ?Sized;
    /// The model in the middle.
    type Model: Inference;
    /// What an item becomes.
    type Output: Send;

    /// The model in the middle.
    fn model(&self) -> &Self::Model;
    /// Makes the result of the model's output for `input`.
    fn finish(
        &self,
        input: &<Self::Model as Inference>::Input,
        output: <Self::Model as Inference>::Output,
    ) -> Result<Self::Output>;
    /// Bytes that an item holds before it is prepared.
    fn item_bytes(&self, item: &Self::Item) -> usize;
    /// Bytes that a result holds until it is taken.
    fn output_bytes(&self, output: &Self::Output) -> usize;
    /// Results that came from a cache so far, and what else the report is to say.
    fn cached(&self) -> (usize, Vec<String>) {
        (0, Vec::new())
    }
}

/// What preparing makes of an item.
#[derive(Debug)]
pub enum Ready<E, O> {
    /// Something to run.
    Run(E),
    /// The result, which was known without running.
    Done(O),
}

/// [`Staged`] for items that come as `I`.
pub trait Stages<I>: Staged {
    /// Whether preparing makes something new, which may be larger than the item.
    const PREPARES: bool;
    /// What waits between preparing and running.
    type Entry: Send;

    /// Makes the entry of an item, or gives its result if that is known already; the latter only where
    /// [`PREPARES`](Self::PREPARES) is set.
    fn prepare(&self, item: I) -> Result<Ready<Self::Entry, Self::Output>>;
    /// Makes the result of the model's output for an entry.
    fn finish_entry(
        &self,
        entry: &Self::Entry,
        output: <<Self as Staged>::Model as Inference>::Output,
    ) -> Result<Self::Output> {
        self.finish(self.input(entry), output)
    }
    /// The model's input in an entry.
    fn input<'e>(&self, entry: &'e Self::Entry) -> &'e <Self::Model as Inference>::Input;
    /// The item behind its owned type.
    fn item<'i>(&self, item: &'i I) -> &'i Self::Item;
}

/// A model without steps of its own: an item is the model's input, an output is the result.
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

    pub trait Sealed {}
    impl<M: Inference> Sealed for Plain<M> {}
    impl<T: ?Sized, M: Inference<Input: Sized>, R> Sealed for Pipeline<T, M, R> {}
}
