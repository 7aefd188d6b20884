//! RoBERTa's, DeBERTa's and CLIP's tokenizers: byte pairs in a map of tokens and a list of merges.

use serde_json::{Map, Value, json};

use super::{Older, Specials, template};
use crate::error::{Error, Result};

/// The vocabulary and the merges.
type Files = (Map<String, Value>, Vec<String>);

fn files(older: &Older<'_>) -> Result<Option<Files>> {
    let (Some(vocab), Some(merges)) = (older.read("vocab.json")?, older.read("merges.txt")?) else { return Ok(None) };
    let vocab: Map<String, Value> = serde_json::from_slice(&vocab)
        .map_err(|error| Error::invalid_model(format!("`vocab.json` does not parse: {error}")))?;
    let merges = String::from_utf8(merges).map_err(|_| Error::invalid_model("`merges.txt` is not UTF-8"))?;
    // The first line names the version.
    let merges: Vec<String> = merges.lines().skip(1).filter(|line| !line.is_empty()).map(str::to_owned).collect();
    if let Some(line) = merges.iter().find(|line| line.split(' ').count() != 2) {
        return Err(Error::invalid_model(format!("`merges.txt` has the line {line:?}, which is no pair")));
    }
    Ok(Some((vocab, merges)))
}

/// CLIP's: words in lower case, each of which ends with a mark.
pub(super) fn read_clip(older: &Older<'_>) -> Result<Option<Value>> {
    const PATTERN: &str =
        r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+";
    let Some((vocab, merges)) = files(older)? else { return Ok(None) };
    let mut specials = Specials::behind(&vocab);
    let mut add = |name: &str, default: &str| -> Result<(String, usize)> {
        let token = older.token(name, default)?;
        let number = specials.add_of(&vocab, &token);
        Ok((token, number))
    };
    let begin = add("bos_token", "<|startoftext|>")?;
    let end = add("eos_token", "<|endoftext|>")?;
    let (unknown, _) = add("unk_token", "<|endoftext|>")?;
    add("pad_token", "<|endoftext|>")?;
    Ok(Some(json!({
        "version": "1.0",
        "added_tokens": specials.entries(None),
        "normalizer": {"type": "Sequence", "normalizers": [
            {"type": "NFC"},
            {"type": "Replace", "pattern": {"Regex": r"\s+"}, "content": " "},
            {"type": "Lowercase"},
        ]},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": PATTERN}, "behavior": "Removed", "invert": true},
            {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
        ]},
        "post_processor": {"type": "RobertaProcessing", "sep": [end.0, end.1], "cls": [begin.0, begin.1],
            "trim_offsets": false, "add_prefix_space": false},
        "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
        "model": {"type": "BPE", "dropout": null, "unk_token": unknown, "continuing_subword_prefix": "",
            "end_of_word_suffix": "</w>", "fuse_unk": false, "byte_fallback": false, "vocab": vocab, "merges": merges},
    })))
}

/// DeBERTa's: RoBERTa's vocabulary, with marks in brackets.
pub(super) fn read_deberta(older: &Older<'_>) -> Result<Option<Value>> {
    let Some((vocab, merges)) = files(older)? else { return Ok(None) };
    let mut specials = Specials::behind(&vocab);
    let mut add = |name: &str, default: &str| -> Result<(String, usize)> {
        let token = older.token(name, default)?;
        let number = specials.add_of(&vocab, &token);
        Ok((token, number))
    };
    for (name, default) in [("bos_token", "[CLS]"), ("eos_token", "[SEP]"), ("unk_token", "[UNK]")] {
        add(name, default)?;
    }
    let sep = add("sep_token", "[SEP]")?;
    add("pad_token", "[PAD]")?;
    let cls = add("cls_token", "[CLS]")?;
    let (mask, _) = add("mask_token", "[MASK]")?;
    let prefix = older.flag("add_prefix_space", false)?;
    let (first, last) = (cls.0.as_str(), sep.0.as_str());
    let post_processor = template(
        &[(first, 0), ("A", 0), (last, 0)],
        &[(first, 0), ("A", 0), (last, 0), ("B", 1), (last, 1)],
        &[(first, cls.1), (last, sep.1)],
    );
    Ok(Some(json!({
        "version": "1.0",
        "added_tokens": specials.entries(Some(&mask)),
        "normalizer": null,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": prefix, "trim_offsets": true, "use_regex": true},
        "post_processor": post_processor,
        "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
        "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": "",
            "end_of_word_suffix": "", "fuse_unk": false, "byte_fallback": false, "vocab": vocab, "merges": merges},
    })))
}

/// RoBERTa's.
pub(super) fn read(older: &Older<'_>) -> Result<Option<Value>> {
    let Some((vocab, merges)) = files(older)? else { return Ok(None) };
    let mut specials = Specials::behind(&vocab);
    let mut add = |name: &str, default: &str| -> Result<(String, usize)> {
        let token = older.token(name, default)?;
        let number = specials.add_of(&vocab, &token);
        Ok((token, number))
    };
    for (name, default) in [("bos_token", "<s>"), ("eos_token", "</s>"), ("unk_token", "<unk>")] {
        add(name, default)?;
    }
    let sep = add("sep_token", "</s>")?;
    add("pad_token", "<pad>")?;
    let cls = add("cls_token", "<s>")?;
    let (mask, _) = add("mask_token", "<mask>")?;
    let prefix = older.flag("add_prefix_space", false)?;
    Ok(Some(json!({
        "version": "1.0",
        "added_tokens": specials.entries(Some(&mask)),
        "normalizer": null,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": prefix, "trim_offsets": true, "use_regex": true},
        "post_processor": {"type": "RobertaProcessing", "sep": [sep.0, sep.1], "cls": [cls.0, cls.1],
            "trim_offsets": true, "add_prefix_space": prefix},
        "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
        "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": "",
            "end_of_word_suffix": "", "fuse_unk": false, "byte_fallback": false, "vocab": vocab, "merges": merges},
    })))
}
