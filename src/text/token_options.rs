//! Options of an embedder of tokens.

use crate::{
    backend::options::SessionOptions,
    import::{ImportOptions, shared_options},
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
    shared_options!(import);

    /// Sets the number of tokens to which a text is truncated where the folder has no length for queries or documents.
    #[must_use]
    pub fn max_tokens(mut self, tokens: usize) -> Self {
        self.max_tokens = Some(tokens);
        self
    }
}
