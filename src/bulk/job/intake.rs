//! How the items of a job are made of what its source returns.

use std::error::Error as StdError;

use crate::error::{Error, Result};

/// Makes an item of what a source returns.
pub(in crate::bulk) trait Intake<T>: Send + Sync {
    /// An item of the job.
    type Item;

    /// Makes an item, or the error that takes its place.
    fn take(&self, given: T) -> Result<Self::Item>;
}

/// The source returns items.
pub(in crate::bulk) struct Items;

impl<T> Intake<T> for Items {
    type Item = T;

    #[inline]
    fn take(&self, given: T) -> Result<T> {
        Ok(given)
    }
}

/// The source returns items or errors.
pub(in crate::bulk) struct FallibleItems;

impl<T, E: Into<Box<dyn StdError + Send + Sync>>> Intake<Result<T, E>> for FallibleItems {
    type Item = T;

    #[inline]
    fn take(&self, given: Result<T, E>) -> Result<T> {
        given.map_err(source_error)
    }
}

/// Converts a source's error; an [`Error`] stays as it is.
fn source_error(error: impl Into<Box<dyn StdError + Send + Sync>>) -> Error {
    let error = match error.into().downcast::<Error>() {
        Ok(error) => return *error,
        Err(error) => error,
    };
    match error.downcast::<std::io::Error>() {
        Ok(error) => Error::io(*error, "reading an item"),
        Err(error) => Error::user(error),
    }
}
