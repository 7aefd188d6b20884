//! Arrow's data by the PyCapsule interface, without any of its libraries in Python.

mod batch;
mod capsule;
mod columns;
mod named;
mod results;
mod table;
mod texts;

pub(crate) use batch::ArrowArray;
pub(crate) use capsule::{Reader, is_arrow};
pub(crate) use results::ArrowResults;
pub(crate) use table::Table;
pub(crate) use texts::Texts;
