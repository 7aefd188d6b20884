//! Where a long text may be cut without changing the tokens on the side that is kept.
//!
//! A cut is made only where three things are certain: no step of normalization looks across it, every tokenizer that
//! the rule is for ends a token there, and no added token spans it.

use serde_json::Value;
use tokenizers::{ModelWrapper, TruncationDirection, models::wordpiece::WordPiece};

/// Punctuation that lowercasing looks past, where it decides the form of a final sigma.
const IGNORED_BY_CASE: &[u8] = b"'.:^`_";

/// The rules by which a tokenizer's texts may be cut.
#[derive(Debug)]
pub(super) struct Cuts {
    direction: TruncationDirection,
    /// Before a space between two ASCII letters or digits.
    spaces: bool,
    /// Behind these ASCII characters, before an ASCII letter or digit.
    marks: Vec<u8>,
    /// Between two ideographs.
    ideographs: bool,
}

impl Cuts {
    /// The rules for a tokenizer with these steps and added tokens.
    pub(super) fn of(
        direction: TruncationDirection,
        normalizer: &Value,
        pre_tokenizer: &Value,
        added: &[tokenizers::AddedToken],
    ) -> Self {
        let local = works_locally(normalizer) && works_locally(pre_tokenizer);
        let left = direction == TruncationDirection::Left;
        let ends_alphanumeric = |text: &str| text.chars().next_back().is_some_and(char::is_alphanumeric);
        let spaces = local
            && splits_at_spaces(pre_tokenizer)
            && !added.iter().any(|token| token.content.contains(char::is_whitespace))
            // Such a token takes the space with it.
            && !(left && added.iter().any(|token| token.rstrip && ends_alphanumeric(&token.content)));
        let ascii = added.iter().all(|token| token.content.is_ascii());
        // What stands at the beginning of a text may be given a prefix.
        let prefixed = steps(pre_tokenizer).into_iter().any(|step| matches!(kind(step), "ByteLevel" | "Metaspace"));
        let behind = local && ascii && !(left && (prefixed || added.iter().any(|token| token.rstrip)));
        let is_mark = |&mark: &u8| {
            mark.is_ascii_punctuation()
                && !IGNORED_BY_CASE.contains(&mark)
                && !added.iter().any(|token| token.content.as_bytes().contains(&mark))
        };
        let marks =
            if behind && splits_at_marks(pre_tokenizer) { (0..128).filter(is_mark).collect() } else { Vec::new() };
        let ideographs = behind
            && splits_at_spaces(pre_tokenizer)
            && steps(normalizer).into_iter().any(|step| {
                kind(step) == "BertNormalizer" && step.get("handle_chinese_chars") == Some(&Value::Bool(true))
            });
        Self { direction, spaces, marks, ideographs }
    }

    /// Whether any text may be cut.
    pub(super) fn any(&self) -> bool {
        self.spaces || self.ideographs || !self.marks.is_empty()
    }

    /// The longest part of `text` that may be kept alone: its beginning, or its end where truncation is on the left.
    pub(super) fn kept<'t>(&self, text: &'t str) -> Option<&'t str> {
        // The positions that are looked at, from the far end of the kept part.
        let mut places = text.char_indices();
        let place = |before: Option<char>, here: char, next: Option<char>| self.is_cut(before?, here, next);
        let mut found = None;
        match self.direction {
            TruncationDirection::Right => {
                let mut next = None;
                let mut here = places.next_back();
                while let Some((position, letter)) = here {
                    let before = places.next_back();
                    if place(before.map(|(_, before)| before), letter, next) == Some(true) {
                        found = Some(&text[..position]);
                        break;
                    }
                    next = Some(letter);
                    here = before;
                }
            }
            TruncationDirection::Left => {
                let mut before = None;
                let mut here = places.next();
                while let Some((position, letter)) = here {
                    let next = places.next();
                    if place(before, letter, next.map(|(_, next)| next)) == Some(true) {
                        found = Some(&text[position..]);
                        break;
                    }
                    before = Some(letter);
                    here = next;
                }
            }
        }
        found
    }

    /// Whether a text may be cut before `here`.
    fn is_cut(&self, before: char, here: char, next: Option<char>) -> Option<bool> {
        let plain = |letter: char| letter.is_ascii_alphanumeric();
        let space = self.spaces && here == ' ' && plain(before) && next.is_some_and(plain);
        let mark = plain(here) && u8::try_from(before).is_ok_and(|before| self.marks.contains(&before));
        Some(space || mark || (self.ideographs && is_ideograph(before) && is_ideograph(here)))
    }
}

/// Whether a character is one of the unified ideographs that no normalization changes.
pub(super) fn is_ideograph(letter: char) -> bool {
    ('\u{4e00}'..='\u{9fff}').contains(&letter)
}

/// The steps of a normalizer or pre-tokenizer, with sequences flattened.
pub(super) fn steps(settings: &Value) -> Vec<&Value> {
    let inner = ["normalizers", "pretokenizers"].iter().find_map(|name| settings.get(name)).and_then(Value::as_array);
    match inner {
        Some(inner) => inner.iter().flat_map(steps).collect(),
        None if settings.is_null() => Vec::new(),
        None => vec![settings],
    }
}

pub(super) fn kind(step: &Value) -> &str {
    step.get("type").and_then(Value::as_str).unwrap_or_default()
}

/// The normalizer and the model of a tokenizer whose steps are BERT's.
pub(super) fn of_bert<'t>(
    model: &'t ModelWrapper,
    normalizer: &'t Value,
    pre_tokenizer: &'t Value,
) -> Option<(&'t Value, &'t WordPiece)> {
    let ModelWrapper::WordPiece(model) = model else { return None };
    let [normalizer] = steps(normalizer)[..] else { return None };
    let [pre_tokenizer] = steps(pre_tokenizer)[..] else { return None };
    let fits = kind(normalizer) == "BertNormalizer" && kind(pre_tokenizer) == "BertPreTokenizer";
    fits.then_some((normalizer, model))
}

/// Whether no step lets the text after a cut affect the text before it, or the other way round.
///
/// Unknown steps count as if they did.
pub(super) fn works_locally(settings: &Value) -> bool {
    steps(settings).into_iter().all(|step| match kind(step) {
        "BertNormalizer" | "NFC" | "NFD" | "NFKC" | "NFKD" | "Lowercase" | "StripAccents" | "Precompiled" => true,
        "BertPreTokenizer" | "Whitespace" | "WhitespaceSplit" | "Punctuation" | "Digits" | "Metaspace" => true,
        "ByteLevel" => step.get("use_regex") != Some(&Value::Bool(false)),
        // XLM-RoBERTa collapses runs of spaces.
        "Replace" => step.pointer("/pattern/Regex") == Some(&Value::from(" {2,}")),
        _ => false,
    })
}

/// Whether some step splits the text at every space between words.
pub(super) fn splits_at_spaces(pre_tokenizer: &Value) -> bool {
    steps(pre_tokenizer).into_iter().any(|step| match kind(step) {
        "BertPreTokenizer" | "Whitespace" | "WhitespaceSplit" => true,
        "ByteLevel" => step.get("use_regex") != Some(&Value::Bool(false)),
        "Metaspace" => step.get("split") != Some(&Value::Bool(false)),
        _ => false,
    })
}

/// Whether some step splits the text between ASCII punctuation and a letter or digit after it.
fn splits_at_marks(pre_tokenizer: &Value) -> bool {
    steps(pre_tokenizer).into_iter().any(|step| match kind(step) {
        "BertPreTokenizer" | "Whitespace" => true,
        "ByteLevel" => step.get("use_regex") != Some(&Value::Bool(false)),
        "Punctuation" => matches!(step.get("behavior").and_then(Value::as_str), None | Some("Isolated")),
        _ => false,
    })
}
