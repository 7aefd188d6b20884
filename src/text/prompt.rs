//! What stands before a text.

use crate::{error::Result, import::hugging_face::Prompts};

/// What stands before each text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Prompt {
    /// The folder's default prompt, if it has one.
    #[default]
    Default,
    /// The prompt that the folder has under that name.
    Named(String),
    /// This text; the empty one for no prompt.
    Text(String),
}

impl Prompt {
    /// The text, of a folder with these prompts.
    pub(super) fn of(&self, prompts: &Prompts) -> Result<String> {
        match self {
            Self::Default => Ok(prompts.default.clone()),
            Self::Named(name) => prompts.by_name(name),
            Self::Text(text) => prompts.checked(text.clone()),
        }
    }

    /// The name of the prompt: the folder's default one, or none.
    pub(super) fn name<'a>(&'a self, prompts: &'a Prompts) -> Option<&'a str> {
        match self {
            Self::Default => prompts.default_name.as_deref(),
            Self::Named(name) => Some(name),
            Self::Text(_) => None,
        }
    }

    /// As sentence-transformers' `encode_query` and `encode_document` choose: the prompt of that name, or none.
    pub(super) fn for_task(name: &str, prompts: &Prompts) -> Self {
        match prompts.named.contains_key(name) {
            true => Self::Named(name.to_owned()),
            false => Self::Text(String::new()),
        }
    }
}
