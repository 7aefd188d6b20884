//! Options of a model with a classification head.

use crate::{
    backend::options::SessionOptions,
    import::shared_options,
    import::{ImportOptions, hugging_face::Scores},
    text::prompt::Prompt,
};

/// Options of a [`Classifier`](crate::text::Classifier) or a [`Reranker`](crate::text::Reranker); by default the
/// settings of its folder.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct ClassifierOptions {
    /// Device, precision, kernel set.
    pub session: SessionOptions,
    /// The number of tokens to which a text or a pair is truncated, special tokens included.
    pub max_tokens: Option<usize>,
    /// The number of tokens that two windows of a long text have in common; without it long texts are truncated.
    pub overlap: Option<usize>,
    /// What stands before each query of a [`Reranker`](crate::text::Reranker).
    pub prompt: Prompt,
    /// How scores are made.
    pub scores: Option<Scores>,
    /// Limits on what the files may require.
    pub import: ImportOptions,
}

impl ClassifierOptions {
    shared_options!(import);

    /// Sets the number of tokens to which a text or a pair is truncated.
    #[must_use]
    pub fn max_tokens(mut self, tokens: usize) -> Self {
        self.max_tokens = Some(tokens);
        self
    }

    /// Reads long texts in windows that have `overlap` tokens in common, instead of truncating them.
    ///
    /// The scores of a window are those of its part of the text alone; the scores of the text are their mean, in which
    /// each counts by its tokens. A reranker, which takes pairs, has no windows.
    #[must_use]
    pub fn windows(mut self, overlap: usize) -> Self {
        self.overlap = Some(overlap);
        self
    }

    /// Sets what stands before each query of a reranker, as a text or by the name that the folder has for it.
    #[must_use]
    pub fn prompt(mut self, prompt: Prompt) -> Self {
        self.prompt = prompt;
        self
    }

    /// Sets how scores are made.
    #[must_use]
    pub fn scores(mut self, scores: Scores) -> Self {
        self.scores = Some(scores);
        self
    }
}
