//! A model from a file that can be replaced while jobs run.

use std::path::Path;

use crate::{
    backend::{Session, options::SessionOptions},
    bulk::{Hot, Plain},
    error::Result,
    graph::Fact,
    import::Model,
    shape::Dim,
};

impl Hot<Plain<Session>> {
    /// Opens the model at `path` as [`Model::open`] does, on the device of `options`.
    ///
    /// A later version must have inputs and outputs of the same names, types and shapes; sizes that runs decide may have
    /// other names.
    ///
    /// # Errors
    /// As [`Model::open`] and [`Model::session`].
    pub fn session(path: impl AsRef<Path>, options: &SessionOptions) -> Result<Self> {
        let options = options.clone();
        Self::open(path, move |path| Ok(Model::open(path)?.session(&options)?), signature)
    }
}

/// A type and a shape, without the names of sizes that runs decide: they differ between equal models.
fn outline(fact: &Fact) -> String {
    let size = |dim: &Dim| dim.as_fixed().map_or("?".to_owned(), |size| size.to_string());
    format!("{}[{}]", fact.dtype, fact.shape.dims().iter().map(size).collect::<Vec<_>>().join(", "))
}

/// The names, types and shapes of inputs and outputs.
fn signature(session: &Session) -> String {
    let listed = |values: &mut dyn Iterator<Item = (&str, &Fact)>| -> String {
        values.map(|(name, fact)| format!("{name:?} {}", outline(fact))).collect::<Vec<_>>().join(", ")
    };
    format!("{} -> {}", listed(&mut session.inputs()), listed(&mut session.outputs()))
}
