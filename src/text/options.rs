//! Options of a text model.

use crate::{
    backend::options::SessionOptions,
    import::hugging_face::{FolderOptions, Pooling},
    import::shared_options,
    text::prompt::Prompt,
};

/// Options of an [`Embedder`](crate::text::Embedder); by default the settings of its folder.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct EmbedderOptions {
    /// Device, precision, kernel set.
    pub session: SessionOptions,
    /// The number of tokens to which a text is truncated, special tokens included.
    pub max_tokens: Option<usize>,
    /// What stands before each text.
    pub prompt: Prompt,
    /// The number of tokens that two windows of a long text have in common; without it long texts are truncated.
    pub overlap: Option<usize>,
    /// How the folder is read, including pooling and normalization.
    pub folder: FolderOptions,
}

impl EmbedderOptions {
    shared_options!(folder.import);

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

    /// Reads long texts in windows that have `overlap` tokens in common, instead of truncating them.
    ///
    /// The vector of a window is that of its part of the text alone; the vector of the text is their mean, in which each
    /// counts by its tokens, and has the length 1 if theirs have.
    #[must_use]
    pub fn windows(mut self, overlap: usize) -> Self {
        self.overlap = Some(overlap);
        self
    }

    /// Sets how a text's token vectors are pooled.
    #[must_use]
    pub fn pooling(mut self, pooling: Pooling) -> Self {
        self.folder.pooling = Some(pooling);
        self
    }

    /// Sets whether vectors are normalized to length 1.
    #[must_use]
    pub fn normalize(mut self, normalize: bool) -> Self {
        self.folder.normalize = Some(normalize);
        self
    }

    /// Keeps the first `width` numbers of each vector, as models trained for it (Matryoshka) allow.
    ///
    /// As in sentence-transformers, what is kept is not normalized again unless [`normalize`](Self::normalize) says so.
    #[must_use]
    pub fn truncate_dim(mut self, width: usize) -> Self {
        self.folder.truncate_dim = Some(width);
        self
    }
}
