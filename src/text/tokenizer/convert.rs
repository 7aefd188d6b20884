//! The tokenizer.json that transformers makes of the files of older tokenizers.

mod byte_level;
mod esm;
mod pairs;
mod pieces;
mod sentencepiece;
#[cfg(test)]
mod tests;
mod word_piece;

use std::path::Path;

use serde_json::{Map, Value, json};

use crate::{
    error::{Context, Error, Result},
    import::hugging_face::files::read_optional,
};

/// The maximum size of a settings file in bytes.
const MAX_SETTINGS_BYTES: u64 = 4 << 20;

/// The kinds of tokenizers, by the classes of transformers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Albert,
    Bert,
    Camembert,
    Clip,
    Deberta,
    DebertaV2,
    Esm,
    Mpnet,
    Roberta,
    T5,
    XlmRoberta,
}

impl Kind {
    /// The kind of a class, without `Fast` at its end.
    fn of_class(class: &str) -> Option<Self> {
        Some(match class {
            "AlbertTokenizer" => Self::Albert,
            "BertTokenizer"
            | "ConvBertTokenizer"
            | "DistilBertTokenizer"
            | "ElectraTokenizer"
            | "MobileBertTokenizer"
            | "RetriBertTokenizer"
            | "SqueezeBertTokenizer" => Self::Bert,
            "CamembertTokenizer" => Self::Camembert,
            "CLIPTokenizer" => Self::Clip,
            "DebertaTokenizer" => Self::Deberta,
            "DebertaV2Tokenizer" => Self::DebertaV2,
            "EsmTokenizer" => Self::Esm,
            "MPNetTokenizer" => Self::Mpnet,
            "BartTokenizer" | "RobertaTokenizer" => Self::Roberta,
            "T5Tokenizer" => Self::T5,
            "XLMRobertaTokenizer" => Self::XlmRoberta,
            _ => return None,
        })
    }

    /// The kind that models of a type have by default.
    fn of_model(model_type: &str) -> Option<Self> {
        Some(match model_type {
            "albert" => Self::Albert,
            "bert" | "distilbert" | "electra" | "ernie" | "nomic_bert" => Self::Bert,
            "camembert" => Self::Camembert,
            "clip" | "clip_text_model" => Self::Clip,
            "deberta" => Self::Deberta,
            "deberta-v2" => Self::DebertaV2,
            "esm" => Self::Esm,
            "mpnet" => Self::Mpnet,
            "bart" | "data2vec-text" | "roberta" => Self::Roberta,
            "mt5" | "t5" | "umt5" => Self::T5,
            "jina_embeddings_v3" | "xlm-roberta" | "xlm-roberta-xl" => Self::XlmRoberta,
            _ => return None,
        })
    }
}

/// The files of an older tokenizer.
struct Older<'a> {
    folder: &'a Path,
    kind: Kind,
    config: Map<String, Value>,
    special: Map<String, Value>,
}

/// Makes a tokenizer.json of the older files of a folder; `None` if it has none that are known.
///
/// # Errors
/// If a file is damaged, or the tokenizer is of a class that is not built.
pub(super) fn of_folder(folder: &Path) -> Result<Option<Vec<u8>>> {
    let [config, special, model] =
        ["tokenizer_config.json", "special_tokens_map.json", "config.json"].map(|name| settings(folder, name));
    let (config, special) = (config?, special?);
    let kind = match config.get("tokenizer_class").and_then(Value::as_str) {
        Some(class) => match Kind::of_class(class.strip_suffix("Fast").unwrap_or(class)) {
            Some(kind) => kind,
            None => {
                return Err(Error::unsupported(format!(
                    "`tokenizer.json` is missing, and the files of the class `{class}` are not read; save the folder \
                     again with transformers' AutoTokenizer, which writes it"
                )));
            }
        },
        None => match model?.get("model_type").and_then(Value::as_str).and_then(Kind::of_model) {
            Some(kind) => kind,
            None => return Ok(None),
        },
    };
    let older = Older { folder, kind, config, special };
    let made = match kind {
        Kind::Bert | Kind::Mpnet => word_piece::read(&older)?,
        Kind::Roberta => byte_level::read(&older)?,
        Kind::Clip => byte_level::read_clip(&older)?,
        Kind::Deberta => byte_level::read_deberta(&older)?,
        Kind::Esm => esm::read(&older)?,
        _ => sentencepiece::read(&older)?,
    };
    let bytes = |value: Value| {
        serde_json::to_vec(&value).map_err(|error| Error::internal(format!("a tokenizer does not serialize: {error}")))
    };
    made.map(bytes).transpose()
}

fn settings(folder: &Path, name: &str) -> Result<Map<String, Value>> {
    let Some(bytes) = read_optional(&folder.join(name), MAX_SETTINGS_BYTES)? else { return Ok(Map::new()) };
    serde_json::from_slice(&bytes).map_err(|error| Error::invalid_model(format!("`{name}` does not parse: {error}")))
}

impl Older<'_> {
    fn read(&self, name: &str) -> Result<Option<Vec<u8>>> {
        read_optional(&self.folder.join(name), super::MAX_FILE_BYTES)
    }

    /// The content of a special token.
    fn token(&self, name: &str, default: &str) -> Result<String> {
        let value =
            [&self.config, &self.special].into_iter().find_map(|map| map.get(name)).filter(|one| !one.is_null());
        let content = match value {
            None => return Ok(default.to_owned()),
            Some(Value::String(content)) => Some(content.as_str()),
            Some(value) => value.get("content").and_then(Value::as_str),
        };
        content.map(str::to_owned).ok_or_else(|| Error::invalid_model(format!("{name} is no token")))
    }

    fn flag(&self, name: &str, default: bool) -> Result<bool> {
        match self.config.get(name) {
            None | Some(Value::Null) => Ok(default),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(other) => {
                Err(Error::invalid_model(format!("{name} is {other}"))).context(|| "`tokenizer_config.json`".into())
            }
        }
    }
}

/// The special tokens of a tokenizer, in transformers' order, with their numbers.
struct Specials {
    tokens: Vec<(String, usize)>,
    /// The number of the next token that is added.
    next: usize,
}

impl Specials {
    /// None, where the vocabulary has `count` tokens.
    fn new(count: usize) -> Self {
        Self { tokens: Vec::new(), next: count }
    }

    /// None, where `vocab` has the number of each token.
    fn behind(vocab: &Map<String, Value>) -> Self {
        Self::new(vocab.values().filter_map(Value::as_u64).max().map_or(0, |most| most as usize + 1))
    }

    /// Adds a token of such a vocabulary and returns its number.
    fn add_of(&mut self, vocab: &Map<String, Value>, content: &str) -> usize {
        self.add(content, vocab.get(content).and_then(Value::as_u64).map(|number| number as usize))
    }

    /// Adds a token and returns its number: that in the vocabulary, or one behind all.
    fn add(&mut self, content: &str, number: Option<usize>) -> usize {
        if let Some((_, number)) = self.tokens.iter().find(|(own, _)| own == content) {
            return *number;
        }
        let number = number.unwrap_or_else(|| {
            self.next += 1;
            self.next - 1
        });
        self.tokens.push((content.to_owned(), number));
        number
    }

    /// The entries of `added_tokens`; `mask` takes the spaces before it.
    fn entries(mut self, mask: Option<&str>) -> Vec<Value> {
        self.tokens.sort_by_key(|(_, number)| *number);
        let tokens = self.tokens.iter();
        tokens.map(|(content, number)| added(content, *number, Some(content.as_str()) == mask, true)).collect()
    }
}

/// An entry of `added_tokens`.
fn added(content: &str, number: usize, takes_spaces: bool, is_special: bool) -> Value {
    json!({"id": number, "lstrip": takes_spaces, "content": content, "single_word": false, "rstrip": false,
        "normalized": false, "special": is_special})
}

/// A template that stands around one text and around two, with the types of its tokens.
fn template(single: &[(&str, u32)], pair: &[(&str, u32)], tokens: &[(&str, usize)]) -> Value {
    let piece = |&(name, kind): &(&str, u32)| match name {
        "A" | "B" => json!({"Sequence": {"id": name, "type_id": kind}}),
        token => json!({"SpecialToken": {"id": token, "type_id": kind}}),
    };
    let special: Map<String, Value> = tokens
        .iter()
        .map(|(token, number)| ((*token).to_owned(), json!({"id": token, "ids": [number], "tokens": [token]})))
        .collect();
    json!({"type": "TemplateProcessing", "single": single.iter().map(piece).collect::<Vec<_>>(),
        "pair": pair.iter().map(piece).collect::<Vec<_>>(), "special_tokens": special})
}
