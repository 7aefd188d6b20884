//! The stages of the inner job.

use std::{marker::PhantomData, sync::Arc};

use crate::{
    bulk::stages::{Ready, Sealed, Staged, Stages},
    error::Result,
    inference::Inference,
};

/// An item as the inner job gets it.
pub(in crate::bulk) enum Marked<I> {
    /// The first of equal items.
    First(I),
    /// An item that equals an earlier one.
    Again,
}

/// The stages of a job in which only the first of equal items runs.
pub(in crate::bulk) struct Once<S, I>(pub(in crate::bulk) Arc<S>, pub(in crate::bulk) PhantomData<fn(I)>);

impl<S: Stages<I>, I> Sealed for Once<S, I> {}

impl<S: Stages<I>, I> Staged for Once<S, I> {
    type Item = Marked<I>;
    type Model = S::Model;
    type Output = Option<S::Output>;

    fn model(&self) -> &S::Model {
        self.0.model()
    }
    fn finish(
        &self,
        input: &<S::Model as Inference>::Input,
        output: <S::Model as Inference>::Output,
    ) -> Result<Option<S::Output>> {
        self.0.finish(input, output).map(Some)
    }
    fn item_bytes(&self, item: &Marked<I>) -> usize {
        match item {
            Marked::First(item) => self.0.item_bytes(self.0.item(item)),
            Marked::Again => 0,
        }
    }
    fn output_bytes(&self, output: &Option<S::Output>) -> usize {
        output.as_ref().map_or(0, |output| self.0.output_bytes(output))
    }
    fn cached(&self) -> (usize, Vec<String>) {
        self.0.cached()
    }
}

impl<S: Stages<I>, I> Stages<Marked<I>> for Once<S, I> {
    const PREPARES: bool = true;
    type Entry = S::Entry;

    fn prepare(&self, item: Marked<I>) -> Result<Ready<S::Entry, Option<S::Output>>> {
        match item {
            Marked::First(item) => self.0.prepare(item).map(|ready| match ready {
                Ready::Run(entry) => Ready::Run(entry),
                Ready::Done(output) => Ready::Done(Some(output)),
            }),
            Marked::Again => Ok(Ready::Done(None)),
        }
    }
    fn finish_entry(&self, entry: &S::Entry, output: <S::Model as Inference>::Output) -> Result<Option<S::Output>> {
        self.0.finish_entry(entry, output).map(Some)
    }
    fn input<'e>(&self, entry: &'e S::Entry) -> &'e <S::Model as Inference>::Input {
        self.0.input(entry)
    }
    fn item<'i>(&self, item: &'i Marked<I>) -> &'i Marked<I> {
        item
    }
}
