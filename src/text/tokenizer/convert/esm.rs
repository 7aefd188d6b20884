//! Tokenizers of proteins, whose every token stands on a line and is split off wherever it occurs.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{Older, Specials, added, template};
use crate::error::{Error, Result};

pub(super) fn read(older: &Older<'_>) -> Result<Option<Value>> {
    let Some(bytes) = older.read("vocab.txt")? else { return Ok(None) };
    let text = String::from_utf8(bytes).map_err(|_| Error::invalid_model("`vocab.txt` is not UTF-8"))?;
    // Of equal lines the last counts.
    let lines = text.lines().map(str::trim).enumerate();
    let numbers: BTreeMap<&str, usize> = lines.map(|(number, line)| (line, number)).collect();
    let vocab: Map<String, Value> =
        numbers.iter().map(|(line, number)| ((*line).to_owned(), (*number).into())).collect();
    let mut specials = Specials::behind(&vocab);
    let mut add = |name: &str, default: &str| -> Result<(String, usize)> {
        let token = older.token(name, default)?;
        let number = specials.add_of(&vocab, &token);
        Ok((token, number))
    };
    let (unknown, _) = add("unk_token", "<unk>")?;
    let (cls, cls_number) = add("cls_token", "<cls>")?;
    let (eos, eos_number) = add("eos_token", "<eos>")?;
    for (name, default) in [("pad_token", "<pad>"), ("mask_token", "<mask>")] {
        add(name, default)?;
    }
    let is_special = |token: &str| specials.tokens.iter().any(|(own, _)| own == token);
    let others = numbers.iter().filter(|(token, _)| !token.is_empty() && !is_special(token));
    let others: Vec<Value> = others.map(|(token, number)| added(token, *number, false, false)).collect();
    let mut tokens = specials.entries(None);
    tokens.extend(others);
    tokens.sort_by_key(|token| token["id"].as_u64());
    let (cls, eos) = (cls.as_str(), eos.as_str());
    let pair = [(cls, 0), ("A", 0), (eos, 0), ("B", 0), (eos, 0)];
    let template = template(&pair[..3], &pair, &[(cls, cls_number), (eos, eos_number)]);
    Ok(Some(json!({
        "version": "1.0",
        "added_tokens": tokens,
        "normalizer": null,
        "pre_tokenizer": {"type": "WhitespaceSplit"},
        "post_processor": template,
        "decoder": null,
        "model": {"type": "WordLevel", "unk_token": unknown, "vocab": vocab},
    })))
}
