//! Where a long text may be cut without changing the tokens before the cut.

use serde_json::Value;

/// The last position within `window` bytes at which a text may be cut.
///
/// That is before a space between two ASCII letters or digits: normalization does not combine
/// characters across it, and no token spans it.
pub(super) fn last_cut(text: &str, window: usize) -> Option<usize> {
    let bytes = &text.as_bytes()[..window.min(text.len())];
    let is_cut =
        |three: &[u8]| three[1] == b' ' && three[0].is_ascii_alphanumeric() && three[2].is_ascii_alphanumeric();
    bytes.windows(3).rposition(is_cut).map(|position| position + 1)
}

/// The steps of a normalizer or pre-tokenizer, with sequences flattened.
fn steps(settings: &Value) -> Vec<&Value> {
    let inner = ["normalizers", "pretokenizers"].iter().find_map(|name| settings.get(name)).and_then(Value::as_array);
    match inner {
        Some(inner) => inner.iter().flat_map(steps).collect(),
        None if settings.is_null() => Vec::new(),
        None => vec![settings],
    }
}

fn kind(step: &Value) -> &str {
    step.get("type").and_then(Value::as_str).unwrap_or_default()
}

/// Whether no step lets the text after a space between two ASCII words affect the text before it.
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

/// Whether some step applies a regular expression.
pub(super) fn mentions_regex(settings: &Value) -> bool {
    steps(settings).into_iter().any(|step| matches!(kind(step), "ByteLevel" | "Split" | "Replace"))
}
