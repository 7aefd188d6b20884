//! How texts become tokens for vectors of words.

/// The tokens of a text where nothing limits them.
pub(super) const MAX_TOKENS: usize = 1 << 24;

/// How texts become tokens for vectors of words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StaticRules {
    /// Whether the rules are model2vec's: tokens of unknown words are left out, and texts are cut to as many
    /// characters as tokens of the median length have. Else tokenizer.json alone decides.
    pub(crate) model2vec: bool,
    /// Whether the number of tokens is limited.
    pub(crate) limited: bool,
}
