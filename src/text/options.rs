//! How a text model is opened.

use crate::{
    backend::options::{Device, SessionOptions},
    import::{
        Weights,
        hugging_face::{FolderOptions, Pooling},
    },
};

/// How an [`Embedder`] is opened. The folder's own settings by default.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct EmbedderOptions {
    /// Device, precision, kernel set.
    pub session: SessionOptions,
    /// The number of tokens that a text is cut to, the special ones counted.
    pub max_tokens: Option<usize>,
    /// How the folder is read, pooling and scaling among it.
    pub folder: FolderOptions,
}

impl EmbedderOptions {
    /// The folder's own settings on a device.
    pub fn on(device: Device) -> Self {
        Self { session: SessionOptions::on(device), ..Self::default() }
    }

    /// Sets device, precision and kernel set.
    #[must_use]
    pub fn session(mut self, session: SessionOptions) -> Self {
        self.session = session;
        self
    }

    /// Sets the number of tokens that a text is cut to.
    #[must_use]
    pub fn max_tokens(mut self, tokens: usize) -> Self {
        self.max_tokens = Some(tokens);
        self
    }

    /// Says where the weights stay: [`Weights::Mapped`] shares one copy between processes.
    #[must_use]
    pub fn weights(mut self, weights: Weights) -> Self {
        self.folder.import.weights = weights;
        self
    }

    /// Sets how the vectors of a text's tokens become one.
    #[must_use]
    pub fn pooling(mut self, pooling: Pooling) -> Self {
        self.folder.pooling = Some(pooling);
        self
    }

    /// Sets whether vectors are scaled to length 1.
    #[must_use]
    pub fn normalize(mut self, normalize: bool) -> Self {
        self.folder.normalize = Some(normalize);
        self
    }
}
