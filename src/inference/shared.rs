//! A closure that serves every worker at once.

use std::{fmt, marker::PhantomData};

use crate::{
    error::Result,
    inference::{Inference, Slots},
    threads::panics,
};

/// One closure, called item by item, as a model that all workers share.
///
/// An error or a panic in the closure is that item's alone; each item is passed to the closure exactly once.
///
/// ```
/// use gristmill::{Shared, bulk};
/// let lengths: Result<Vec<usize>, _> = bulk::map(Shared::new(|text: &str| Ok(text.len())), ["a", "bc"]).collect();
/// assert_eq!(lengths.unwrap(), [1, 2]);
/// ```
pub struct Shared<I: ?Sized, O, F> {
    call: F,
    types: PhantomData<fn(&I) -> O>,
}

impl<I: Send + ?Sized, O: Send, F: Fn(&I) -> Result<O> + Send + Sync> Shared<I, O, F> {
    /// Makes a model of `call`.
    pub fn new(call: F) -> Self {
        Self { call, types: PhantomData }
    }
}

impl<I: Send + ?Sized, O: Send, F: Fn(&I) -> Result<O> + Send + Sync> Inference for Shared<I, O, F> {
    type Input = I;
    type Output = O;

    fn infer(&self, chunk: &[&I], out: &mut Slots<'_, O>) -> Result<()> {
        for (index, input) in chunk.iter().enumerate() {
            match panics::catch(|| (self.call)(input)) {
                Ok(output) => out.set(index, output),
                Err(error) => out.fail(index, error),
            }
        }
        Ok(())
    }
}

impl<I: ?Sized, O, F> fmt::Debug for Shared<I, O, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}
