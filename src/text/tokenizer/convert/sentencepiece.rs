//! Tokenizers of sentencepiece models, each class with its own order of tokens and its own normalizer.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::{
    Kind, Older, Specials, pairs,
    pieces::{Piece, PieceModel},
    template,
};
use crate::error::{Context, Error, Result};

/// The names of the model's file.
const FILES: [&str; 3] = ["spm.model", "spiece.model", "sentencepiece.bpe.model"];

/// The types of models.
const UNIGRAM: u64 = 1;
const PAIRS: u64 = 2;

pub(super) fn read(older: &Older<'_>) -> Result<Option<Value>> {
    for name in FILES {
        if let Some(bytes) = older.read(name)? {
            return made(older, &bytes).context(|| format!("`{name}`")).map(Some);
        }
    }
    Ok(None)
}

fn made(older: &Older<'_>, bytes: &[u8]) -> Result<Value> {
    let model = PieceModel::parse(bytes)?;
    if !matches!(model.model_type, UNIGRAM | PAIRS) {
        return Err(Error::unsupported(
            "a sentencepiece model that is neither Unigram nor of byte pairs; save the folder again with transformers' \
             AutoTokenizer, which writes tokenizer.json",
        ));
    }
    // Fewer cannot hold the marks that every class has.
    if model.pieces.len() < 4 {
        let count = model.pieces.len();
        return Err(Error::invalid_model(format!("is not a sentencepiece model: it has {count} pieces")));
    }
    let brackets = matches!(older.kind, Kind::Albert | Kind::DebertaV2);
    let token =
        |name: &str, bracketed: &str, angled: &str| older.token(name, if brackets { bracketed } else { angled });
    let (cls, sep) = (token("cls_token", "[CLS]", "<s>")?, token("sep_token", "[SEP]", "</s>")?);
    let (bos, eos) = (token("bos_token", "[CLS]", "<s>")?, token("eos_token", "[SEP]", "</s>")?);
    let albert = older.kind == Kind::Albert;
    let unknown = token("unk_token", if albert { "<unk>" } else { "[UNK]" }, "<unk>")?;
    let pad = token("pad_token", if albert { "<pad>" } else { "[PAD]" }, "<pad>")?;
    let mask = token("mask_token", "[MASK]", "<mask>")?;
    let extra = older.config.get("extra_ids").and_then(Value::as_u64).unwrap_or(100).min(1000);
    let (vocab, unknown_number) = vocabulary(older.kind, &model, extra)?;
    let numbers: HashMap<&str, usize> =
        vocab.iter().enumerate().map(|(number, (text, _))| (text.as_str(), number)).collect();
    let mut specials = Specials::new(vocab.len());
    let mut add = |token: &str| specials.add(token, numbers.get(token).copied());
    let controls = model.pieces.iter().filter(|piece| piece.kind == 3).map(|piece| piece.text.as_str());
    for text in controls.filter(|text| numbers.contains_key(text)) {
        add(text);
    }
    let is_t5 = older.kind == Kind::T5;
    let sequence: &[&String] = match is_t5 {
        true => &[&eos, &unknown, &pad],
        false => &[&bos, &eos, &unknown, &sep, &pad, &cls, &mask],
    };
    let tokens: Vec<usize> = sequence.iter().map(|token| add(token)).collect();
    let extras: Vec<String> = match older.kind {
        Kind::Camembert => ["<s>NOTUSED", "</s>NOTUSED", "<unk>NOTUSED"].map(str::to_owned).into(),
        Kind::T5 => (0..extra).map(|number| format!("<extra_id_{number}>")).collect(),
        _ => Vec::new(),
    };
    for text in &extras {
        add(text);
    }
    let post_processor = match older.kind {
        Kind::T5 => {
            let eos = (eos.as_str(), tokens[0]);
            template(&[("A", 0), (eos.0, 0)], &[("A", 0), (eos.0, 0), ("B", 0), (eos.0, 0)], &[eos])
        }
        _ => {
            // The first two are the marks around a text.
            let (first, last) = if brackets { (&cls, &sep) } else { (&bos, &eos) };
            let (first, last) = (first.as_str(), last.as_str());
            let number = |own: &str| sequence.iter().position(|token| token.as_str() == own).map_or(0, |at| tokens[at]);
            let single = [(first, 0), ("A", 0), (last, 0)];
            let own = [(first, number(first)), (last, number(last))];
            match brackets {
                true => template(&single, &[(first, 0), ("A", 0), (last, 0), ("B", 1), (last, 1)], &own),
                false => template(&single, &[(first, 0), ("A", 0), (last, 0), (last, 0), ("B", 0), (last, 0)], &own),
            }
        }
    };
    let mut added = specials.entries((!is_t5 && older.kind != Kind::DebertaV2).then_some(&mask));
    for piece in model.pieces.iter().filter(|piece| piece.kind == 4) {
        let known = added.iter().any(|entry| entry.get("content").and_then(Value::as_str) == Some(&piece.text));
        if let Some(number) = numbers.get(piece.text.as_str()).filter(|_| !known) {
            added.push(
                json!({"id": number, "content": piece.text, "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false, "special": false}),
            );
        }
    }
    added.sort_by_key(|entry| entry.get("id").and_then(Value::as_u64));
    let scheme = match (older.flag("add_prefix_space", true)?, older.flag("legacy", true)?) {
        (false, _) => "never",
        (true, true) => "always",
        (true, false) => "first",
    };
    let mut pre_tokenizers = Vec::new();
    if older.kind == Kind::DebertaV2 && older.flag("split_by_punct", false)? {
        pre_tokenizers.push(json!({"type": "Punctuation", "behavior": "Isolated"}));
    }
    let metaspace = json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": true});
    pre_tokenizers.push(metaspace.clone());
    Ok(json!({
        "version": "1.0",
        "added_tokens": added,
        "normalizer": {"type": "Sequence", "normalizers": normalizers(older, &model.charsmap)?},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": pre_tokenizers},
        "post_processor": post_processor,
        "decoder": metaspace,
        "model": match model.model_type {
            PAIRS => pairs::model(&vocab, &model)?,
            _ => json!({"type": "Unigram", "unk_id": unknown_number, "vocab": vocab, "byte_fallback": false}),
        },
    }))
}

/// The tokens in the order of their numbers, with their scores, and the number of the unknown one.
fn vocabulary(kind: Kind, model: &PieceModel, extra: u64) -> Result<(Vec<(String, f64)>, usize)> {
    let scored = |piece: &Piece| (piece.text.clone(), f64::from(piece.score));
    let behind = |first: usize| model.pieces.get(first..).unwrap_or_default().iter().map(scored);
    let fixed =
        |tokens: &[&str]| -> Vec<(String, f64)> { tokens.iter().map(|token| ((*token).to_owned(), 0.0)).collect() };
    let (vocab, unknown) = match kind {
        Kind::XlmRoberta => {
            let mut vocab = fixed(&["<s>", "<pad>", "</s>", "<unk>"]);
            vocab.extend(behind(3));
            vocab.extend(fixed(&["<mask>"]));
            (vocab, 3)
        }
        Kind::Camembert => {
            let mut vocab = fixed(&["<s>NOTUSED", "<pad>", "</s>NOTUSED", "<unk>"]);
            vocab.push(("<unk>NOTUSED".to_owned(), -100.0));
            vocab.extend(behind(1));
            vocab.extend(fixed(&["<mask>"]));
            (vocab, 3)
        }
        Kind::Albert => {
            let lowered = |(text, score): (String, f64)| {
                let mut last = text.chars().rev();
                let number = last.next() == Some(',') && last.next().is_some_and(char::is_numeric);
                let score = if number { score - 100.0 } else { score };
                (text, score)
            };
            (behind(0).map(lowered).collect(), model.unknown)
        }
        Kind::T5 => {
            let mut vocab: Vec<_> = behind(0).collect();
            vocab.extend((0..extra).rev().map(|number| (format!("<extra_id_{number}>"), 0.0)));
            (vocab, model.unknown)
        }
        _ => (behind(0).collect(), model.unknown),
    };
    if unknown >= vocab.len() {
        return Err(Error::invalid_model(format!("the unknown piece is number {unknown} of {}", vocab.len())));
    }
    Ok((vocab, unknown))
}

fn normalizers(older: &Older<'_>, charsmap: &[u8]) -> Result<Vec<Value>> {
    let replace = |from: &str, to: &str| json!({"type": "Replace", "pattern": {"String": from}, "content": to});
    let spaces = |to: &str| json!({"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": to});
    let strip = |left: bool| json!({"type": "Strip", "strip_left": left, "strip_right": true});
    let precompiled =
        (!charsmap.is_empty()).then(|| json!({"type": "Precompiled", "precompiled_charsmap": base64(charsmap)}));
    let mut all = Vec::new();
    match older.kind {
        Kind::Albert => {
            all.extend([replace("``", "\""), replace("''", "\"")]);
            if !older.flag("keep_accents", false)? {
                all.extend([json!({"type": "NFKD"}), json!({"type": "StripAccents"})]);
            }
            if older.flag("do_lower_case", true)? {
                all.push(json!({"type": "Lowercase"}));
            }
            all.extend(precompiled);
            all.push(spaces(" "));
        }
        Kind::DebertaV2 => {
            if older.flag("do_lower_case", false)? {
                all.push(json!({"type": "Lowercase"}));
            }
            all.push(strip(true));
            all.extend(precompiled);
            all.push(spaces(" "));
        }
        _ => {
            all.extend(precompiled);
            all.extend([strip(false), spaces("▁")]);
        }
    }
    Ok(all)
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let bits = group.iter().fold(0u32, |bits, &byte| bits << 8 | u32::from(byte)) << (8 * (3 - group.len()));
        for place in 0..4 {
            let letter = LETTERS[(bits >> (18 - 6 * place)) as usize & 63];
            text.push(if place <= group.len() { char::from(letter) } else { '=' });
        }
    }
    text
}
