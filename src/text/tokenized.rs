//! A text as the encoder takes it.

use std::ops::Range;

use smallvec::SmallVec;

use crate::tensor::Tensors;

/// A tokenized text: what an encoder is run on, once or window by window, and what became of the text.
#[derive(Debug)]
pub struct Tokenized {
    pub(super) runs: SmallVec<[Run; 1]>,
    pub(super) facts: Facts,
}

/// What became of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Facts {
    /// The tokens that the encoder sees, special ones included; those of overlaps count in each window.
    pub(super) tokens: usize,
    /// Whether tokens were removed.
    pub(super) truncated: bool,
}

/// What the encoder is run on at once.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) tensors: Tensors,
    /// The number of tokens.
    pub(super) tokens: usize,
    /// The ids of the tokens, where they matter.
    pub(super) ids: Vec<u32>,
    /// The text's own tokens, where their places in the text matter.
    pub(super) pieces: Vec<Piece>,
    /// The bytes of the text that are in it, where that matters.
    pub(super) bytes: Range<usize>,
}

/// A token of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    /// Its row among the encoder's results.
    pub(super) row: usize,
    pub(super) id: u32,
    /// Its place in the text.
    pub(super) characters: Range<usize>,
    pub(super) bytes: Range<usize>,
    /// The text there, where the token is the one for unknown words.
    pub(super) unknown: Option<String>,
    /// Whether it continues a word.
    pub(super) is_subword: bool,
}

impl Tokenized {
    /// The number of tokens that the encoder sees, special ones included.
    pub fn tokens(&self) -> usize {
        self.facts.tokens
    }

    /// Whether tokens of the text were removed.
    pub fn truncated(&self) -> bool {
        self.facts.truncated
    }
}
