//! Options of a hybrid embedder.

use crate::{
    backend::options::SessionOptions,
    import::{ImportOptions, shared_options},
    text::prompt::Prompt,
};

/// Options of a [`HybridEmbedder`](crate::text::HybridEmbedder); by default all three heads, and the settings of its folder.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct HybridOptions {
    /// Device, precision, kernel set.
    pub session: SessionOptions,
    /// The number of tokens to which a text is truncated, special tokens included.
    pub max_tokens: Option<usize>,
    /// What stands before each text.
    pub prompt: Prompt,
    /// Whether texts have a vector.
    pub vector: bool,
    /// Whether the words of texts have weights.
    pub words: bool,
    /// Whether the tokens of texts have vectors.
    pub token_vectors: bool,
    /// Limits on what the files may require.
    pub import: ImportOptions,
}

impl Default for HybridOptions {
    fn default() -> Self {
        Self {
            session: SessionOptions::default(),
            max_tokens: None,
            prompt: Prompt::default(),
            vector: true,
            words: true,
            token_vectors: true,
            import: ImportOptions::default(),
        }
    }
}

impl HybridOptions {
    shared_options!(import);

    /// Sets the number of tokens to which a text is truncated.
    #[must_use]
    pub fn max_tokens(mut self, tokens: usize) -> Self {
        self.max_tokens = Some(tokens);
        self
    }

    /// Sets what stands before each text, as a text or by the name that the folder has for it.
    #[must_use]
    pub fn prompt(mut self, prompt: Prompt) -> Self {
        self.prompt = prompt;
        self
    }

    /// Sets whether texts have a vector.
    #[must_use]
    pub fn vector(mut self, wanted: bool) -> Self {
        self.vector = wanted;
        self
    }

    /// Sets whether the words of texts have weights.
    #[must_use]
    pub fn words(mut self, wanted: bool) -> Self {
        self.words = wanted;
        self
    }

    /// Sets whether the tokens of texts have vectors.
    #[must_use]
    pub fn token_vectors(mut self, wanted: bool) -> Self {
        self.token_vectors = wanted;
        self
    }
}
