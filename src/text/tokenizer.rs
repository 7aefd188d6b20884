//! Texts as tokens: `tokenizer.json`, one text at a time, cut to a number of tokens.

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

/// The largest `tokenizer.json` that is read.
const MAX_FILE_BYTES: u64 = 128 << 20;

/// Bytes of text in the first try, for each token that is wanted.
const BYTES_PER_TOKEN: usize = 12;

/// The longest text, in bytes, that is given to a tokenizer that splits by regular expressions. Their engine gives up
/// after a million steps back, and the tokenizer then goes on with wrong tokens and no error; texts of this length
/// stay far below that.
const MAX_REGEX_BYTES: usize = 400_000;

/// A text as tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Encoded {
    /// The tokens' numbers, special tokens included.
    pub ids: Vec<u32>,
    /// Which part of the input each token belongs to.
    pub type_ids: Vec<u32>,
    /// Whether tokens past the limit were cut off.
    pub truncated: bool,
}

/// A tokenizer as `tokenizer.json` describes it, that cuts texts to a number of tokens.
///
/// Padding in the file is ignored, so is its limit; no threads are started.
pub struct TextTokenizer {
    tokenizer: Tokenizer,
    max_tokens: usize,
    /// Tokens that the limit leaves to the text itself.
    text_tokens: usize,
    /// Whether a text may be cut at a space between two words before it is tokenized.
    cuttable: bool,
    /// Whether regular expressions of the tokenizer see the text.
    uses_regex: bool,
    lowercase: bool,
    /// Names the file's bytes.
    fingerprint: String,
}

/// A tokenizer that has been read, and a name for its file's bytes.
pub(super) struct Parsed {
    tokenizer: Tokenizer,
    fingerprint: String,
}

fn in_file(path: &Path) -> String {
    format!("`{}`", path.file_name().unwrap_or(path.as_os_str()).to_string_lossy())
}

impl TextTokenizer {
    /// Reads `tokenizer.json`; texts are cut to `max_tokens`, special tokens included.
    ///
    /// # Errors
    /// When the file is missing, larger than 128 MiB or not a tokenizer; when `max_tokens` leaves no token to a text
    /// beside the special ones.
    pub fn open(path: &Path, max_tokens: usize) -> Result<Self> {
        Self::new(Self::parse(path)?, max_tokens).context(|| in_file(path))
    }

    /// Reads `tokenizer.json`, the slow half of [`open`](Self::open).
    pub(super) fn parse(path: &Path) -> Result<Parsed> {
        let bytes = read_required(path, MAX_FILE_BYTES)?;
        // The crate checks what it reads, but not everywhere without a panic.
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

    /// A name for the bytes of `tokenizer.json` (BLAKE3).
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// Makes texts lower case before they are tokenized.
    #[must_use]
    pub fn lowercase(mut self, lowercase: bool) -> Self {
        self.lowercase = lowercase;
        self
    }

    /// The number of tokens that a text is cut to.
    pub fn max_tokens(&self) -> usize {
        self.max_tokens
    }

    /// The tokens of a text, cut to the limit.
    ///
    /// Of a long text only a beginning is tokenized, cut at a space between two words where that provably changes
    /// nothing before it; the tokens are those of the whole text.
    ///
    /// # Errors
    /// When the tokenizer refuses the text: a character that it has no token for, or a text of more than 400,000
    /// bytes that a regular expression would see whole.
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
