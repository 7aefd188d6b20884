//! Options of a tagger.

use crate::{
    backend::options::SessionOptions, import::ImportOptions, import::shared_options, text::entities::Aggregation,
};

/// Options of a [`Tagger`](crate::text::Tagger); by default the settings of its folder.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct TaggerOptions {
    /// Device, precision, kernel set.
    pub session: SessionOptions,
    /// The number of tokens to which a text is truncated, or that a window has, special tokens included.
    pub max_tokens: Option<usize>,
    /// The number of tokens that two windows of a long text have in common; without it long texts are truncated.
    pub overlap: Option<usize>,
    /// How the classes of tokens become entities.
    pub aggregation: Aggregation,
    /// The labels of entities that are left out, `O` by default.
    pub ignored: Vec<String>,
    /// Limits on what the files may require.
    pub import: ImportOptions,
}

impl Default for TaggerOptions {
    fn default() -> Self {
        Self {
            session: SessionOptions::default(),
            max_tokens: None,
            overlap: None,
            aggregation: Aggregation::default(),
            ignored: vec!["O".to_owned()],
            import: ImportOptions::default(),
        }
    }
}

impl TaggerOptions {
    shared_options!(import);

    /// Sets the number of tokens to which a text is truncated, or that a window has.
    #[must_use]
    pub fn max_tokens(mut self, tokens: usize) -> Self {
        self.max_tokens = Some(tokens);
        self
    }

    /// Reads long texts in windows that have `overlap` tokens in common, instead of truncating them.
    ///
    /// Of entities that overlap, the longer one counts, or the one with the higher score.
    #[must_use]
    pub fn windows(mut self, overlap: usize) -> Self {
        self.overlap = Some(overlap);
        self
    }

    /// Sets how the classes of tokens become entities.
    #[must_use]
    pub fn aggregation(mut self, aggregation: Aggregation) -> Self {
        self.aggregation = aggregation;
        self
    }

    /// Sets the labels of entities that are left out.
    #[must_use]
    pub fn ignored<L: Into<String>>(mut self, labels: impl IntoIterator<Item = L>) -> Self {
        self.ignored = labels.into_iter().map(Into::into).collect();
        self
    }
}
