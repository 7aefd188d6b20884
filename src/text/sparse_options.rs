//! Options of a sparse embedder.

use crate::{backend::options::SessionOptions, import::ImportOptions, import::shared_options, text::prompt::Prompt};

/// Options of a [`SparseEmbedder`](crate::text::SparseEmbedder); by default the settings of its folder.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct SparseOptions {
    /// Device, precision, kernel set.
    pub session: SessionOptions,
    /// The number of tokens to which a text is truncated, special tokens included.
    pub max_tokens: Option<usize>,
    /// The most weights of a text: the largest ones are kept.
    pub max_weights: Option<usize>,
    /// What stands before each text.
    pub prompt: Prompt,
    /// Limits on what the files may require.
    pub import: ImportOptions,
}

impl SparseOptions {
    shared_options!(import);

    /// Sets the number of tokens to which a text is truncated.
    #[must_use]
    pub fn max_tokens(mut self, tokens: usize) -> Self {
        self.max_tokens = Some(tokens);
        self
    }

    /// Sets the most weights of a text; the largest ones are kept, of equal ones those of the first words.
    #[must_use]
    pub fn max_weights(mut self, weights: usize) -> Self {
        self.max_weights = Some(weights);
        self
    }

    /// Sets what stands before each text, as a text or by the name that the folder has for it.
    #[must_use]
    pub fn prompt(mut self, prompt: Prompt) -> Self {
        self.prompt = prompt;
        self
    }
}
