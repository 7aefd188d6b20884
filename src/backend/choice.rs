//! The choice between forms of a model: devices and precisions, measured on a sample of the inputs.

mod form;
mod trial;

pub(in crate::backend) use form::{Candidates, Choice, Form, Rival, Rounded, SAMPLE};
