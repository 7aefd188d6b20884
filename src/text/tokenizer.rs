//! Tokenization of single texts with truncation, as `tokenizer.json` describes it.

mod cut;

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
};

use serde_json::Value;
use tokenizers::{PostProcessor, Tokenizer, TruncationDirection, TruncationParams, TruncationStrategy};

use crate::{
    error::{Context, Error, Result},
    import::hugging_face::files::read_required,
    text::tokenizer::cut::{last_cut, mentions_regex, splits_at_spaces, works_locally},
};

/// The maximum size of `tokenizer.json` in bytes.
const MAX_FILE_BYTES: u64 = 128 << 20;

/// Bytes of text per wanted token in the first attempt.
const BYTES_PER_TOKEN: usize = 12;

/// The maximum text length in bytes for a tokenizer that splits by regular expressions.
///
/// Their engine gives up after a million backtracking steps, and the tokenizer then returns wrong
/// tokens without an error. Texts of this length stay far below that number.
const MAX_REGEX_BYTES: usize = 400_000;

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

/// A tokenizer from `tokenizer.json` that truncates texts to a number of tokens.
///
/// Ignores the padding and the limit in the file. Starts no threads.
pub struct TextTokenizer {
    tokenizer: Tokenizer,
    max_tokens: usize,
    /// The limit less the special tokens.
    text_tokens: usize,
    /// Whether a text may be cut at a space between two words before tokenization.
    cuttable: bool,
    /// Whether the tokenizer applies regular expressions to the text.
    uses_regex: bool,
    lowercase: bool,
    /// The BLAKE3 hash of the file.
    fingerprint: String,
}

/// A parsed tokenizer and the hash of its file.
pub(super) struct Parsed {
    tokenizer: Tokenizer,
    fingerprint: String,
}

fn in_file(path: &Path) -> String {
    format!("`{}`", path.file_name().unwrap_or(path.as_os_str()).to_string_lossy())
}

impl TextTokenizer {
    /// Reads `tokenizer.json`; truncates texts to `max_tokens`, special tokens included.
    ///
    /// # Errors
    /// If the file is missing, larger than 128 MiB or not a tokenizer, and if `max_tokens` leaves
    /// no token for a text besides the special tokens.
    pub fn open(path: &Path, max_tokens: usize) -> Result<Self> {
        Self::new(Self::parse(path)?, max_tokens).context(|| in_file(path))
    }

    /// Parses `tokenizer.json`, which is the slow part of [`open`](Self::open).
    pub(super) fn parse(path: &Path) -> Result<Parsed> {
        let bytes = read_required(path, MAX_FILE_BYTES)?;
        // The parser of the crate panics on some invalid files.
        let parsed = catch_unwind(AssertUnwindSafe(|| Tokenizer::from_bytes(&bytes)));
        let problem = match parsed {
            Ok(Ok(tokenizer)) => {
                return Ok(Parsed { tokenizer, fingerprint: blake3::hash(&bytes).to_hex().to_string() });
            }
            Ok(Err(error)) => format!("is not a tokenizer: {error}"),
            Err(_) => "is not a tokenizer: reading it panicked".to_owned(),
        };
        Err(Error::invalid_model(problem).context(in_file(path)))
    }

    /// Sets up a parsed tokenizer, as [`open`](Self::open) does.
    pub(super) fn new(parsed: impl Into<Parsed>, max_tokens: usize) -> Result<Self> {
        let Parsed { mut tokenizer, fingerprint } = parsed.into();
        let special = tokenizer.get_post_processor().map_or(0, |processor| processor.added_tokens(false));
        if max_tokens <= special {
            return Err(Error::invalid_input(format!(
                "a limit of {max_tokens} tokens leaves none beside the {special} special ones"
            )));
        }
        let direction = tokenizer.get_truncation().map_or(TruncationDirection::Right, |params| params.direction);
        let truncation = TruncationParams {
            max_length: max_tokens,
            strategy: TruncationStrategy::LongestFirst,
            stride: 0,
            direction,
        };
        let refused = |error: tokenizers::Error| Error::invalid_model(format!("cannot be cut: {error}"));
        tokenizer.with_truncation(Some(truncation)).map_err(refused)?.with_padding(None);
        let settings = |value: serde_json::Result<Value>| {
            value.map_err(|error| Error::internal(format!("a tokenizer's part does not serialize: {error}")))
        };
        let normalizer = settings(serde_json::to_value(tokenizer.get_normalizer()))?;
        let pre_tokenizer = settings(serde_json::to_value(tokenizer.get_pre_tokenizer()))?;
        let spaced = |content: &str| content.contains(char::is_whitespace);
        let cuttable = direction == TruncationDirection::Right
            && works_locally(&normalizer)
            && works_locally(&pre_tokenizer)
            && splits_at_spaces(&pre_tokenizer)
            && !tokenizer.get_added_tokens_decoder().values().any(|token| spaced(&token.content));
        let uses_regex = mentions_regex(&normalizer) || mentions_regex(&pre_tokenizer);
        let text_tokens = max_tokens - special;
        Ok(Self { tokenizer, max_tokens, text_tokens, cuttable, uses_regex, lowercase: false, fingerprint })
    }

    /// The BLAKE3 hash of `tokenizer.json`.
    pub(crate) fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// Sets whether texts are lowercased before they are tokenized.
    #[must_use]
    pub(crate) fn lowercase(mut self, lowercase: bool) -> Self {
        self.lowercase = lowercase;
        self
    }

    /// Tokenizes a text and truncates the result.
    ///
    /// Of a long text only the beginning is tokenized, up to a space between two words where a cut
    /// provably does not change the tokens before it. The tokens are those of the whole text.
    ///
    /// # Errors
    /// If the tokenizer has no token for a character, and if a regular expression would be applied
    /// to a text of more than 400,000 bytes.
    pub fn encode(&self, text: &str) -> Result<Encoded> {
        let mut window = self.text_tokens.saturating_mul(BYTES_PER_TOKEN).max(256);
        while self.cuttable && window < text.len() {
            if let Some(cut) = last_cut(text, window) {
                let encoded = self.encode_whole(&text[..cut])?;
                if encoded.truncated {
                    return Ok(encoded);
                }
            }
            window = window.saturating_mul(4);
        }
        self.encode_whole(text)
    }

    fn encode_whole(&self, text: &str) -> Result<Encoded> {
        if self.uses_regex && text.len() > MAX_REGEX_BYTES {
            return Err(Error::limit(format!(
                "a text of {} bytes; this tokenizer takes {MAX_REGEX_BYTES}, cut it before",
                text.len()
            )));
        }
        let lowercase;
        let text = if self.lowercase {
            lowercase = text.to_lowercase();
            &lowercase
        } else {
            text
        };
        let refused = |error: tokenizers::Error| Error::invalid_input(format!("the text cannot be tokenized: {error}"));
        let encoding = self.tokenizer.encode_fast(text, true).map_err(refused)?;
        Ok(Encoded {
            truncated: !encoding.get_overflowing().is_empty(),
            ids: encoding.get_ids().to_vec(),
            type_ids: encoding.get_type_ids().to_vec(),
        })
    }
}

impl fmt::Debug for TextTokenizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TextTokenizer")
            .field("max_tokens", &self.max_tokens)
            .field("cuttable", &self.cuttable)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
