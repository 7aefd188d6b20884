//! Options for reading a folder.

use crate::import::{hugging_face::Pooling, options::ImportOptions};

/// Options for reading a folder, its own settings by default.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct FolderOptions {
    /// How a text's token vectors are pooled; by default as the folder specifies, or else the mean.
    pub pooling: Option<Pooling>,
    /// Whether a text's vector is normalized to length 1 at the end; by default as the folder specifies.
    pub normalize: Option<bool>,
    /// The number of a vector's first numbers that are kept, before the normalization that `normalize` asks for; by
    /// default as the folder specifies.
    pub truncate_dim: Option<usize>,
    /// The task whose adapter the weights get, whatever stands before a text; by default that of the prompt's name.
    pub task: Option<String>,
    /// The most tokens of a text, for which there must be positions; by default as the folder specifies.
    pub(crate) max_tokens: Option<usize>,
    /// Limits on what the files may require. Links are followed, as hub caches consist of them.
    pub import: ImportOptions,
}

impl FolderOptions {
    /// Those of a folder that is read with `import`, for texts of `max_tokens`.
    pub(crate) fn of(import: &ImportOptions, max_tokens: Option<usize>) -> Self {
        Self { import: import.clone(), max_tokens, ..Self::default() }
    }
}
