//! Tokenizers of the BERT kind, whose vocabulary is a list of lines.

use serde_json::{Map, Value, json};

use super::{Kind, Older, Specials, template};
use crate::error::{Error, Result};

pub(super) fn read(older: &Older<'_>) -> Result<Option<Value>> {
    let Some(bytes) = older.read("vocab.txt")? else { return Ok(None) };
    let text = String::from_utf8(bytes).map_err(|_| Error::invalid_model("`vocab.txt` is not UTF-8"))?;
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let lines = text.strip_suffix('\n').unwrap_or(&text).split('\n');
    // Of equal lines the last counts.
    let vocab: Map<String, Value> = lines.enumerate().map(|(number, line)| (line.to_owned(), number.into())).collect();
    let mpnet = older.kind == Kind::Mpnet;
    let name =
        |name: &str, bert: &str, mpnet_default: &str| older.token(name, if mpnet { mpnet_default } else { bert });
    let (unknown, mask) = (older.token("unk_token", "[UNK]")?, name("mask_token", "[MASK]", "<mask>")?);
    let (sep, cls) = (name("sep_token", "[SEP]", "</s>")?, name("cls_token", "[CLS]", "<s>")?);
    let mut specials = Specials::behind(&vocab);
    if mpnet {
        for (token, default) in [("bos_token", "<s>"), ("eos_token", "</s>")] {
            let token = older.token(token, default)?;
            specials.add_of(&vocab, &token);
        }
    }
    specials.add_of(&vocab, &unknown);
    let sep_number = specials.add_of(&vocab, &sep);
    let pad = name("pad_token", "[PAD]", "<pad>")?;
    specials.add_of(&vocab, &pad);
    let cls_number = specials.add_of(&vocab, &cls);
    specials.add_of(&vocab, &mask);
    let (cls, sep) = (cls.as_str(), sep.as_str());
    let tokens = [(cls, cls_number), (sep, sep_number)];
    let post_processor = match mpnet {
        true => template(
            &[(cls, 0), ("A", 0), (sep, 0)],
            &[(cls, 0), ("A", 0), (sep, 0), (sep, 0), ("B", 1), (sep, 1)],
            &tokens,
        ),
        false => {
            template(&[(cls, 0), ("A", 0), (sep, 0)], &[(cls, 0), ("A", 0), (sep, 0), ("B", 1), (sep, 1)], &tokens)
        }
    };
    let basic = older.flag("do_basic_tokenize", true)?;
    let accents = match older.config.get("strip_accents").filter(|value| !value.is_null()) {
        Some(_) => Value::from(older.flag("strip_accents", false)?),
        None => Value::Null,
    };
    let normalizer = json!({
        "type": "BertNormalizer",
        "clean_text": true,
        "handle_chinese_chars": basic && older.flag("tokenize_chinese_chars", true)?,
        "strip_accents": if basic { accents } else { false.into() },
        "lowercase": basic && older.flag("do_lower_case", true)?,
    });
    Ok(Some(json!({
        "version": "1.0",
        "added_tokens": specials.entries(mpnet.then_some(&mask)),
        "normalizer": normalizer,
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": post_processor,
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": true},
        "model": {"type": "WordPiece", "unk_token": unknown, "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100, "vocab": vocab},
    })))
}
