//! The settings that sentence-transformers adds to a folder: modules after the encoder, and text
//! length.

mod model2vec;
mod modules;
mod pooling;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

pub(super) use modules::{Dense, Module, activation};
use serde::Deserialize;
use serde_json::Value;

use crate::{
    error::{Context, Error, Result},
    import::hugging_face::{
        Pooling, Purpose,
        files::optional,
        scores::{Scores, of_activation},
        static_rules::StaticRules,
    },
};

/// The settings of sentence-transformers.
#[derive(Debug, Default)]
pub(super) struct Sentence {
    /// The folder of the encoder's files.
    pub(super) transformer: PathBuf,
    /// What stands behind the encoder.
    pub(super) modules: Vec<Module>,
    /// The vector length that the pooling expects.
    pub(super) dimension: Option<usize>,
    /// The number of a vector's first numbers that are kept.
    pub(super) truncate_dim: Option<usize>,
    pub(super) max_tokens: Option<usize>,
    pub(super) lowercase: bool,
    /// What stands before each text.
    pub(super) prompt: String,
    /// Whether all tokens are of the first type.
    pub(super) one_token_type: bool,
    /// How texts become tokens, if the model consists of word vectors.
    pub(super) static_rules: Option<StaticRules>,
    /// How the scores of pairs are made.
    pub(super) scores: Option<Scores>,
    /// Whether the pooling counts the tokens of the prompt.
    includes_prompt: bool,
    pub(super) notes: Vec<String>,
}

/// Names of the file that says how texts are prepared; the first that exists counts.
const TEXT_FILES: &[&str] = &[
    "sentence_bert_config.json",
    "sentence_roberta_config.json",
    "sentence_distilbert_config.json",
    "sentence_camembert_config.json",
    "sentence_albert_config.json",
    "sentence_xlm-roberta_config.json",
    "sentence_xlnet_config.json",
];

#[derive(Deserialize)]
struct TextSettings {
    #[serde(default)]
    max_seq_length: Option<usize>,
    #[serde(default)]
    do_lower_case: Option<bool>,
    /// Arguments for transformers, which could change anything.
    #[serde(default, alias = "tokenizer_kwargs", alias = "processor_kwargs")]
    tokenizer_args: Option<BTreeMap<String, Value>>,
    #[serde(default, alias = "config_kwargs")]
    config_args: Option<BTreeMap<String, Value>>,
    /// What the model is used for.
    #[serde(default)]
    transformer_task: Option<String>,
}

#[derive(Deserialize)]
struct TokenizerSettings {
    #[serde(default)]
    model_max_length: Option<f64>,
    #[serde(default)]
    model_input_names: Option<Vec<String>>,
    #[serde(default)]
    tokenizer_class: Option<String>,
}

#[derive(Deserialize)]
struct PromptSettings {
    #[serde(default)]
    prompts: Option<BTreeMap<String, String>>,
    #[serde(default)]
    truncate_dim: Option<usize>,
    #[serde(default)]
    default_prompt_name: Option<String>,
    #[serde(default)]
    activation_fn: Option<String>,
}

/// Reads the settings of a folder; all its files are optional.
pub(super) fn read(folder: &Path, purpose: Purpose) -> Result<Sentence> {
    let mut sentence = Sentence { transformer: folder.to_owned(), includes_prompt: true, ..Sentence::default() };
    if purpose == Purpose::Vectors
        && let Some(read) = model2vec::read(folder)?
    {
        return Ok(read);
    }
    if purpose != Purpose::Classes {
        sentence.read_own(folder, purpose)?;
    }
    if sentence.static_rules.is_some() {
        return Ok(sentence);
    }
    if let Some(tokenizer) = optional::<TokenizerSettings>(&sentence.transformer, "tokenizer_config.json")? {
        // An absent limit is written as 1e30.
        let most = tokenizer.model_max_length.filter(|most| (1.0..1e9).contains(most)).map(|most| most as usize);
        sentence.max_tokens = sentence.max_tokens.or(most);
        // The general class of transformers 5 gives no types unless it is told to.
        let general = tokenizer.tokenizer_class.as_deref() == Some("TokenizersBackend");
        let names = tokenizer.model_input_names;
        sentence.one_token_type = names.map_or(general, |names| !names.iter().any(|name| name == "token_type_ids"));
    }
    Ok(sentence)
}

impl Sentence {
    /// Reads the files that sentence-transformers adds.
    fn read_own(&mut self, folder: &Path, purpose: Purpose) -> Result<()> {
        let entries = optional::<Vec<modules::Entry>>(folder, "modules.json")?;
        match &entries {
            Some(entries) => self.read_modules(folder, entries, purpose).context(|| "`modules.json`".into())?,
            None if purpose == Purpose::Pairs => {}
            None => self.notes.push("no modules.json: pooling mean and no scaling unless told otherwise".to_owned()),
        }
        if let Some(settings) = optional::<PromptSettings>(folder, "config_sentence_transformers.json")? {
            self.read_prompts(settings, purpose).context(|| "`config_sentence_transformers.json`".into())?;
        }
        // A cross-encoder without modules.json is read as transformers' own.
        let read = self.static_rules.is_none() && (purpose == Purpose::Vectors || entries.is_some());
        for name in TEXT_FILES.iter().filter(|_| read) {
            if let Some(text) = optional::<TextSettings>(&self.transformer, name)? {
                self.read_text(text, purpose).context(|| format!("`{name}`"))?;
                break;
            }
        }
        Ok(())
    }

    /// The ways in which token vectors are pooled.
    pub(super) fn pooling(&self) -> Option<Vec<Pooling>> {
        self.modules.iter().find_map(|module| match module {
            Module::Pooling(modes) => Some(modes.clone()),
            _ => None,
        })
    }

    fn read_modules(&mut self, folder: &Path, entries: &[modules::Entry], purpose: Purpose) -> Result<()> {
        let modules = modules::read(folder, entries)?;
        if purpose == Purpose::Pairs {
            if entries.len() > 1 {
                return Err(Error::unsupported("modules behind a cross-encoder"));
            }
            self.transformer = modules.transformer;
            return Ok(());
        }
        if modules.is_static {
            (self.transformer, self.modules) = (modules.transformer, modules.modules);
            self.static_rules = Some(StaticRules { model2vec: false, limited: false });
            return Ok(());
        }
        let pooling = modules.pooling.ok_or_else(|| Error::unsupported("there is no pooling behind the encoder"))?;
        (self.transformer, self.modules) = (modules.transformer, modules.modules);
        (self.dimension, self.includes_prompt) = (pooling.dimension, pooling.includes_prompt);
        Ok(())
    }

    fn read_prompts(&mut self, settings: PromptSettings, purpose: Purpose) -> Result<()> {
        if purpose == Purpose::Pairs {
            self.scores = settings.activation_fn.as_deref().map(of_activation).transpose()?;
        }
        if settings.truncate_dim == Some(0) {
            return Err(Error::invalid_model("truncate_dim is 0"));
        }
        self.truncate_dim = settings.truncate_dim;
        let Some(name) = settings.default_prompt_name else { return Ok(()) };
        let prompt = settings.prompts.unwrap_or_default().remove(&name);
        self.prompt =
            prompt.ok_or_else(|| Error::invalid_model(format!("there is no prompt {name:?}, the default")))?;
        if !self.prompt.is_empty() && purpose == Purpose::Pairs {
            return Err(Error::unsupported("a prompt of pairs"));
        }
        if !self.prompt.is_empty() && !self.includes_prompt {
            return Err(Error::unsupported("a pooling that leaves out the tokens of the prompt"));
        }
        Ok(())
    }

    fn read_text(&mut self, text: TextSettings, purpose: Purpose) -> Result<()> {
        for (name, arguments) in [("tokenizer_args", text.tokenizer_args), ("config_args", text.config_args)] {
            let mut names = arguments.unwrap_or_default().into_keys();
            if let Some(argument) = names.find(|name| !matches!(name.as_str(), "trust_remote_code" | "revision")) {
                return Err(Error::unsupported(format!("the setting {argument} of {name} is not read")));
            }
        }
        let wanted = if purpose == Purpose::Pairs { "sequence-classification" } else { "feature-extraction" };
        if let Some(task) = text.transformer_task.filter(|task| task != wanted) {
            return Err(Error::unsupported(format!("transformer_task is {task}, expected is {wanted}")));
        }
        if text.max_seq_length == Some(0) {
            return Err(Error::invalid_model("max_seq_length is 0"));
        }
        self.max_tokens = text.max_seq_length;
        self.lowercase = text.do_lower_case.unwrap_or_default();
        Ok(())
    }
}
