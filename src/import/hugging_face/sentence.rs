//! The settings that sentence-transformers adds to a folder: modules after the encoder, and text
//! length.

use std::path::{Path, PathBuf};

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
    pub(super) notes: Vec<String>,
}

/// One entry of modules.json.
#[derive(Deserialize)]
struct Module {
    path: String,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Deserialize)]
struct TextSettings {
    #[serde(default)]
    max_seq_length: Option<usize>,
    #[serde(default)]
    do_lower_case: bool,
}

#[derive(Deserialize)]
struct TokenizerSettings {
    #[serde(default)]
    model_max_length: Option<f64>,
}

#[derive(Deserialize)]
struct PromptSettings {
    #[serde(default)]
    default_prompt_name: Option<String>,
}

/// Reads the settings of a folder; all its files are optional.
pub(super) fn read(folder: &Path) -> Result<Sentence> {
    let mut sentence = Sentence { transformer: folder.to_owned(), ..Sentence::default() };
    match optional::<Vec<Module>>(folder, "modules.json")? {
        Some(modules) => sentence.read_modules(folder, &modules).context(|| "`modules.json`".into())?,
        None => sentence.notes.push("no modules.json: pooling mean and no scaling unless told otherwise".to_owned()),
    }
    if let Some(prompts) = optional::<PromptSettings>(folder, "config_sentence_transformers.json")?
        && let Some(name) = prompts.default_prompt_name
    {
        return Err(Error::unsupported(format!("the model puts the prompt {name:?} before each text by default")));
    }
    if let Some(text) = optional::<TextSettings>(&sentence.transformer, "sentence_bert_config.json")? {
        sentence.max_tokens = text.max_seq_length;
        sentence.lowercase = text.do_lower_case;
    }
    if sentence.max_tokens.is_none()
        && let Some(tokenizer) = optional::<TokenizerSettings>(&sentence.transformer, "tokenizer_config.json")?
    {
        // An absent limit is written as 1e30.
        sentence.max_tokens =
            tokenizer.model_max_length.filter(|most| (1.0..1e9).contains(most)).map(|most| most as usize);
    }
    if sentence.max_tokens == Some(0) {
        return Err(Error::invalid_model("`sentence_bert_config.json`: max_seq_length is 0"));
    }
    Ok(sentence)
}

impl Sentence {
    fn read_modules(&mut self, folder: &Path, modules: &[Module]) -> Result<()> {
        let path = |module: &Module| match module.path.as_str() {
            "" => Ok(folder.to_owned()),
            path => plain_name(path, "path").map(|path| folder.join(path)),
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
        self.dimension = match fields.get("word_embedding_dimension") {
            None => None,
            Some(value) => {
                let dimension = value.as_u64().and_then(|dimension| usize::try_from(dimension).ok());
                let wrong = || Error::invalid_model(format!("word_embedding_dimension is {value}"));
                Some(dimension.ok_or_else(wrong)?)
            }
        };
        let switched =
            fields.iter().filter(|(name, value)| name.starts_with("pooling_mode_") && **value != Value::Bool(false));
        let mut modes: Vec<&str> = switched.map(|(name, _)| name.as_str()).collect();
        if let Some(mode) = fields.get("pooling_mode") {
            modes.push(mode.as_str().ok_or_else(|| Error::invalid_model(format!("pooling_mode is {mode}")))?);
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
