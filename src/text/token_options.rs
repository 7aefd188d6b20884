//! Options of an embedder of tokens.

use crate::{
    backend::options::{Device, SessionOptions},
    import::{ImportOptions, Weights},
};

/// Options of a [`TokenEmbedder`](crate::text::TokenEmbedder); by default the settings of its folder.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct TokenOptions {
    /// Device, precision, kernel set.
    pub session: SessionOptions,
    /// The number of tokens to which a text is truncated where the folder has no length for queries or documents.
    pub max_tokens: Option<usize>,
    /// Limits on what the files may require.
    pub import: ImportOptions,
}

impl TokenOptions {
    /// The settings of the folder on `device`.
    pub fn on(device: Device) -> Self {
        Self { session: SessionOptions::on(device), ..Self::default() }
    }

    /// Sets device, precision and kernel set.
    #[must_use]
    pub fn session(mut self, session: SessionOptions) -> Self {
        self.session = session;
        self
    }

    /// Sets the number of tokens to which a text is truncated where the folder has no length for queries or documents.
    #[must_use]
    pub fn max_tokens(mut self, tokens: usize) -> Self {
        self.max_tokens = Some(tokens);
        self
    }

    /// Sets where the weights stay; [`Weights::Mapped`] shares one copy between processes.
    #[must_use]
    pub fn weights(mut self, weights: Weights) -> Self {
        self.import.weights = weights;
        self
    }
}
