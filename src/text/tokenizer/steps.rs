//! What the steps of a tokenizer may make of a text: how far they let it grow, and where a pattern gives up.

use serde_json::Value;
use tokenizers::{OffsetReferential, OffsetType, PreTokenizer, PreTokenizerWrapper, Tokenizer};

use crate::{
    error::{Error, Result},
    text::tokenizer::cut::{kind, steps},
};

/// The most bytes that a normalizer may make of one.
const MAX_GROWTH: usize = 64;
/// Growth that does not count against the size of a text.
const FREE_GROWTH: usize = 4;
/// The most bytes of a text for a pattern that may take the square of them.
const MAX_BACKTRACKED: usize = 20_000;

/// Patterns of pre-tokenizers in use, which take little more time than their text is long.
pub(super) const KNOWN: &[&str] = &[
    // GPT-2
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    // GPT-4 and Llama 3
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    // Qwen 2 and 3
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
];

/// The checks of a tokenizer's steps.
#[derive(Debug, Default)]
pub(super) struct Steps {
    /// For each step of the pre-tokenizer its pattern, if that may give up in the middle of a text.
    patterns: Vec<Option<fancy_regex::Regex>>,
    /// The most bytes of a text.
    pub(super) max_bytes: usize,
}

impl Steps {
    /// Checks the settings of a tokenizer that takes texts of `max_bytes`.
    ///
    /// # Errors
    /// If a normalizer may let a text grow without bounds, a pattern may take time without bounds, or a template names
    /// a token that it does not define.
    pub(super) fn of(
        tokenizer: &Tokenizer,
        normalizer: &Value,
        pre_tokenizer: &Value,
        max_bytes: usize,
    ) -> Result<Self> {
        let mut growth = 1usize;
        for step in steps(normalizer) {
            growth = growth.saturating_mul(growth_of(step)?);
            if let Some(pattern) = pattern_of(step).filter(|pattern| backtracks(pattern)) {
                return Err(Error::unsupported(format!("the normalizer's pattern {pattern:?} looks around or back")));
            }
        }
        if growth > MAX_GROWTH {
            return Err(Error::limit(format!(
                "its normalizer may make {growth} bytes of one; the limit is {MAX_GROWTH}"
            )));
        }
        let mut max_bytes = max_bytes * FREE_GROWTH / growth.max(FREE_GROWTH);
        let mut patterns = Vec::new();
        for step in steps(pre_tokenizer) {
            let pattern = pattern_of(step).filter(|pattern| backtracks(pattern));
            if let Some(pattern) = pattern.filter(|pattern| !KNOWN.contains(pattern)) {
                if refers_back(pattern) {
                    return Err(Error::unsupported(format!("the pattern {pattern:?} refers to its own groups")));
                }
                max_bytes = max_bytes.min(MAX_BACKTRACKED);
            }
            let compiled = pattern.map(fancy_regex::Regex::new).transpose();
            patterns.push(compiled.map_err(|error| Error::invalid_model(format!("a pattern is invalid: {error}")))?);
        }
        let post_processor = serde_json::to_value(tokenizer.get_post_processor());
        check_templates(&post_processor.unwrap_or_default())?;
        Ok(Self { patterns, max_bytes })
    }

    /// Checks that no pattern gives up in a text, which the tokenizer itself would take for the end of the matches.
    pub(super) fn check(&self, tokenizer: &Tokenizer, text: &str) -> Result<()> {
        let Some(last) = self.patterns.iter().rposition(Option::is_some) else { return Ok(()) };
        let given_up = |error: fancy_regex::Error| {
            Error::limit(format!("a pattern of the tokenizer gives up on this text: {error}"))
        };
        let failed = |error: tokenizers::Error| Error::invalid_input(format!("the text cannot be tokenized: {error}"));
        let mut split = tokenizer.get_added_vocabulary().extract_and_normalize(tokenizer.get_normalizer(), text);
        let pre_tokenizer = tokenizer.get_pre_tokenizer();
        for (index, (step, pattern)) in pre_tokenizer.into_iter().flat_map(flat).zip(&self.patterns).enumerate() {
            if let Some(pattern) = pattern {
                for (piece, _, tokens) in split.get_splits(OffsetReferential::Normalized, OffsetType::Byte) {
                    if tokens.is_none() {
                        pattern.find_iter(piece).try_for_each(|found| found.map(drop)).map_err(given_up)?;
                    }
                }
            }
            if index < last {
                step.pre_tokenize(&mut split).map_err(failed)?;
            }
        }
        Ok(())
    }
}

/// The steps of a pre-tokenizer in the order of [`steps`].
fn flat(step: &PreTokenizerWrapper) -> Vec<&PreTokenizerWrapper> {
    match step {
        PreTokenizerWrapper::Sequence(inner) => inner.as_ref().iter().flat_map(flat).collect(),
        step => vec![step],
    }
}

/// The regular expression of a step.
fn pattern_of(step: &Value) -> Option<&str> {
    step.pointer("/pattern/Regex").and_then(Value::as_str)
}

/// Whether the engine may have to backtrack for a pattern.
fn backtracks(pattern: &str) -> bool {
    let plain_groups = pattern.replace("(?:", "").replace("(?i:", "").replace("(?i)", "");
    let possessive = ["++", "*+", "?+", "}+"].iter().any(|quantifier| pattern.contains(quantifier));
    plain_groups.contains("(?")
        || possessive
        || refers_back(pattern)
        || ["\\G", "\\K"].iter().any(|at| pattern.contains(at))
}

/// Whether a pattern refers to its own groups.
fn refers_back(pattern: &str) -> bool {
    let escaped = |pair: &[u8]| pair[0] == b'\\' && (pair[1].is_ascii_digit() || matches!(pair[1], b'k' | b'g'));
    pattern.as_bytes().windows(2).any(escaped)
        || ["(?P=", "(?P>", "(?&", "(?R", "(?("].iter().any(|group| pattern.contains(group))
}

/// The most bytes that a normalizer's step makes of one.
fn growth_of(step: &Value) -> Result<usize> {
    let text = |name: &str| step.get(name).and_then(Value::as_str).unwrap_or_default();
    let growth = match kind(step) {
        "Replace" => {
            let content = text("content").len();
            match step.pointer("/pattern/String").and_then(Value::as_str) {
                Some(pattern) if !pattern.is_empty() => content.div_ceil(pattern.len()).max(1),
                _ => content + 1,
            }
        }
        "Prepend" => {
            let bytes = text("prepend").len();
            if bytes > MAX_GROWTH {
                return Err(Error::limit(format!("a normalizer prepends {bytes} bytes; the limit is {MAX_GROWTH}")));
            }
            1
        }
        "Precompiled" => {
            let longest = longest_replacement(text("precompiled_charsmap"));
            let longest =
                longest.ok_or_else(|| Error::invalid_model("the table of a precompiled normalizer is damaged"))?;
            if longest > MAX_GROWTH {
                return Err(Error::limit(format!(
                    "a precompiled normalizer makes {longest} bytes of a character; the limit is {MAX_GROWTH}"
                )));
            }
            1
        }
        _ => 1,
    };
    Ok(growth)
}

/// The bytes of the longest text in a table of sentencepiece: the bytes of an index, the index, and texts that end in 0.
fn longest_replacement(table: &str) -> Option<usize> {
    let bytes = base64(table)?;
    let index = u32::from_le_bytes(bytes.get(..4)?.try_into().ok()?) as usize;
    let texts = bytes.get(4..)?.get(index..)?;
    texts.split(|&byte| byte == 0).map(<[u8]>::len).max()
}

/// The bytes that a text in base64 stands for.
fn base64(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut count) = (0u32, 0);
    for letter in text.trim_end_matches('=').bytes() {
        let value = match letter {
            b'A'..=b'Z' => letter - b'A',
            b'a'..=b'z' => letter - b'a' + 26,
            b'0'..=b'9' => letter - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
        }
    }
    Some(bytes)
}

/// Checks that templates define the tokens that they name.
fn check_templates(settings: &Value) -> Result<()> {
    for inner in settings.get("processors").and_then(Value::as_array).into_iter().flatten() {
        check_templates(inner)?;
    }
    if kind(settings) != "TemplateProcessing" {
        return Ok(());
    }
    let defined = settings.get("special_tokens");
    for template in ["single", "pair"] {
        for piece in settings.get(template).and_then(Value::as_array).into_iter().flatten() {
            let Some(name) = piece.pointer("/SpecialToken/id").and_then(Value::as_str) else { continue };
            if defined.and_then(|defined| defined.get(name)).is_none() {
                return Err(Error::invalid_model(format!(
                    "the template `{template}` names the token {name:?}, which special_tokens does not define"
                )));
            }
        }
    }
    Ok(())
}
