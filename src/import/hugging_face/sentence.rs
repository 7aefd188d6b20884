//! The settings that sentence-transformers adds to a folder: modules after the encoder, and text
//! length.

mod late;
mod model2vec;
mod modules;
mod pooling;
mod prompts;
mod splade;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

pub(super) use late::Step;
pub(crate) use late::{Late, Side};
pub(super) use modules::{Dense, Module, activation};
pub use prompts::Prompts;
use serde::Deserialize;
use serde_json::Value;
pub(crate) use splade::Splade;

use crate::{
    error::{Context, Error, Result},
    import::hugging_face::{
        Pooling, Purpose,
        config::{Config, Family},
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
    /// The number of tokens that holds whatever config.json names.
    own_max_tokens: Option<usize>,
    pub(super) lowercase: bool,
    /// Whether the encoder has a pooling of its own.
    is_clip: bool,
    /// What stands before each text by default, and what may stand there, by name.
    pub(super) prompts: Prompts,
    /// Whether all tokens are of the first type.
    pub(super) one_token_type: bool,
    /// How texts become tokens, if the model consists of word vectors.
    pub(super) static_rules: Option<StaticRules>,
    /// How the scores of pairs are made.
    pub(super) scores: Option<Scores>,
    /// What gives each token a vector.
    pub(super) late: Late,
    /// How the numbers of words become weights.
    pub(super) splade: Splade,
    /// The most words of a text with a weight.
    pub(super) most_words: Option<usize>,
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
    /// Which output of which method of the model is taken, by the kind of input.
    #[serde(default)]
    modality_config: Modalities,
}

type Modalities = Option<BTreeMap<String, Modality>>;

#[derive(Deserialize)]
struct Modality {
    method: Value,
    method_output_name: Value,
}

impl Modality {
    fn is(&self, method: &str, output: &str) -> bool {
        self.method == method && (self.method_output_name == output || self.method_output_name == Value::from([output]))
    }

    /// Whether it takes the vectors that CLIP and its kind make themselves.
    fn has_own_pooling(&self) -> bool {
        ["get_text_features", "get_image_features"].iter().any(|method| self.is(method, "pooler_output"))
    }
}

/// Whether a folder's first module makes the vectors of texts and images itself, as CLIP does.
fn has_own_pooling(folder: &Path) -> Result<bool> {
    let settings = optional::<TextSettings>(folder, TEXT_FILES[0])?;
    let modalities = settings.and_then(|settings| settings.modality_config).unwrap_or_default();
    Ok(modalities.values().any(Modality::has_own_pooling))
}

#[derive(Deserialize)]
struct TokenizerSettings {
    #[serde(default)]
    model_max_length: Option<f64>,
    #[serde(default)]
    model_input_names: Option<Vec<String>>,
    #[serde(default)]
    tokenizer_class: Option<String>,
    #[serde(default)]
    chat_template: Option<Value>,
}

#[derive(Deserialize)]
struct PromptSettings {
    #[serde(default)]
    prompts: Option<BTreeMap<String, Option<String>>>,
    #[serde(default)]
    truncate_dim: Option<usize>,
    #[serde(default)]
    default_prompt_name: Option<String>,
    #[serde(default)]
    activation_fn: Option<String>,
    #[serde(default)]
    max_active_dims: Option<usize>,
}

/// Reads the settings of a folder; all its files are optional.
pub(super) fn read(folder: &Path, purpose: Purpose) -> Result<Sentence> {
    let mut sentence = Sentence { transformer: folder.to_owned(), ..Sentence::default() };
    if purpose == Purpose::Vectors
        && let Some(read) = model2vec::read(folder)?
    {
        return Ok(read);
    }
    if !purpose.is_of_transformers() {
        sentence.read_own(folder, purpose)?;
    }
    if sentence.static_rules.is_some() {
        return Ok(sentence);
    }
    // sentence-transformers takes the tokenizer's or the model's, whichever is less, transformers the tokenizer's.
    sentence.own_max_tokens = sentence.max_tokens;
    let tokenizer = optional::<TokenizerSettings>(&sentence.transformer, "tokenizer_config.json")?;
    if matches!(purpose, Purpose::Vectors | Purpose::Pairs) {
        let template = tokenizer.as_ref().and_then(|own| own.chat_template.as_ref());
        sentence.note_template(folder, template.is_some_and(|template| !template.is_null()));
    }
    if let Some(tokenizer) = tokenizer {
        // An absent limit is written as 1e30.
        let most = tokenizer.model_max_length.filter(|most| (1.0..1e9).contains(most)).map(|most| most as usize);
        if purpose.is_of_transformers() {
            sentence.own_max_tokens = sentence.max_tokens.or(most);
        }
        sentence.max_tokens = sentence.max_tokens.or(most);
        // The general class of transformers 5 gives no types unless it is told to.
        let general = tokenizer.tokenizer_class.as_deref() == Some("TokenizersBackend");
        let names = tokenizer.model_input_names;
        sentence.one_token_type = names.map_or(general, |names| !names.iter().any(|name| name == "token_type_ids"));
    }
    Ok(sentence)
}

impl Sentence {
    /// The number of tokens of a text that must have positions if that can be.
    pub(super) fn asked_tokens(&self, config: &Config) -> Option<usize> {
        // T5's settings have another name for the model's, which sentence-transformers does not read.
        if config.family == Family::T5 { self.max_tokens } else { self.own_max_tokens }
    }

    /// Reads the files that sentence-transformers adds.
    fn read_own(&mut self, folder: &Path, purpose: Purpose) -> Result<()> {
        let entries = optional::<Vec<modules::Entry>>(folder, "modules.json")?;
        if purpose == Purpose::TokenVectors {
            self.late = late::read(folder, entries.as_deref())?;
            self.transformer.clone_from(&self.late.transformer);
        }
        match &entries {
            _ if purpose == Purpose::TokenVectors => {}
            Some(entries) => self.read_modules(folder, entries, purpose).context(|| "`modules.json`".into())?,
            None if purpose == Purpose::Pairs => {}
            None if purpose == Purpose::Words => {
                self.notes.push("no modules.json: each word's weight is the largest of its tokens'".to_owned());
            }
            #[cfg(feature = "vision")]
            None if purpose == Purpose::Images => {}
            None => self.notes.push("no modules.json: pooling mean and no scaling unless told otherwise".to_owned()),
        }
        if let Some(settings) = optional::<PromptSettings>(folder, "config_sentence_transformers.json")? {
            self.read_prompts(settings, purpose).context(|| "`config_sentence_transformers.json`".into())?;
        }
        // A cross-encoder without modules.json is read as transformers' own.
        let read = self.static_rules.is_none() && (purpose != Purpose::Pairs || entries.is_some());
        for name in TEXT_FILES.iter().filter(|_| read) {
            if let Some(text) = optional::<TextSettings>(&self.transformer, name)? {
                self.read_text(text, purpose).context(|| format!("`{name}`"))?;
                break;
            }
        }
        Ok(())
    }

    /// Notes that texts are read as they are although the folder has a template for messages of a chat.
    fn note_template(&mut self, folder: &Path, in_settings: bool) {
        let is_told = ["modules.json"].iter().chain(TEXT_FILES).any(|name| folder.join(name).exists());
        if !is_told && (in_settings || folder.join("chat_template.jinja").exists()) {
            let what =
                "texts are read as they are; sentence-transformers 6 puts them into the tokenizer's chat template";
            self.notes.push(what.to_owned());
        }
    }

    /// The ways in which token vectors are pooled.
    pub(super) fn pooling(&self) -> Option<Vec<Pooling>> {
        self.modules.iter().find_map(|module| match module {
            Module::Pooling(modes) => Some(modes.clone()),
            _ => None,
        })
    }

    fn read_modules(&mut self, folder: &Path, entries: &[modules::Entry], purpose: Purpose) -> Result<()> {
        if purpose == Purpose::Words {
            (self.transformer, self.splade) = splade::read(folder, entries)?;
            return Ok(());
        }
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
        if modules.is_clip {
            (self.transformer, self.modules, self.is_clip) = (modules.transformer, modules.modules, true);
            return Ok(());
        }
        let pooling = modules.pooling.ok_or_else(|| Error::unsupported("there is no pooling behind the encoder"))?;
        (self.transformer, self.modules) = (modules.transformer, modules.modules);
        (self.dimension, self.prompts.excluded) = (pooling.dimension, !pooling.includes_prompt);
        Ok(())
    }

    fn read_prompts(&mut self, settings: PromptSettings, purpose: Purpose) -> Result<()> {
        if purpose == Purpose::Pairs {
            self.scores = settings.activation_fn.as_deref().map(of_activation).transpose()?;
        }
        if settings.truncate_dim == Some(0) {
            return Err(Error::invalid_model("truncate_dim is 0"));
        }
        if settings.max_active_dims == Some(0) {
            return Err(Error::invalid_model("max_active_dims is 0"));
        }
        (self.truncate_dim, self.most_words) = (settings.truncate_dim, settings.max_active_dims);
        if purpose == Purpose::TokenVectors {
            return Ok(());
        }
        let named = settings.prompts.unwrap_or_default();
        self.prompts.named = named.into_iter().filter_map(|(name, prompt)| Some((name, prompt?))).collect();
        if let Some(name) = settings.default_prompt_name {
            let missing = || Error::invalid_model(format!("there is no prompt {name:?}, the default"));
            let prompt = self.prompts.named.get(&name).ok_or_else(missing)?.clone();
            self.prompts.default = self.prompts.checked(prompt)?;
            self.prompts.default_name = Some(name);
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
        let wanted = match purpose {
            Purpose::Pairs => "sequence-classification",
            Purpose::Words => "fill-mask",
            _ => "feature-extraction",
        };
        if let Some(task) = text.transformer_task.filter(|task| task != wanted) {
            return Err(Error::unsupported(format!("transformer_task is {task}, expected is {wanted}")));
        }
        let output = if wanted == "feature-extraction" { "last_hidden_state" } else { "logits" };
        for (kind, modality) in text.modality_config.unwrap_or_default() {
            let is_read = match kind.as_str() {
                "text" | "image" => modality.is("forward", output) || (self.is_clip && modality.has_own_pooling()),
                // Texts become messages of a chat where there is such an entry.
                kind => kind != "message",
            };
            if !is_read {
                let Modality { method, method_output_name } = modality;
                let message = match kind.as_str() {
                    "message" => {
                        "modality_config makes messages of a chat of texts, by the tokenizer's template; only `text` \
                                  and `image` are read"
                            .to_owned()
                    }
                    _ => format!("modality_config has {kind} by {method} and {method_output_name}, not {output}"),
                };
                return Err(Error::unsupported(message));
            }
        }
        if text.max_seq_length == Some(0) {
            return Err(Error::invalid_model("max_seq_length is 0"));
        }
        self.max_tokens = text.max_seq_length;
        self.lowercase = text.do_lower_case.unwrap_or_default();
        Ok(())
    }
}
