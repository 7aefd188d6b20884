//! A folder that was read.

use std::path::PathBuf;

use crate::{
    graph::Graph,
    import::{
        hugging_face::{DecoderStart, Pooling, Prompts, StaticRules, TextEnd},
        origin::{FileStamp, fingerprint_of},
    },
};

/// A model folder: the graph, and what preparing its inputs from a text requires.
#[derive(Debug)]
#[non_exhaustive]
pub struct Folder {
    /// The graph of the encoder and what stands behind it.
    pub graph: Graph,
    /// The number of tokens to which a text is truncated, special tokens included.
    pub max_tokens: usize,
    /// The rows of the position table.
    pub positions: Positions,
    /// The length of a vector, or the number of classes.
    pub dimension: usize,
    /// Whether the graph has the input `position_ids`.
    pub position_ids: bool,
    /// The number of different tokens.
    pub vocabulary: usize,
    /// The number of token types, if the graph has the input `token_type_ids`.
    pub token_types: Option<usize>,
    /// Whether all tokens are of the first type.
    pub one_token_type: bool,
    /// A token that is left out at the end of a text.
    pub pad: Option<u32>,
    /// The token whose vector is that of a text, if the model has its own pooling.
    pub(crate) text_end: Option<TextEnd>,
    /// The token that a decoder reads first, if there is one.
    pub(crate) decoder: Option<DecoderStart>,
    /// The token at whose last place a text's vector stands, if the graph has an input for it.
    pub(crate) end: Option<u32>,
    /// A token that no text may have, as the words' vectors would be scaled by it.
    pub(crate) scaled_by_mask: Option<u32>,
    /// Whether texts are lowercased before they are tokenized.
    pub lowercase: bool,
    /// What stands before texts.
    pub prompts: Prompts,
    /// What the tokenizer takes for tokens of their own.
    pub(crate) markers: Vec<String>,
    /// How token vectors are pooled, side by side, and whether the result is normalized to length 1.
    pub pooling: (Vec<Pooling>, bool),
    /// The steps behind the encoder, in words.
    pub steps: String,
    /// The tasks that have adapters of the weights.
    pub(crate) adapters: Option<FolderAdapters>,
    /// The folder that contains `tokenizer.json`.
    pub tokenizer_folder: PathBuf,
    /// How texts become tokens, if the model consists of word vectors.
    pub(crate) static_rules: Option<StaticRules>,
    /// Remarks for the report.
    pub notes: Vec<String>,
    /// The files of the weights.
    pub(crate) files: Vec<FileStamp>,
}

/// The tasks of a folder that have adapters of the weights.
#[derive(Clone, Debug)]
pub(crate) struct FolderAdapters {
    /// The tasks, which are names of prompts.
    pub(crate) tasks: Vec<String>,
    /// The task whose adapter the weights have.
    pub(crate) chosen: Option<String>,
}

impl Folder {
    /// A BLAKE3 hash of the files of weights.
    ///
    /// Reads the files again. If one has changed since it was opened, the text says that the hash
    /// is unknown.
    pub fn fingerprint(&self) -> String {
        fingerprint_of(&self.files)
    }
}

/// The assignment of position table rows to a text's tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Positions {
    /// The row of the first token.
    pub first: usize,
    /// The number of tokens that have a row.
    pub count: usize,
    /// A token that uses the row of its own number and is not counted (padding in RoBERTa).
    pub skipped: Option<u32>,
}

impl Positions {
    /// The row of each token.
    pub fn of(self, tokens: impl IntoIterator<Item = u32>) -> impl Iterator<Item = i32> {
        let mut next = self.first as i32;
        tokens.into_iter().map(move |token| {
            if Some(token) == self.skipped {
                return token as i32;
            }
            next += 1;
            next - 1
        })
    }
}
