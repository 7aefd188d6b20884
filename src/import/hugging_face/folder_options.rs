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
    /// Limits on what the files may require. Links are followed, as hub caches consist of them.
    pub import: ImportOptions,
}
