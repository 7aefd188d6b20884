//! What a tokenizer makes of a text.

use crate::error::Error;

/// The tokens of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Encoded {
    /// The token ids, special tokens included.
    pub ids: Vec<u32>,
    /// The token type ids, which say to which part of the input a token belongs.
    pub type_ids: Vec<u32>,
    /// Whether tokens past the limit were removed.
    pub truncated: bool,
}

/// The error of a text that a tokenizer does not take.
pub(super) fn refused(error: tokenizers::Error) -> Error {
    Error::invalid_input(format!("the text cannot be tokenized: {error}"))
}
