//! The settings that sentence-transformers adds to a folder: modules after the encoder, and text
//! length.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use serde_json::Value;

use crate::{
    error::{Context, Error, Result},
    import::hugging_face::{
        Pooling,
        files::{optional, plain_name, settings},
    },
};

/// The settings of sentence-transformers.
#[derive(Debug, Default)]
pub(super) struct Sentence {
    /// The folder of the encoder's files.
    pub(super) transformer: PathBuf,
    pub(super) pooling: Option<Pooling>,
    /// The vector length that the pooling expects.
    pub(super) dimension: Option<usize>,
    pub(super) normalize: bool,
    pub(super) max_tokens: Option<usize>,
    pub(super) lowercase: bool,
    /// What stands before each text.
    pub(super) prompt: String,
    /// Whether the pooling counts the tokens of the prompt.
    includes_prompt: bool,
    pub(super) notes: Vec<String>,
}

/// One entry of modules.json.
#[derive(Deserialize)]
struct Module {
    path: String,
    #[serde(rename = "type")]
    kind: String,
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
}

#[derive(Deserialize)]
struct TokenizerSettings {
    #[serde(default)]
    model_max_length: Option<f64>,
}

#[derive(Deserialize)]
struct PromptSettings {
    #[serde(default)]
    prompts: Option<BTreeMap<String, String>>,
    #[serde(default)]
    truncate_dim: Option<usize>,
    #[serde(default)]
    default_prompt_name: Option<String>,
}

/// Reads the settings of a folder; all its files are optional.
pub(super) fn read(folder: &Path) -> Result<Sentence> {
    let mut sentence = Sentence { transformer: folder.to_owned(), includes_prompt: true, ..Sentence::default() };
    match optional::<Vec<Module>>(folder, "modules.json")? {
        Some(modules) => sentence.read_modules(folder, &modules).context(|| "`modules.json`".into())?,
        None => sentence.notes.push("no modules.json: pooling mean and no scaling unless told otherwise".to_owned()),
    }
    if let Some(settings) = optional::<PromptSettings>(folder, "config_sentence_transformers.json")? {
        sentence.read_prompts(settings).context(|| "`config_sentence_transformers.json`".into())?;
    }
    for name in TEXT_FILES {
        if let Some(text) = optional::<TextSettings>(&sentence.transformer, name)? {
            sentence.read_text(text).context(|| format!("`{name}`"))?;
            break;
        }
    }
    if sentence.max_tokens.is_none()
        && let Some(tokenizer) = optional::<TokenizerSettings>(&sentence.transformer, "tokenizer_config.json")?
    {
        // An absent limit is written as 1e30.
        sentence.max_tokens =
            tokenizer.model_max_length.filter(|most| (1.0..1e9).contains(most)).map(|most| most as usize);
    }
    Ok(sentence)
}

impl Sentence {
    fn read_prompts(&mut self, settings: PromptSettings) -> Result<()> {
        if let Some(dimension) = settings.truncate_dim {
            return Err(Error::unsupported(format!("truncate_dim is {dimension}; shortening vectors is not built")));
        }
        let Some(name) = settings.default_prompt_name else { return Ok(()) };
        let prompt = settings.prompts.unwrap_or_default().remove(&name);
        self.prompt =
            prompt.ok_or_else(|| Error::invalid_model(format!("there is no prompt {name:?}, the default")))?;
        if !self.prompt.is_empty() && !self.includes_prompt {
            return Err(Error::unsupported("a pooling that leaves out the tokens of the prompt"));
        }
        Ok(())
    }

    fn read_text(&mut self, text: TextSettings) -> Result<()> {
        for (name, arguments) in [("tokenizer_args", text.tokenizer_args), ("config_args", text.config_args)] {
            let mut names = arguments.unwrap_or_default().into_keys();
            if let Some(argument) = names.find(|name| !matches!(name.as_str(), "trust_remote_code" | "revision")) {
                return Err(Error::unsupported(format!("the setting {argument} of {name} is not read")));
            }
        }
        if text.max_seq_length == Some(0) {
            return Err(Error::invalid_model("max_seq_length is 0"));
        }
        self.max_tokens = text.max_seq_length;
        self.lowercase = text.do_lower_case.unwrap_or_default();
        Ok(())
    }

    fn read_modules(&mut self, folder: &Path, modules: &[Module]) -> Result<()> {
        let path = |module: &Module| match module.path.as_str() {
            "" => Ok(folder.to_owned()),
            path => {
                let parts = path.split('/').map(|part| plain_name(part, "path"));
                Ok(folder.join(parts.collect::<Result<PathBuf>>()?))
            }
        };
        for (position, module) in modules.iter().enumerate() {
            let kind = module.kind.rsplit('.').next().unwrap_or_default();
            match (position, kind) {
                (0, "Transformer") => self.transformer = path(module)?,
                (1, "Pooling") => self.read_pooling(&path(module)?).context(|| module.path.clone())?,
                (2, "Normalize") => self.normalize = true,
                _ => {
                    return Err(Error::unsupported(format!(
                        "module {position} is `{kind}`; supported are Transformer, Pooling and Normalize, in this order"
                    )));
                }
            }
        }
        if self.pooling.is_none() {
            return Err(Error::unsupported("there is no pooling behind the encoder"));
        }
        Ok(())
    }

    fn read_pooling(&mut self, folder: &Path) -> Result<()> {
        let fields =
            settings(folder, "config.json")?.ok_or_else(|| Error::invalid_model("`config.json` is missing"))?;
        let dimension = ["word_embedding_dimension", "embedding_dimension"];
        let dimension = dimension.into_iter().find_map(|name| Some((name, fields.get(name)?)));
        self.dimension = match dimension {
            None => None,
            Some((name, value)) => {
                let dimension = value.as_u64().and_then(|dimension| usize::try_from(dimension).ok());
                Some(dimension.ok_or_else(|| Error::invalid_model(format!("{name} is {value}")))?)
            }
        };
        self.includes_prompt = match fields.get("include_prompt") {
            None | Some(Value::Null) => true,
            Some(Value::Bool(included)) => *included,
            Some(value) => return Err(Error::invalid_model(format!("include_prompt is {value}"))),
        };
        let switched =
            fields.iter().filter(|(name, value)| name.starts_with("pooling_mode_") && **value != Value::Bool(false));
        let mut modes: Vec<&str> = switched.map(|(name, _)| name.as_str()).collect();
        match fields.get("pooling_mode") {
            None | Some(Value::Null) => {}
            Some(mode) => {
                // The newer setting replaces the switches.
                let list = mode.as_array().map_or_else(|| vec![mode], |list| list.iter().collect());
                let named = list.into_iter().map(Value::as_str).collect::<Option<Vec<_>>>();
                modes = named.ok_or_else(|| Error::invalid_model(format!("pooling_mode is {mode}")))?;
            }
        }
        self.pooling = Some(match modes.as_slice() {
            ["pooling_mode_mean_tokens" | "mean"] => Pooling::Mean,
            ["pooling_mode_cls_token" | "cls"] => Pooling::Cls,
            ["pooling_mode_max_tokens" | "max"] => Pooling::Max,
            modes => {
                return Err(Error::unsupported(format!(
                    "the pooling {modes:?}; supported are mean, cls and max, one alone"
                )));
            }
        });
        Ok(())
    }
}
