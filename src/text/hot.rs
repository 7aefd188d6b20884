//! An embedder that can be replaced while jobs run.

use std::path::Path;

use crate::{
    bulk::Hot,
    error::Result,
    text::{EmbedderOptions, EmbedderPipeline, embedder},
};

impl Hot<EmbedderPipeline> {
    /// Opens the model folder at `path` as [`Embedder::open_with`](crate::text::Embedder::open_with) does.
    ///
    /// A later version must give vectors of the same length.
    ///
    /// # Errors
    /// As [`Embedder::open_with`](crate::text::Embedder::open_with).
    pub fn embedder(path: impl AsRef<Path>, options: &EmbedderOptions) -> Result<Self> {
        let options = options.clone();
        let load = move |path: &Path| Ok(embedder::pipeline(path, &options)?);
        Self::open_pipeline(path, load, |model| match model.dimension() {
            Some(dimension) => format!("a text to {dimension} numbers"),
            None => "a text to a vector".to_owned(),
        })
    }
}
