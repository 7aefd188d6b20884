//! What stands before texts.

use std::collections::BTreeMap;

use crate::error::{Error, Result};

/// The prompts of a folder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Prompts {
    /// What stands before each text unless another prompt is chosen.
    pub default: String,
    /// The name of the default prompt, if it has one.
    pub(crate) default_name: Option<String>,
    /// What may stand there, by name.
    pub named: BTreeMap<String, String>,
    /// Whether the pooling leaves out the tokens of the prompt, which is not built.
    pub(super) excluded: bool,
}

impl Prompts {
    /// The prompt of that name.
    ///
    /// # Errors
    /// If the folder has none of that name.
    pub fn by_name(&self, name: &str) -> Result<String> {
        let missing = || {
            let known: Vec<&str> = self.named.keys().map(String::as_str).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            Error::invalid_input(format!("the folder has no prompt {name:?}; it has {known}"))
        };
        self.checked(self.named.get(name).ok_or_else(missing)?.clone())
    }

    /// A prompt, if the pooling counts its tokens.
    pub(crate) fn checked(&self, prompt: String) -> Result<String> {
        if self.excluded && !prompt.is_empty() {
            return Err(Error::unsupported("a pooling that leaves out the tokens of the prompt"));
        }
        Ok(prompt)
    }
}
