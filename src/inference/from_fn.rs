//! A closure as a model that all workers share.

use std::{fmt, marker::PhantomData};

use crate::{
    error::{AnyError, Error, Result},
    inference::{Inference, Slots},
    threads::panics,
};

/// Makes a model of a closure, which all workers call item by item.
///
/// An error or a panic in the closure fails that item alone. The closure sees each item exactly
/// once. `?` converts any error in it; [`Error::downcast_ref`] returns that error later.
///
/// ```
/// use gristmill::{bulk, from_fn};
/// let lengths: Result<Vec<usize>, _> = bulk::map(from_fn(|text: &str| Ok(text.len())), ["a", "bc"]).collect();
/// assert_eq!(lengths.unwrap(), [1, 2]);
/// ```
pub fn from_fn<I, O, F>(call: F) -> FromFn<I, O, F>
where
    I: Send + ?Sized,
    O: Send,
    F: Fn(&I) -> Result<O, AnyError> + Send + Sync,
{
    FromFn { call, types: PhantomData }
}

/// A closure as a model; made by [`from_fn`].
pub struct FromFn<I: ?Sized, O, F> {
    call: F,
    types: PhantomData<fn(&I) -> O>,
}

impl<I: Send + ?Sized, O: Send, F: Fn(&I) -> Result<O, AnyError> + Send + Sync> Inference for FromFn<I, O, F> {
    type Input = I;
    type Output = O;

    fn infer(&self, chunk: &[&I], out: &mut Slots<'_, O>) -> Result<()> {
        for (index, input) in chunk.iter().enumerate() {
            match panics::catch(|| (self.call)(input).map_err(Error::of_closure)) {
                Ok(output) => out.set(index, output),
                Err(error) => out.fail(index, error),
            }
        }
        Ok(())
    }
}

impl<I: ?Sized, O, F> fmt::Debug for FromFn<I, O, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FromFn").finish_non_exhaustive()
    }
}
