//! Preparation of a text for the encoder.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use crate::{
    error::{Error, Result},
    import::hugging_face::Positions,
    tensor::{Tensor, Tensors},
    text::tokenizer::{Encoded, TextTokenizer},
};

/// Turns a text into the encoder's inputs.
pub(super) struct Prepare {
    pub(super) tokenizer: TextTokenizer,
    /// The rows of the position table, if the graph takes them.
    pub(super) positions: Option<Positions>,
    /// What stands before each text.
    pub(super) prompt: String,
    pub(super) vocabulary: usize,
    pub(super) token_types: Option<usize>,
    /// Whether all tokens are of the first type.
    pub(super) one_token_type: bool,
    /// A token that is left out at the end of a text.
    pub(super) pad: Option<u32>,
    /// Whether a text without tokens has a vector.
    pub(super) may_be_empty: bool,
    pub(super) names: [Arc<str>; 3],
    pub(super) truncated: Arc<AtomicU64>,
}

impl Prepare {
    /// The inputs for one text.
    pub(super) fn tensors(&self, text: &str) -> Result<Tensors> {
        self.of_tokens(match self.prompt.as_str() {
            "" => self.tokenizer.encode(text)?,
            prompt => self.tokenizer.encode(&format!("{prompt}{text}"))?,
        })
    }

    /// The inputs for two texts.
    pub(super) fn pair(&self, first: &str, second: &str) -> Result<Tensors> {
        self.of_tokens(self.tokenizer.encode_pair(first, second)?)
    }

    fn of_tokens(&self, encoded: Encoded) -> Result<Tensors> {
        let Encoded { mut ids, mut type_ids, truncated } = encoded;
        while ids.len() > 1 && ids.last().copied() == self.pad {
            ids.pop();
            type_ids.pop();
        }
        if self.one_token_type {
            type_ids.fill(0);
        }
        if ids.is_empty() && !self.may_be_empty {
            return Err(Error::invalid_input("the text has no tokens"));
        }
        let numbers = |numbers: &[u32], count: usize, what: &str| {
            if let Some(number) = numbers.iter().find(|number| **number as usize >= count) {
                let message = format!("the tokenizer gives {what} {number}, the model has {count}");
                return Err(Error::invalid_model(message));
            }
            let numbers: Vec<i32> = numbers.iter().map(|&number| number as i32).collect();
            Tensor::new([numbers.len()], &numbers)
        };
        let [id, token_type, position] = &self.names;
        let mut tensors = Tensors::new().with(id.clone(), numbers(&ids, self.vocabulary, "the token")?);
        if let Some(count) = self.token_types {
            tensors.insert(token_type.clone(), numbers(&type_ids, count, "the token type")?);
        }
        if let Some(positions) = self.positions {
            let positions: Vec<i32> = positions.of(ids).collect();
            tensors.insert(position.clone(), Tensor::new([positions.len()], &positions)?);
        }
        self.truncated.fetch_add(u64::from(truncated), Relaxed);
        Ok(tensors)
    }
}
