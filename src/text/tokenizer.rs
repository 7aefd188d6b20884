//! Tokenization of single texts with truncation, as `tokenizer.json` describes it.

mod convert;
mod cut;
mod encoded;
mod outline;
mod overrides;
mod plain_words;
mod shorten;
mod spans;
mod static_tokens;
mod steps;
mod word_table;

use std::{
    borrow::Cow,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
};

pub use encoded::Encoded;
use encoded::refused;
use serde_json::Value;
pub(super) use spans::Spanned;
use tokenizers::{
    AddedToken, NormalizedString, Normalizer as _, PostProcessor, Tokenizer, TruncationDirection, TruncationParams,
    TruncationStrategy,
};

use crate::{
    error::{Context, Error, ErrorKind, Result},
    import::hugging_face::{
        StaticRules,
        files::{read_optional, read_required},
    },
    text::tokenizer::{
        cut::Cuts, overrides::Overrides, plain_words::PlainWords, shorten::Shortener, spans::Words,
        static_tokens::StaticTokens, steps::Steps,
    },
    threads::panics::catch,
};

/// The maximum size of `tokenizer.json` in bytes.
const MAX_FILE_BYTES: u64 = 128 << 20;

/// Bytes of text per wanted token in the first attempt.
const BYTES_PER_TOKEN: usize = 12;

/// The most bytes of a text that are tokenized at once, which bounds memory and time.
///
/// The engine of regular expressions gives up after a million backtracking steps, and the tokenizer then returns wrong
/// tokens without an error. Texts of this length stay far below that number with the patterns of byte-level tokenizers.
const MAX_BYTES: usize = 400_000;

/// A tokenizer from `tokenizer.json` and the settings files beside it that truncates texts to a number of tokens.
///
/// Ignores the padding and the limit in the file. Starts no threads.
pub struct TextTokenizer {
    tokenizer: Tokenizer,
    max_tokens: usize,
    /// The limit less the special tokens.
    text_tokens: usize,
    /// Whether truncation keeps the end of a text.
    keeps_end: bool,
    cuts: Cuts,
    shortener: Option<Shortener>,
    plain_words: Option<PlainWords>,
    steps: Steps,
    words: Words,
    lowercase: bool,
    /// The rules for vectors of words, which take no special tokens.
    static_tokens: Option<StaticTokens>,
    /// The BLAKE3 hash of the file and of the settings beside it.
    fingerprint: String,
}

/// A parsed tokenizer and the hash of its file.
pub(super) struct Parsed {
    tokenizer: Tokenizer,
    /// The side on which texts are truncated, if the settings beside the file say.
    direction: Option<TruncationDirection>,
    /// The tokens that the settings name.
    named: Named,
    fingerprint: String,
}

/// Special tokens that the settings name.
#[derive(Clone, Debug, Default)]
struct Named {
    /// For unknown words.
    unknown: Option<String>,
    /// For masked words.
    mask: Option<String>,
    /// For the beginning of a text.
    begin: Option<String>,
    /// For the end of a text.
    end: Option<String>,
    /// For the whole of a text.
    class: Option<String>,
    /// For padding.
    padding: Option<String>,
    /// Whether padding stands in front.
    pads_left: bool,
}

impl Parsed {
    /// The token with which texts are filled up at their end.
    ///
    /// # Errors
    /// If the settings name none, or fill up the beginning.
    pub(super) fn padding(&self) -> Result<u32> {
        if self.named.pads_left {
            return Err(Error::unsupported("`tokenizer_config.json`: padding_side is left"));
        }
        let own = self.tokenizer.get_padding().map(|padding| padding.pad_token.clone());
        let token = self.named.padding.clone().or(own);
        let id = token.and_then(|token| self.tokenizer.token_to_id(&token));
        id.ok_or_else(|| Error::invalid_model("the tokenizer's files name no token for padding, which the model needs"))
    }

    /// Makes each marker, or its first word, a token of its own if the tokenizer knows it, whatever its normalizer does.
    pub(super) fn register(&mut self, markers: &[String]) -> Result<()> {
        for marker in markers {
            let first = marker.split_whitespace().next().unwrap_or_default();
            let known = [marker.as_str(), first].into_iter().find(|part| self.tokenizer.token_to_id(part).is_some());
            let Some(known) = known.filter(|_| !first.is_empty()) else { continue };
            let encoded = self.tokenizer.encode_fast(known, false).map_err(refused)?;
            if encoded.get_ids() == self.tokenizer.token_to_id(known).as_slice() {
                continue;
            }
            let token = AddedToken::from(known, true).normalized(false);
            self.tokenizer.add_special_tokens([token]).map_err(refused)?;
        }
        Ok(())
    }
}

/// What a tokenizer is set up for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    /// Single texts, which are truncated.
    Text,
    /// Pairs of texts.
    Pair,
    /// Whole texts, which are cut into windows.
    Windows,
}

/// Refuses an added token of which the normalizer leaves nothing: the crate would find it again and again in one place.
fn check_added(tokenizer: &Tokenizer) -> Result<()> {
    let Some(normalizer) = tokenizer.get_normalizer() else { return Ok(()) };
    for token in tokenizer.get_added_tokens_decoder().values().filter(|token| token.normalized) {
        let mut left = NormalizedString::from(token.content.as_str());
        normalizer.normalize(&mut left).map_err(refused)?;
        if left.is_empty() {
            let message = format!("the normalizer leaves nothing of the added token {:?}", token.content);
            return Err(Error::invalid_model(message));
        }
    }
    Ok(())
}

fn in_file(path: &Path) -> String {
    format!("`{}`", path.file_name().unwrap_or(path.as_os_str()).to_string_lossy())
}

impl TextTokenizer {
    /// Reads `tokenizer.json` and, from its folder, `tokenizer_config.json`, `special_tokens_map.json` and
    /// `added_tokens.json`; truncates texts to `max_tokens`, special tokens included.
    ///
    /// # Errors
    /// If the file is missing, larger than 128 MiB or not a tokenizer, and if `max_tokens` leaves
    /// no token for a text besides the special tokens.
    pub fn open(path: &Path, max_tokens: usize) -> Result<Self> {
        Self::new(Self::parse(path)?, max_tokens).context(|| in_file(path))
    }

    /// Parses the tokenizer of a folder; `alone` leaves the settings beside tokenizer.json unread.
    pub(super) fn parse_in(folder: &Path, alone: bool) -> Result<Parsed> {
        let overrides = if alone { Overrides::default() } else { Overrides::read(folder)? };
        Self::parse_with(&folder.join("tokenizer.json"), &overrides)
    }

    /// Parses `tokenizer.json`, which is the slow part of [`open`](Self::open).
    pub(super) fn parse(path: &Path) -> Result<Parsed> {
        Self::parse_with(path, &Overrides::read(path.parent().unwrap_or(Path::new("")))?)
    }

    fn parse_with(path: &Path, overrides: &Overrides) -> Result<Parsed> {
        let folder = path.parent().unwrap_or(Path::new(""));
        let bytes = match read_optional(path, MAX_FILE_BYTES)? {
            Some(bytes) => bytes,
            None => match convert::of_folder(folder)? {
                Some(bytes) => bytes,
                None => read_required(path, MAX_FILE_BYTES)?,
            },
        };
        outline::check(&bytes).context(|| in_file(path))?;
        // The parser of the crate panics on some invalid files.
        let parsed = catch_unwind(AssertUnwindSafe(|| Tokenizer::from_bytes(&bytes)));
        let problem = match parsed {
            Ok(Ok(mut tokenizer)) => {
                // The crate panics on some tokens.
                let direction = catch(|| {
                    let direction = overrides.apply(&mut tokenizer)?;
                    check_added(&tokenizer)?;
                    Ok(direction)
                });
                let direction = direction.context(|| in_file(path))?;
                let mut hasher = blake3::Hasher::new();
                hasher.update(&bytes).update(&overrides.bytes);
                let fingerprint = hasher.finalize().to_hex().to_string();
                return Ok(Parsed { tokenizer, direction, named: overrides.named(), fingerprint });
            }
            Ok(Err(error)) => format!("is not a tokenizer: {error}"),
            Err(_) => "is not a tokenizer: reading it panicked".to_owned(),
        };
        Err(Error::invalid_model(problem).context(in_file(path)))
    }

    /// Sets up a parsed tokenizer, as [`open`](Self::open) does.
    pub(super) fn new(parsed: impl Into<Parsed>, max_tokens: usize) -> Result<Self> {
        Self::set_up(parsed.into(), max_tokens, Unit::Text, None)
    }

    /// Sets up a parsed tokenizer for texts, pairs or windows, or for the texts of static vectors.
    ///
    /// # Errors
    /// If static vectors are asked for windows, which their texts do not need.
    pub(super) fn set_up(
        parsed: Parsed,
        mut max_tokens: usize,
        unit: Unit,
        static_rules: Option<StaticRules>,
    ) -> Result<Self> {
        let Parsed { mut tokenizer, direction, named, fingerprint } = parsed;
        let pairs = unit == Unit::Pair;
        let special = match static_rules {
            Some(_) => 0,
            None => tokenizer.get_post_processor().map_or(0, |processor| processor.added_tokens(pairs)),
        };
        let mut own = tokenizer.get_truncation().cloned();
        let mut static_tokens = None;
        if let Some(rules) = static_rules {
            if unit == Unit::Windows {
                return Err(Error::invalid_input(
                    "windows over the texts of static vectors, which may be of any length",
                ));
            }
            // model2vec replaces the file's own limit; without another one it counts.
            own = own.filter(|_| !rules.model2vec);
            if let Some(own) = own.as_ref().filter(|_| !rules.limited) {
                max_tokens = max_tokens.min(own.max_length);
            }
            static_tokens = Some(StaticTokens::of(&tokenizer, rules, max_tokens));
        }
        if max_tokens <= special {
            return Err(Error::invalid_input(format!(
                "a limit of {max_tokens} tokens leaves none beside the {special} special ones"
            )));
        }
        let direction = direction.or(own.map(|params| params.direction)).unwrap_or_default();
        let truncation = TruncationParams {
            // One more than are kept, so that the crate, which stops early, shows whether there are more.
            max_length: max_tokens + usize::from(special == 0),
            strategy: TruncationStrategy::LongestFirst,
            stride: 0,
            direction,
        };
        let uncut = |error: tokenizers::Error| Error::invalid_model(format!("cannot be cut: {error}"));
        // How a pair is cut follows from the whole lengths of both texts; windows cover the whole text.
        let truncation = (unit == Unit::Text).then_some(truncation);
        tokenizer.with_truncation(truncation).map_err(uncut)?.with_padding(None);
        let settings = |value: serde_json::Result<Value>| {
            value.map_err(|error| Error::internal(format!("a tokenizer's part does not serialize: {error}")))
        };
        let normalizer = settings(serde_json::to_value(tokenizer.get_normalizer()))?;
        let pre_tokenizer = settings(serde_json::to_value(tokenizer.get_pre_tokenizer()))?;
        let added: Vec<AddedToken> = tokenizer.get_added_tokens_decoder().into_values().collect();
        let keeps_end = direction == TruncationDirection::Left;
        let cuts = Cuts::of(direction, &normalizer, &pre_tokenizer, &added);
        let shortener = Shortener::of(tokenizer.get_model(), &normalizer, &pre_tokenizer, &added);
        let shortener = shortener.filter(|_| !keeps_end);
        let plain_words = PlainWords::of(&tokenizer, &normalizer, &pre_tokenizer, &added, static_rules.is_none());
        let plain_words = plain_words.filter(|_| !keeps_end);
        let steps = Steps::of(&tokenizer, &normalizer, &pre_tokenizer, MAX_BYTES)?;
        let text_tokens = max_tokens - special;
        let words = Words::of(&tokenizer, &named);
        let lowercase = false;
        let own = Self {
            tokenizer,
            max_tokens,
            text_tokens,
            keeps_end,
            cuts,
            shortener,
            plain_words,
            steps,
            words,
            lowercase,
            static_tokens,
            fingerprint,
        };
        own.probe()?;
        Ok(own)
    }

    /// Tokenizes a few texts, some of which any tokenizer should take.
    ///
    /// # Errors
    /// If it panics, or takes none of them.
    fn probe(&self) -> Result<()> {
        let mut texts = vec![String::new(), "a".to_owned(), "Hello, world 1.".to_owned()];
        texts.extend((0..16).filter_map(|id| self.tokenizer.id_to_token(id)));
        let (mut takes, mut first) = (false, None);
        for text in &texts {
            match catch(|| self.encode_whole(text, self.text_tokens)) {
                Ok(encoded) => takes |= !text.is_empty() && !encoded.ids.is_empty(),
                Err(error) if error.kind() == ErrorKind::Panic => {
                    return Err(Error::invalid_model(format!("panics on the text {text:?}: {error}")));
                }
                Err(error) => drop(first.get_or_insert(error)),
            }
        }
        match first.filter(|_| !takes) {
            Some(error) => Err(Error::invalid_model(format!("takes no text: {error}"))),
            None => Ok(()),
        }
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
    /// Of a long text only as much is tokenized as is kept, up to a place where a cut provably does not change the
    /// tokens on the kept side. The tokens are those of the whole text.
    ///
    /// # Errors
    /// If the tokenizer has no token for a character, and if more than 400,000 bytes of the text would have to be
    /// tokenized at once.
    pub fn encode(&self, text: &str) -> Result<Encoded> {
        let Some(rules) = self.static_tokens else { return self.encode_to(text, self.text_tokens) };
        let (beginning, cut) = rules.beginning(text);
        let mut encoded = self.encode_to(beginning, self.text_tokens)?;
        encoded.truncated |= cut;
        rules.remove_unknown(&mut encoded.ids);
        encoded.type_ids.truncate(encoded.ids.len());
        Ok(encoded)
    }

    /// As [`encode`](Self::encode), of a tokenizer that is not set up for a limit.
    pub(super) fn encode_within(&self, text: &str, max_tokens: usize) -> Result<Encoded> {
        self.encode_to(text, max_tokens.saturating_sub(self.max_tokens - self.text_tokens))
    }

    /// Of a text, by the rules of the file alone.
    fn encode_to(&self, text: &str, text_tokens: usize) -> Result<Encoded> {
        let max_bytes = self.steps.max_bytes;
        let mut window = text_tokens.saturating_mul(BYTES_PER_TOKEN).clamp(256, max_bytes);
        if !self.cuts.any() && self.shortener.is_none() {
            window = max_bytes;
        }
        loop {
            let (part, is_whole) = self.part(text, window);
            if is_whole {
                return self.encode_whole(&part, text_tokens);
            }
            if let Some(kept) = self.cuts.kept(&part) {
                let encoded = self.encode_whole(kept, text_tokens)?;
                if encoded.truncated {
                    return Ok(encoded);
                }
            }
            if window >= max_bytes {
                return Err(Error::limit(format!(
                    "a text of {} bytes, in which no place is found to cut it; the tokenizer takes {max_bytes} bytes at \
                     once, cut it before",
                    text.len()
                )));
            }
            window = window.saturating_mul(4).min(max_bytes);
        }
    }

    /// About `window` bytes of the side of a text that is kept, and whether that is all of it.
    fn part<'t>(&self, text: &'t str, window: usize) -> (Cow<'t, str>, bool) {
        if text.len() <= window {
            return (Cow::Borrowed(text), true);
        }
        if let Some(shortener) = &self.shortener {
            return shortener.beginning(text, window);
        }
        let part = match self.keeps_end {
            true => &text[(text.len() - window..).find(|&at| text.is_char_boundary(at)).unwrap_or(text.len())..],
            false => &text[..(0..=window).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0)],
        };
        (Cow::Borrowed(part), false)
    }

    /// Tokenizes two texts as one, and truncates the longer one first.
    ///
    /// # Errors
    /// As [`encode`](Self::encode); each text is tokenized whole.
    pub(super) fn encode_pair(&self, first: &str, second: &str) -> Result<Encoded> {
        let [first, second] = [first, second].map(|text| self.cased(text));
        for text in [&first, &second] {
            check_length(text, self.steps.max_bytes)?;
            self.steps.check(&self.tokenizer, text)?;
        }
        let mut first = self.tokenizer.encode_fast(first.as_ref(), false).map_err(refused)?;
        let mut second = self.tokenizer.encode_fast(second.as_ref(), false).map_err(refused)?;
        second.set_type_ids(vec![1; second.len()]);
        let whole = [first.len(), second.len()];
        let kept = longest_first(whole, self.text_tokens);
        first.truncate(kept[0], 0, self.direction());
        second.truncate(kept[1], 0, self.direction());
        // What was cut off would be given special tokens too.
        first.take_overflowing();
        second.take_overflowing();
        let encoding = self.tokenizer.post_process(first, Some(second), true).map_err(refused)?;
        let (ids, type_ids) = (encoding.get_ids().to_vec(), encoding.get_type_ids().to_vec());
        Ok(Encoded { truncated: kept != whole, ids, type_ids })
    }

    /// The side on which tokens are removed.
    fn direction(&self) -> TruncationDirection {
        if self.keeps_end { TruncationDirection::Left } else { TruncationDirection::Right }
    }

    /// The text in lower case, where the folder asks for it.
    fn cased<'t>(&self, text: &'t str) -> Cow<'t, str> {
        if self.lowercase { Cow::Owned(text.to_lowercase()) } else { Cow::Borrowed(text) }
    }

    fn encode_whole(&self, text: &str, text_tokens: usize) -> Result<Encoded> {
        let text = self.cased(text);
        self.steps.check(&self.tokenizer, &text)?;
        let plain = |words: &PlainWords| words.encode(self.tokenizer.get_model(), &text, text_tokens);
        if let Some(encoded) = self.plain_words.as_ref().and_then(plain) {
            return Ok(encoded);
        }
        let (encoding, cut) = match self.tokenizer.get_truncation() {
            Some(_) => {
                (self.tokenizer.encode_fast(text.as_ref(), self.static_tokens.is_none()).map_err(refused)?, false)
            }
            None => {
                let mut whole = self.tokenizer.encode_fast(text.as_ref(), false).map_err(refused)?;
                let cut = whole.len() > text_tokens;
                whole.truncate(text_tokens, 0, self.direction());
                whole.take_overflowing();
                (self.tokenizer.post_process(whole, None, true).map_err(refused)?, cut)
            }
        };
        let (mut ids, mut type_ids) = (encoding.get_ids().to_vec(), encoding.get_type_ids().to_vec());
        // Without a limit of its own the tokenizer gives as many as were asked for.
        let more = self.tokenizer.get_truncation().map_or(0, |_| ids.len().saturating_sub(self.max_tokens));
        if more > 0 {
            let removed = if self.keeps_end { 0..more } else { self.max_tokens..ids.len() };
            ids.drain(removed.clone());
            type_ids.drain(removed);
        }
        let truncated = cut || more > 0 || !encoding.get_overflowing().is_empty();
        Ok(Encoded { truncated, ids, type_ids })
    }
}

/// How many tokens of two texts are kept: all of the shorter one if they fit, else half of each, the longer one's half
/// rounded up, and the second's of two that are equally long.
fn longest_first([first, second]: [usize; 2], most: usize) -> [usize; 2] {
    if first.saturating_add(second) <= most {
        return [first, second];
    }
    let shorter = first.min(second).min(most / 2);
    if first > second { [most - shorter, shorter] } else { [shorter, most - shorter] }
}

/// An error where a text is too long to be tokenized at once.
fn check_length(text: &str, most: usize) -> Result<()> {
    if text.len() <= most {
        return Ok(());
    }
    let bytes = text.len();
    Err(Error::limit(format!(
        "a text of {bytes} bytes in a pair or in windows; the tokenizer takes {most} bytes at once, cut it before"
    )))
}

impl fmt::Debug for TextTokenizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TextTokenizer")
            .field("max_tokens", &self.max_tokens)
            .field("cuts", &self.cuts)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
