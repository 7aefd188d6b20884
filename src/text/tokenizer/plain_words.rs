//! Words of plain texts, looked up without the steps of the tokenizer.

use std::sync::{
    OnceLock,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use serde_json::Value;
use tokenizers::{AddedToken, Model as _, ModelWrapper, Tokenizer, models::wordpiece::WordPiece};

use crate::{
    text::tokenizer::{
        cut::of_bert,
        encoded::{Encoded, refused},
        word_table::WordTable,
    },
    threads::panics::catch,
};

/// The tokens of ASCII texts by a tokenizer as BERT's.
///
/// Of such a text the normalizer changes the case alone, words stand between spaces and punctuation, and a word that the
/// vocabulary has is one token. A text with a byte that may begin an added token is left to the tokenizer, and so is one
/// with control characters.
#[derive(Debug)]
pub(super) struct PlainWords {
    lowercases: bool,
    classes: [Class; 256],
    /// What the tokenizer puts before and behind each text: ids and token types.
    before: Vec<(u32, u32)>,
    behind: Vec<(u32, u32)>,
    /// The token type of the text itself.
    type_id: u32,
    /// The texts up to the making of the table.
    texts: AtomicUsize,
    table: OnceLock<Option<WordTable>>,
}

/// After so many texts a table of the vocabulary is made, which takes as long as a few hundred of them.
const TEXTS: usize = 256;

/// What a byte is in a plain text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Space,
    Word,
    Punctuation,
    /// Not plain.
    Other,
}

impl Class {
    fn of(byte: u8) -> Self {
        match byte {
            b' ' | b'\t' | b'\n' | b'\r' => Self::Space,
            _ if byte.is_ascii_alphanumeric() => Self::Word,
            _ if byte.is_ascii_punctuation() => Self::Punctuation,
            _ => Self::Other,
        }
    }
}

impl PlainWords {
    /// For a tokenizer of BERT's steps that truncates the end of texts; `special` says whether texts get special tokens.
    pub(super) fn of(
        tokenizer: &Tokenizer,
        normalizer: &Value,
        pre_tokenizer: &Value,
        added: &[AddedToken],
        special: bool,
    ) -> Option<Self> {
        let (normalizer, _) = of_bert(tokenizer.get_model(), normalizer, pre_tokenizer)?;
        let mut classes = [Class::Other; 256];
        for byte in 0..=u8::MAX {
            classes[usize::from(byte)] = Class::of(byte);
        }
        for token in added {
            // One that begins with a letter may stand in any text, in any case.
            let first = *token.content.as_bytes().first()?;
            if Class::of(first) != Class::Punctuation {
                return None;
            }
            classes[usize::from(first)] = Class::Other;
        }
        // The crate panics on some templates; the tokenizer is refused for that later.
        let encode = |special| catch(|| tokenizer.encode_fast("a", special).map_err(refused)).ok();
        let whole = encode(special)?;
        let [text] = encode(false)?.get_ids()[..] else { return None };
        let tokens: Vec<(u32, u32)> =
            whole.get_ids().iter().copied().zip(whole.get_type_ids().iter().copied()).collect();
        let of_text: Vec<usize> = (0..tokens.len()).filter(|&at| whole.get_special_tokens_mask()[at] == 0).collect();
        let [at] = of_text[..] else { return None };
        let (before, behind) = (tokens[..at].to_vec(), tokens[at + 1..].to_vec());
        let lowercases = normalizer.get("lowercase") != Some(&Value::Bool(false));
        let type_id = tokens[at].1;
        let (texts, table) = (AtomicUsize::new(0), OnceLock::new());
        (tokens[at].0 == text).then_some(Self { lowercases, classes, before, behind, type_id, texts, table })
    }

    /// The tokens of a text, at most `most` besides those around it, unless it is not plain.
    pub(super) fn encode(&self, model: &ModelWrapper, text: &str, most: usize) -> Option<Encoded> {
        let ModelWrapper::WordPiece(model) = model else { return None };
        let bytes = text.as_bytes();
        if bytes.iter().any(|&byte| self.class(byte) == Class::Other) {
            return None;
        }
        let table = self.table(model);
        let mut ids = Vec::with_capacity(self.before.len() + most.min(bytes.len() / 4) + self.behind.len());
        ids.extend(self.before.iter().map(|token| token.0));
        let end = ids.len() + most;
        let (mut at, mut lower) = (0, String::new());
        while at < bytes.len() && ids.len() <= end {
            let start = at;
            let class = self.class(bytes[at]);
            at += 1;
            if class == Class::Space {
                continue;
            }
            while class == Class::Word && at < bytes.len() && self.class(bytes[at]) == Class::Word {
                at += 1;
            }
            let short = at - start <= model.max_input_chars_per_word;
            if short && table.is_some_and(|table| table.push(bytes, start..at, self.lowercases, &mut ids)) {
                continue;
            }
            let mut word = &text[start..at];
            if self.lowercases {
                lower.clear();
                lower.push_str(word);
                lower.make_ascii_lowercase();
                word = &lower;
            }
            push(model, word, &mut ids)?;
        }
        let truncated = ids.len() > end;
        ids.truncate(end);
        let mut type_ids = Vec::with_capacity(ids.len() + self.behind.len());
        type_ids.extend(self.before.iter().map(|token| token.1));
        type_ids.resize(ids.len(), self.type_id);
        ids.extend(self.behind.iter().map(|token| token.0));
        type_ids.extend(self.behind.iter().map(|token| token.1));
        Some(Encoded { ids, type_ids, truncated })
    }

    fn table(&self, model: &WordPiece) -> Option<&WordTable> {
        if self.table.get().is_none() && self.texts.fetch_add(1, Relaxed) == TEXTS {
            self.make_table(model);
        }
        self.table.get()?.as_ref()
    }

    pub(super) fn make_table(&self, model: &WordPiece) -> Option<&WordTable> {
        self.table.get_or_init(|| WordTable::of(model)).as_ref()
    }

    #[cfg(test)]
    pub(super) fn has_table(&self) -> bool {
        self.table.get().is_some_and(Option::is_some)
    }

    fn class(&self, byte: u8) -> Class {
        self.classes[usize::from(byte)]
    }
}

/// Appends the tokens of a word, or says nothing where the model has none.
fn push(model: &WordPiece, word: &str, ids: &mut Vec<u32>) -> Option<()> {
    match model.token_to_id(word).filter(|_| word.len() <= model.max_input_chars_per_word) {
        Some(id) => ids.push(id),
        None => ids.extend(model.tokenize(word).ok()?.into_iter().map(|token| token.id)),
    }
    Some(())
}
