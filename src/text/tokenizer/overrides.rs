//! Settings beside tokenizer.json that change what it does, read as transformers reads them.
//!
//! docs/folders.md lists the settings that are read, ignored and refused.

use std::{collections::BTreeMap, path::Path};

use serde_json::{Map, Value, json};
use tokenizers::{
    AddedToken, NormalizerWrapper, PostProcessorWrapper, PreTokenizerWrapper, Tokenizer, TruncationDirection,
    normalizers::BertNormalizer,
};

use crate::{
    error::{Context, Error, Result},
    import::hugging_face::files::read_optional,
    text::tokenizer::Named,
};

/// The maximum size of a settings file in bytes.
const MAX_FILE_BYTES: u64 = 4 << 20;
/// The most tokens that the settings may add, and the most bytes of one.
const MAX_TOKENS: (usize, usize) = (1 << 16, 4096);

const CONFIG: &str = "tokenizer_config.json";
const SPECIAL: &str = "special_tokens_map.json";
const ADDED: &str = "added_tokens.json";

/// Settings that name one special token.
const NAMES: &[&str] = &["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];

/// Tokenizer classes that apply `do_lower_case` and its companions to their normalizer.
const BERT_CLASSES: &[&str] = &[
    "Bert",
    "ConvBert",
    "DistilBert",
    "Electra",
    "Funnel",
    "LayoutLM",
    "Lxmert",
    "MPNet",
    "MobileBert",
    "RetriBert",
    "SqueezeBert",
];

/// The settings files beside a tokenizer.json.
#[derive(Default)]
pub(super) struct Overrides {
    config: Map<String, Value>,
    special: Map<String, Value>,
    added: Map<String, Value>,
    /// The bytes of the files, which belong to the tokenizer's fingerprint.
    pub(super) bytes: Vec<u8>,
}

impl Overrides {
    /// Reads the files of a folder, all of which are optional.
    ///
    /// # Errors
    /// If one is damaged or too large.
    pub(super) fn read(folder: &Path) -> Result<Self> {
        let mut bytes = Vec::new();
        let mut read = |name: &str| -> Result<Map<String, Value>> {
            let Some(file) = read_optional(&folder.join(name), MAX_FILE_BYTES)? else { return Ok(Map::new()) };
            bytes.extend((file.len() as u64).to_le_bytes());
            bytes.extend(name.bytes().chain(file.iter().copied()));
            serde_json::from_slice(&file)
                .map_err(|error| Error::invalid_model(format!("`{name}` does not parse: {error}")))
        };
        let (config, special, added) = (read(CONFIG)?, read(SPECIAL)?, read(ADDED)?);
        Ok(Self { config, special, added, bytes })
    }

    /// Applies the settings to a tokenizer; returns the side on which texts are truncated, if they say.
    ///
    /// # Errors
    /// If a setting has no meaning here.
    pub(super) fn apply(&self, tokenizer: &mut Tokenizer) -> Result<Option<TruncationDirection>> {
        self.apply_config(tokenizer).context(|| format!("`{CONFIG}`"))?;
        self.add_tokens(tokenizer)?;
        self.set_ends(tokenizer).context(|| format!("`{CONFIG}`"))?;
        match self.config.get("truncation_side").and_then(Value::as_str) {
            None => Ok(None),
            Some("left") => Ok(Some(TruncationDirection::Left)),
            Some("right") => Ok(Some(TruncationDirection::Right)),
            Some(other) => {
                Err(Error::invalid_model(format!("truncation_side is {other:?}")).context(format!("`{CONFIG}`")))
            }
        }
    }

    /// The special tokens that the settings name.
    pub(super) fn named(&self) -> Named {
        let named = |name: &str| {
            let mut values = [&self.config, &self.special].into_iter().filter_map(|file| file.get(name));
            let value = values.find(|value| !value.is_null())?;
            let content = value.as_str().or_else(|| value.get("content").and_then(Value::as_str));
            content.map(str::to_owned)
        };
        // What the class names where the files do not.
        let class = self.config.get("tokenizer_class").and_then(Value::as_str).unwrap_or_default();
        let of_class = |name: &str| class.starts_with("XLMRoberta").then(|| name.to_owned());
        Named {
            class: named("cls_token").or(of_class("<s>")),
            unknown: named("unk_token").or(of_class("<unk>")),
            mask: named("mask_token"),
            begin: named("bos_token"),
            end: named("eos_token").or(of_class("</s>")),
            padding: named("pad_token").or(of_class("<pad>")),
            pads_left: self.config.get("padding_side").and_then(Value::as_str) == Some("left"),
        }
    }

    fn flag(&self, name: &str) -> Result<Option<bool>> {
        match self.config.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(*flag)),
            Some(other) => Err(Error::invalid_model(format!("{name} is {other}"))),
        }
    }

    fn apply_config(&self, tokenizer: &mut Tokenizer) -> Result<()> {
        let class = self.config.get("tokenizer_class").and_then(Value::as_str).unwrap_or("Bert");
        let is_bert = BERT_CLASSES.iter().any(|name| class.starts_with(name));
        if let Some(NormalizerWrapper::BertNormalizer(own)) = tokenizer.get_normalizer().filter(|_| is_bert) {
            let changed = BertNormalizer::new(
                own.clean_text,
                self.flag("tokenize_chinese_chars")?.unwrap_or(own.handle_chinese_chars),
                match self.config.get("strip_accents") {
                    None => own.strip_accents,
                    Some(_) => self.flag("strip_accents")?,
                },
                self.flag("do_lower_case")?.unwrap_or(own.lowercase),
            );
            let changed = NormalizerWrapper::BertNormalizer(changed);
            tokenizer.with_normalizer(Some(changed)).map_err(unusable)?;
        }
        if let Some(prefix) = self.flag("add_prefix_space")?
            && let Some(PreTokenizerWrapper::ByteLevel(own)) = tokenizer.get_pre_tokenizer()
        {
            let changed = PreTokenizerWrapper::ByteLevel(own.add_prefix_space(prefix));
            tokenizer.with_pre_tokenizer(Some(changed));
        }
        if self.flag("split_special_tokens")? == Some(true) {
            tokenizer.set_encode_special_tokens(true);
        }
        Ok(())
    }

    /// Puts the tokens for the beginning and the end around texts, as the classes Llama and Gemma do where the settings say
    /// which; one that they do not mention stands at the beginning alone.
    fn set_ends(&self, tokenizer: &mut Tokenizer) -> Result<()> {
        let class = self.config.get("tokenizer_class").and_then(Value::as_str).unwrap_or_default();
        let flags = [self.flag("add_bos_token")?, self.flag("add_eos_token")?];
        if flags == [None, None] || !(class.starts_with("Llama") || class.starts_with("Gemma")) {
            return Ok(());
        }
        let named = self.named();
        let mut specials = Map::new();
        let mut end = |flag: &str, wanted: bool, content: Option<String>| -> Result<Option<String>> {
            if !wanted {
                return Ok(None);
            }
            let nameless = || Error::invalid_model(format!("{flag} is true, but the token is not named"));
            let content = content.ok_or_else(nameless)?;
            let id = tokenizer.token_to_id(&content);
            let id = id.ok_or_else(|| Error::invalid_model(format!("{flag}: no token {content:?} is known")))?;
            specials.insert(content.clone(), json!({"id": content, "ids": [id], "tokens": [content]}));
            Ok(Some(content))
        };
        let first = end("add_bos_token", flags[0].unwrap_or(true), named.begin)?;
        let last = end("add_eos_token", flags[1].unwrap_or(false), named.end)?;
        let around = |text: &str, type_id: u32| {
            let special = |token: &Option<String>| {
                token.as_ref().map(|id| json!({"SpecialToken": {"id": id, "type_id": type_id}}))
            };
            let own = json!({"Sequence": {"id": text, "type_id": type_id}});
            [special(&first), Some(own), special(&last)].into_iter().flatten().collect::<Vec<_>>()
        };
        let (single, second) = (around("A", 0), around("B", 1));
        let pair = [single.clone(), second].concat();
        let template =
            json!({"type": "TemplateProcessing", "single": single, "pair": pair, "special_tokens": specials});
        let template: PostProcessorWrapper = serde_json::from_value(template)
            .map_err(|error| Error::internal(format!("a template of ends: {error}")))?;
        tokenizer.with_post_processor(Some(template));
        Ok(())
    }

    /// Adds the tokens that the settings name and tokenizer.json lacks, or has with other properties.
    fn add_tokens(&self, tokenizer: &mut Tokenizer) -> Result<()> {
        let own = tokenizer.get_added_tokens_decoder();
        let mut tokens: BTreeMap<u64, AddedToken> = BTreeMap::new();
        let mut specials: BTreeMap<&str, Vec<AddedToken>> = BTreeMap::new();
        let mut read_specials = |settings: &Map<String, Value>, file: &str| -> Result<()> {
            for &name in NAMES {
                if let Some(value) = settings.get(name).filter(|value| !value.is_null()) {
                    specials.insert(name, vec![token(value, true).context(|| format!("`{file}`: {name}"))?]);
                }
            }
            for name in ["additional_special_tokens", "extra_special_tokens"] {
                let values: Vec<&Value> = match settings.get(name) {
                    None | Some(Value::Null) => continue,
                    Some(Value::Array(values)) => values.iter().collect(),
                    Some(Value::Object(values)) => values.values().collect(),
                    Some(_) => return Err(Error::invalid_model(format!("`{file}`: {name} is no list"))),
                };
                let read = values.into_iter().map(|value| token(value, true).context(|| format!("`{file}`: {name}")));
                specials.insert(name, read.collect::<Result<_>>()?);
            }
            Ok(())
        };
        read_specials(&self.config, CONFIG)?;
        match self.config.get("added_tokens_decoder") {
            None | Some(Value::Null) => {
                // Files of older versions, which the newer setting replaces.
                read_specials(&self.special, SPECIAL)?;
                let is_special = |content: &str| specials.values().flatten().any(|special| special.content == content);
                for (content, id) in &self.added {
                    let id = id.as_u64().ok_or_else(|| Error::invalid_model(format!("`{ADDED}`: the id {id}")))?;
                    let special = is_special(content);
                    tokens.insert(id, AddedToken::from(content.as_str(), special));
                }
                tokens.extend(own.iter().map(|(&id, token)| (u64::from(id), token.clone())));
            }
            Some(Value::Object(decoder)) => {
                for (id, value) in decoder {
                    let wrong = || Error::invalid_model(format!("`{CONFIG}`: added_tokens_decoder has the id {id:?}"));
                    let id: u64 = id.parse().map_err(|_| wrong())?;
                    tokens.insert(id, token(value, false).context(|| format!("`{CONFIG}`: added_tokens_decoder"))?);
                }
            }
            Some(_) => return Err(Error::invalid_model(format!("`{CONFIG}`: added_tokens_decoder is no object"))),
        }
        let mut known: Vec<String> = own.values().map(|token| token.content.clone()).collect();
        let mut new: Vec<AddedToken> =
            tokens.into_values().filter(|token| !own.values().any(|other| other == token)).collect();
        known.extend(new.iter().map(|token| token.content.clone()));
        for special in specials.into_values().flatten() {
            if !known.contains(&special.content) {
                known.push(special.content.clone());
                new.push(special);
            }
        }
        if new.len() > MAX_TOKENS.0 || new.iter().any(|token| token.content.len() > MAX_TOKENS.1) {
            return Err(Error::limit(format!(
                "the settings beside it add {} tokens; the limit is {} of {} bytes each",
                new.len(),
                MAX_TOKENS.0,
                MAX_TOKENS.1
            )));
        }
        tokenizer.add_tokens(new).map_err(unusable)?;
        Ok(())
    }
}

/// A token, given as its content or with its properties.
fn token(value: &Value, special: bool) -> Result<AddedToken> {
    if let Some(content) = value.as_str() {
        return Ok(AddedToken::from(content, special));
    }
    let content = value.get("content").and_then(Value::as_str);
    let content = content.ok_or_else(|| Error::invalid_model("a token without content"))?;
    let flag = |name: &str, default: bool| value.get(name).map_or(Some(default), Value::as_bool);
    let flags = || {
        let special = special || flag("special", false)?;
        let token = AddedToken::from(content, special).normalized(flag("normalized", !special)?);
        Some(
            token
                .single_word(flag("single_word", false)?)
                .lstrip(flag("lstrip", false)?)
                .rstrip(flag("rstrip", false)?),
        )
    };
    flags().ok_or_else(|| Error::invalid_model(format!("the properties of the token {content:?}")))
}

fn unusable(error: tokenizers::Error) -> Error {
    Error::invalid_model(format!("the settings beside it cannot be applied: {error}"))
}
