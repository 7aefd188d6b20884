//! What a bulk job consists of, without the library around it, for the model checker: the root of the package in
//! `tests/model_check`.

#![deny(unsafe_code)]
#![allow(dead_code, unexpected_cfgs, reason = "features and callers that only the whole library has")]

pub mod bulk;
mod error;
mod inference;
mod threads;

pub use error::{Error, ErrorKind, ItemError, Result, Stage};
pub use inference::{
    Description, Fingerprint, FromFn, Hints, Inference, PerWorker, Pipeline, PipelineBuilder, Slots, from_fn,
};
