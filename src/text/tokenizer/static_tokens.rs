//! The rules by which texts become tokens for vectors of words.

use tokenizers::{ModelWrapper, Tokenizer};

use crate::import::hugging_face::StaticRules;

/// Rules for vectors of words; such texts have no special tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct StaticTokens {
    /// A token that is left out.
    unknown: Option<u32>,
    /// The number of characters to which a text is cut.
    characters: Option<usize>,
}

impl StaticTokens {
    pub(super) fn of(tokenizer: &Tokenizer, rules: StaticRules, max_tokens: usize) -> Self {
        if !rules.model2vec {
            return Self::default();
        }
        let characters = rules.limited.then(|| max_tokens.saturating_mul(median_length(tokenizer)));
        Self { unknown: unknown(tokenizer), characters }
    }

    /// The beginning of a text that counts, and whether more follows.
    pub(super) fn beginning(self, text: &str) -> (&str, bool) {
        let end = self.characters.and_then(|most| text.char_indices().nth(most)).map(|(end, _)| end);
        (end.map_or(text, |end| &text[..end]), end.is_some())
    }

    /// Removes tokens that have no vector.
    pub(super) fn remove_unknown(self, ids: &mut Vec<u32>) {
        if let Some(unknown) = self.unknown {
            ids.retain(|id| *id != unknown);
        }
    }
}

/// The token of unknown words.
fn unknown(tokenizer: &Tokenizer) -> Option<u32> {
    match tokenizer.get_model() {
        ModelWrapper::WordPiece(model) => tokenizer.token_to_id(&model.unk_token),
        ModelWrapper::WordLevel(model) => tokenizer.token_to_id(&model.unk_token),
        ModelWrapper::BPE(model) => model.unk_token.as_ref().and_then(|token| tokenizer.token_to_id(token)),
        ModelWrapper::Unigram(model) => {
            let settings = serde_json::to_value(model).ok()?;
            settings.get("unk_id")?.as_u64().and_then(|id| u32::try_from(id).ok())
        }
    }
}

/// The median number of characters of a token; of two in the middle their mean, rounded down.
fn median_length(tokenizer: &Tokenizer) -> usize {
    let mut lengths: Vec<usize> = tokenizer.get_vocab(true).keys().map(|token| token.chars().count()).collect();
    lengths.sort_unstable();
    let middle = lengths.len() / 2;
    match lengths.len() {
        0 => 0,
        len if len % 2 == 1 => lengths[middle],
        _ => (lengths[middle - 1] + lengths[middle]) / 2,
    }
}
