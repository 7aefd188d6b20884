//! The settings of a model with a vector for each token (ColBERT), as sentence-transformers, PyLate and ColBERT's own code
//! write them.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde_json::Value;

use crate::{
    error::{Context, Error, Result},
    import::hugging_face::{
        config::Reader,
        files::settings,
        sentence::modules::{Dense, Entry, dense, path, reader},
    },
};

/// The most tokens of a query or a document.
const MAX_LENGTH: usize = 1 << 20;

/// Punctuation of ASCII, which older models leave out.
const PUNCTUATION: &str = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~";

/// What is behind the encoder of a model with a vector for each token, and how its texts are prepared.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Late {
    /// The folder of the encoder's files.
    pub(super) transformer: PathBuf,
    pub(in crate::import::hugging_face) steps: Vec<Step>,
    /// Whether the projection is a tensor beside the encoder's.
    pub(in crate::import::hugging_face) inline: bool,
    /// How queries and documents are prepared.
    pub(crate) query: Side,
    pub(crate) document: Side,
    /// What is a token of its own, if the tokenizer knows it.
    pub(crate) markers: Vec<String>,
}

/// A step behind the encoder.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::import::hugging_face) enum Step {
    Dense(Dense),
    Normalize,
}

/// How queries or documents are prepared.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Side {
    /// What stands before each text.
    pub(crate) prompt: String,
    pub(crate) max_tokens: Option<usize>,
    pub(crate) expansion: Option<Expansion>,
    /// Tokens whose vectors are left out.
    pub(crate) skipped: Vec<String>,
}

/// Tokens that are added to short queries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Expansion {
    /// The number of tokens that a query has at least.
    pub(crate) length: usize,
    /// Whether it is also the most.
    pub(crate) fixed: bool,
    /// Whether the other tokens see them.
    pub(crate) attended: bool,
    /// The token; by default the one for masked words.
    pub(crate) token: Option<String>,
}

/// The settings that PyLate writes into `config_sentence_transformers.json`.
const PYLATE: &[&str] = &[
    "query_length",
    "document_length",
    "query_expansion",
    "do_query_expansion",
    "attend_to_expansion_tokens",
    "attend_to_mask_tokens",
    "query_prefix",
    "document_prefix",
    "skiplist_words",
];

/// Reads a folder.
pub(super) fn read(folder: &Path, entries: Option<&[Entry]>) -> Result<Late> {
    let mut late = Late { transformer: folder.to_owned(), ..Late::default() };
    let Some(entries) = entries else {
        late.read_stanford(folder)?;
        return Ok(late);
    };
    let own = settings(folder, "config_sentence_transformers.json")?.unwrap_or_default();
    late.read_own(&own).context(|| "`config_sentence_transformers.json`".into())?;
    late.read_modules(folder, entries, &own).context(|| "`modules.json`".into())?;
    let text = settings(&late.transformer, "sentence_bert_config.json")?.unwrap_or_default();
    late.read_lengths(&text).context(|| "`sentence_bert_config.json`".into())?;
    Ok(late)
}

impl Late {
    /// Whether queries have tokens that the others do not see.
    pub(crate) fn hides_keys(&self) -> bool {
        self.query.expansion.as_ref().is_some_and(|expansion| !expansion.attended)
    }

    /// Lengths and expansion, in the file of the encoder or in PyLate's.
    fn read_lengths(&mut self, fields: &BTreeMap<String, Value>) -> Result<()> {
        let reader = Reader::new(fields.clone());
        let length = |name: &str| reader.optional_size(name, MAX_LENGTH).filter(|length| *length > 0);
        self.query.max_tokens = length("query_length").or(self.query.max_tokens);
        self.document.max_tokens = length("document_length").or(self.document.max_tokens);
        if let Some(expansion) = reader.object("query_expansion") {
            self.query.expansion = Some(expansion_of(expansion.into_iter().collect())?);
        }
        reader.checked("the lengths are wrong")
    }

    /// The settings of sentence-transformers and PyLate that are not a module's.
    fn read_own(&mut self, fields: &BTreeMap<String, Value>) -> Result<()> {
        let reader = Reader::new(fields.clone());
        let prompts = reader.object("prompts").unwrap_or_default();
        for (side, name) in [(&mut self.query, "query"), (&mut self.document, "document")] {
            let prompt = prompts.get(name).and_then(Value::as_str).unwrap_or_default();
            side.prompt = prompt.to_owned();
            let prefix = format!("{name}_prefix");
            if fields.contains_key(&prefix) {
                let prefix = reader.text(&prefix, None);
                side.prompt = format!("{prefix}{}", prompt.strip_prefix(prefix.as_str()).unwrap_or(prompt));
                self.markers.push(prefix);
            }
        }
        let is_of_pylate = PYLATE.iter().any(|name| fields.contains_key(*name));
        reader.checked("the prompts are wrong")?;
        self.read_lengths(fields)?;
        if is_of_pylate && !fields.contains_key("query_expansion") {
            let length = self.query.max_tokens.unwrap_or(32);
            let older = if fields.contains_key("attend_to_expansion_tokens") {
                "attend_to_expansion_tokens"
            } else {
                "attend_to_mask_tokens"
            };
            let attended = reader.flag(older, false);
            let expansion = Expansion { length, fixed: true, attended, token: None };
            self.query.expansion = reader.flag("do_query_expansion", true).then_some(expansion);
        }
        reader.checked("the settings of queries are wrong")
    }

    fn read_modules(&mut self, folder: &Path, entries: &[Entry], own: &BTreeMap<String, Value>) -> Result<()> {
        let mut is_masked = false;
        for (position, entry) in entries.iter().enumerate() {
            let kind = match entry.is("pylate.models.Dense.Dense") {
                true => "Dense",
                false => entry.kind()?,
            };
            let place = path(folder, entry)?;
            let within = || format!("`{}`", place.file_name().unwrap_or_default().to_string_lossy());
            match (position, kind) {
                (0, "Transformer") => self.transformer = place,
                (1.., "Dense") => {
                    let module = dense(place.clone(), "token_embeddings").context(within)?;
                    self.steps.push(Step::Dense(module));
                }
                (1.., "Normalize") => {
                    let reader = reader(&place, true).context(within)?;
                    if reader.text("module_input_name", None) != "token_embeddings" {
                        return Err(Error::unsupported("a Normalize that is not of token_embeddings").context(within()));
                    }
                    self.steps.push(Step::Normalize);
                }
                (1.., "MultiVectorMask") => {
                    is_masked = true;
                    self.read_mask(reader(&place, true).context(within)?).context(within)?;
                }
                _ => {
                    return Err(Error::unsupported(format!(
                        "module {position} is `{kind}`; supported are Transformer, Dense, MultiVectorMask and Normalize"
                    )));
                }
            }
        }
        if !is_masked {
            let is_of_pylate = PYLATE.iter().any(|name| own.contains_key(*name))
                || entries.iter().any(|entry| entry.is("pylate.models.Dense.Dense"));
            let is_late = match own.get("model_type").and_then(Value::as_str) {
                Some("ColBERT") => true,
                // PyLate's older versions write none of their own.
                None | Some("SentenceTransformer") => is_of_pylate,
                Some(_) => false,
            };
            if !is_late {
                return Err(Error::unsupported("there is neither a MultiVectorMask nor a setting of PyLate's ColBERT"));
            }
            // PyLate lists neither of the two.
            let reader = Reader::new(own.clone());
            let words = reader.words("skiplist_words");
            reader.checked("`config_sentence_transformers.json`")?;
            self.document.skipped = words.unwrap_or_else(punctuation);
            self.steps.push(Step::Normalize);
        }
        Ok(())
    }

    fn read_mask(&mut self, reader: Reader) -> Result<()> {
        reader.refuse_unless("keep_only_token_ids", &[])?;
        let words = reader.words("skiplist_words").unwrap_or_default();
        for task in reader.words("skiplist_tasks").unwrap_or_else(|| vec!["document".to_owned()]) {
            match task.as_str() {
                "query" => self.query.skipped.clone_from(&words),
                "document" => self.document.skipped.clone_from(&words),
                _ => {}
            }
        }
        reader.finish("`config.json`").map(drop)
    }

    /// The folder of ColBERT's own code.
    fn read_stanford(&mut self, folder: &Path) -> Result<()> {
        let config = settings(folder, "config.json")?.unwrap_or_default();
        let names = Reader::new(config).words("architectures").unwrap_or_default();
        if !names.iter().any(|name| name == "HF_ColBERT") {
            return Err(Error::unsupported("the folder has neither modules.json nor the architecture HF_ColBERT"));
        }
        let reader = Reader::new(settings(folder, "artifact.metadata")?.unwrap_or_default());
        let marker = |name: &str, default: &str| match reader.text(name, None).as_str() {
            "" => format!("{default} "),
            marker => format!("{marker} "),
        };
        self.query.prompt = marker("query_token_id", "[unused0]");
        self.document.prompt = marker("doc_token_id", "[unused1]");
        self.markers = vec![self.query.prompt.clone(), self.document.prompt.clone()];
        self.document.max_tokens = reader.optional_size("doc_maxlen", MAX_LENGTH).filter(|length| *length > 0);
        let length = reader.optional_size("query_maxlen", MAX_LENGTH).filter(|length| *length > 0).unwrap_or(32);
        let attended = reader.flag("attend_to_mask_tokens", false);
        self.query.expansion = Some(Expansion { length, fixed: true, attended, token: None });
        if reader.flag("mask_punctuation", true) {
            self.document.skipped = punctuation();
        }
        self.inline = true;
        self.steps = vec![Step::Normalize];
        reader.finish("`artifact.metadata`").map(drop)
    }
}

fn punctuation() -> Vec<String> {
    PUNCTUATION.chars().map(String::from).collect()
}

fn expansion_of(fields: BTreeMap<String, Value>) -> Result<Expansion> {
    let reader = Reader::new(fields);
    let fixed = match reader.text("strategy", None).as_str() {
        "fixed" => true,
        "min" => false,
        other => return Err(Error::unsupported(format!("the strategy `{other}` of query_expansion"))),
    };
    let attended = reader.flag("attend", false);
    let token = Some(reader.text("token", None)).filter(|token| !token.is_empty());
    let length = reader.size("length", 1..=MAX_LENGTH, None);
    let unread = reader.finish("query_expansion")?;
    match unread.into_keys().next() {
        Some(name) => Err(Error::unsupported(format!("the setting {name} of query_expansion"))),
        None => Ok(Expansion { length, fixed, attended, token }),
    }
}
