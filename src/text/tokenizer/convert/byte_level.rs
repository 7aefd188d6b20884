//! RoBERTa's tokenizer: byte pairs in a map of tokens and a list of merges.

use serde_json::{Map, Value, json};

use super::{Older, Specials};
use crate::error::{Error, Result};

pub(super) fn read(older: &Older<'_>) -> Result<Option<Value>> {
    let (Some(vocab), Some(merges)) = (older.read("vocab.json")?, older.read("merges.txt")?) else { return Ok(None) };
    let vocab: Map<String, Value> = serde_json::from_slice(&vocab)
        .map_err(|error| Error::invalid_model(format!("`vocab.json` does not parse: {error}")))?;
    let merges = String::from_utf8(merges).map_err(|_| Error::invalid_model("`merges.txt` is not UTF-8"))?;
    // The first line names the version.
    let merges: Vec<&str> = merges.lines().skip(1).filter(|line| !line.is_empty()).collect();
    if let Some(line) = merges.iter().find(|line| line.split(' ').count() != 2) {
        return Err(Error::invalid_model(format!("`merges.txt` has the line {line:?}, which is no pair")));
    }
    let number = |token: &str| vocab.get(token).and_then(Value::as_u64).map(|number| number as usize);
    let mut specials =
        Specials::new(vocab.values().filter_map(Value::as_u64).max().map_or(0, |most| most as usize + 1));
    let mut add = |name: &str, default: &str| -> Result<(String, usize)> {
        let token = older.token(name, default)?;
        let number = specials.add(&token, number(&token));
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
