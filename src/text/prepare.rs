//! Preparation of a text for the encoder.

use std::sync::Arc;

use smallvec::{SmallVec, smallvec};

use crate::{
    error::{Error, Result},
    import::hugging_face::{DecoderStart, Positions},
    tensor::{Tensor, Tensors},
    text::{
        tokenized::{Facts, Run, Tokenized},
        tokenizer::{Encoded, Spanned, TextTokenizer},
    },
};

/// Turns a text into the encoder's inputs.
pub(super) struct Prepare {
    pub(super) tokenizer: TextTokenizer,
    /// The rows of the position table, if the graph takes them.
    pub(super) positions: Option<Positions>,
    pub(super) vocabulary: usize,
    pub(super) token_types: Option<usize>,
    /// Whether all tokens are of the first type.
    pub(super) one_token_type: bool,
    /// A token that is left out at the end of a text.
    pub(super) pad: Option<u32>,
    /// The token whose vector is that of a text.
    pub(super) end: Option<End>,
    /// The token that a decoder reads first.
    pub(super) decoder: Option<DecoderStart>,
    /// The token at whose last place the graph looks.
    pub(super) marked: Option<u32>,
    /// A token that no text may have: the words' vectors would be scaled by its part of them.
    pub(super) scaled_by_mask: Option<u32>,
    /// Whether a text without tokens has a vector.
    pub(super) may_be_empty: bool,
    pub(super) names: [Arc<str>; 5],
}

/// The token whose vector is that of a text; it is made the last one.
pub(super) enum End {
    /// The first of this number.
    Token(u32),
    /// The first with the highest number.
    Highest,
    /// The last of so many, filled up with a token.
    Padded(usize, u32),
}

impl End {
    fn apply(&self, ids: &mut Vec<u32>, type_ids: &mut Vec<u32>) -> Result<()> {
        let len = match *self {
            Self::Token(end) => ids.iter().position(|&id| id == end).map(|place| place + 1),
            Self::Highest => {
                ids.iter().max().and_then(|most| ids.iter().position(|id| id == most)).map(|place| place + 1)
            }
            Self::Padded(len, pad) => {
                ids.resize(len.max(ids.len()), pad);
                Some(ids.len())
            }
        };
        let len = len.ok_or_else(without_end)?;
        // What stands behind it does not change its vector: each token sees those in front alone.
        ids.truncate(len);
        type_ids.resize(len, 0);
        Ok(())
    }
}

fn without_end() -> Error {
    Error::invalid_model("the tokenizer gives a text no token for its end, which the model needs")
}

impl Prepare {
    /// One text behind a prompt.
    pub(super) fn tokenized(&self, prompt: &str, text: &str) -> Result<Tokenized> {
        self.whole(self.encoded(prompt, text)?)
    }

    fn encoded(&self, prompt: &str, text: &str) -> Result<Encoded> {
        match prompt {
            "" => self.tokenizer.encode(text),
            prompt => self.tokenizer.encode(&format!("{prompt}{text}")),
        }
    }

    /// One text, of which a long one is cut into parts that have about `overlap` tokens in common; the prompt stands in
    /// front of each.
    pub(super) fn parts(&self, prompt: &str, text: &str, overlap: usize) -> Result<Tokenized> {
        let whole = self.encoded(prompt, text)?;
        if !whole.truncated {
            let mut tokenized = self.whole(whole)?;
            tokenized.runs.iter_mut().for_each(|run| run.bytes = 0..text.len());
            return Ok(tokenized);
        }
        let mut facts = Facts { tokens: 0, truncated: false };
        let mut runs = SmallVec::new();
        for bytes in self.tokenizer.parts(prompt, text, overlap)? {
            let encoded = self.encoded(prompt, &text[bytes.clone()])?;
            let tokens = encoded.ids.len();
            facts.tokens += tokens;
            facts.truncated |= encoded.truncated;
            runs.push(Run { tensors: self.tensors(encoded)?, tokens, ids: Vec::new(), pieces: Vec::new(), bytes });
        }
        Ok(Tokenized { runs, facts })
    }

    /// One text of at most `max_tokens`, with tokens added up to a length, and with its ids.
    pub(super) fn expanded(
        &self,
        text: &str,
        max_tokens: usize,
        expansion: Option<(usize, u32, bool)>,
        hides_keys: bool,
    ) -> Result<Tokenized> {
        let mut encoded = self.tokenizer.encode_within(text, max_tokens)?;
        let (own, truncated) = (encoded.ids.len(), encoded.truncated);
        let mut seen = own;
        if let Some((length, token, attended)) = expansion.filter(|(length, ..)| own < *length) {
            encoded.ids.resize(length, token);
            encoded.type_ids.resize(length, 0);
            seen = if attended { length } else { own };
        }
        let (ids, tokens) = (encoded.ids.clone(), encoded.ids.len());
        let mut tensors = self.tensors(encoded)?;
        if hides_keys {
            if seen == 0 {
                return Err(Error::invalid_input("the text has no tokens"));
            }
            let seen = i32::try_from(seen).map_err(|_| Error::limit("more than 2^31 tokens"))?;
            tensors.insert("visible_keys", Tensor::new([tokens], &vec![seen; tokens])?);
        }
        let runs = smallvec![Run { tensors, tokens, ids, pieces: Vec::new(), bytes: 0..0 }];
        Ok(Tokenized { runs, facts: Facts { tokens, truncated } })
    }

    /// Two texts.
    pub(super) fn pair(&self, first: &str, second: &str) -> Result<Tokenized> {
        self.whole(self.tokenizer.encode_pair(first, second)?)
    }

    /// One text, with the places of its tokens.
    pub(super) fn spanned(&self, text: &str) -> Result<Tokenized> {
        self.windows(vec![self.tokenizer.encode_spans(text)?])
    }

    /// One text in windows that have `overlap` tokens in common, with the places of its tokens.
    pub(super) fn overlapping(&self, text: &str, overlap: usize) -> Result<Tokenized> {
        self.windows(self.tokenizer.encode_windows(text, overlap)?)
    }

    fn windows(&self, windows: Vec<Spanned>) -> Result<Tokenized> {
        let mut facts = Facts { tokens: 0, truncated: false };
        let mut runs = SmallVec::new();
        for Spanned { encoded, pieces } in windows {
            let tokens = encoded.ids.len();
            facts.tokens += tokens;
            facts.truncated |= encoded.truncated;
            let start = pieces.first().map_or(0, |piece| piece.bytes.start);
            let end = pieces.last().map_or(start, |piece| piece.bytes.end);
            runs.push(Run { tensors: self.tensors(encoded)?, tokens, ids: Vec::new(), pieces, bytes: start..end });
        }
        Ok(Tokenized { runs, facts })
    }

    fn whole(&self, encoded: Encoded) -> Result<Tokenized> {
        let facts = Facts { tokens: encoded.ids.len(), truncated: encoded.truncated };
        let tensors = self.tensors(encoded)?;
        let runs = smallvec![Run { tensors, tokens: facts.tokens, ids: Vec::new(), pieces: Vec::new(), bytes: 0..0 }];
        Ok(Tokenized { runs, facts })
    }

    fn tensors(&self, encoded: Encoded) -> Result<Tensors> {
        let Encoded { mut ids, mut type_ids, .. } = encoded;
        while ids.len() > 1 && ids.last().copied() == self.pad {
            ids.pop();
            type_ids.pop();
        }
        if let Some(end) = &self.end {
            end.apply(&mut ids, &mut type_ids)?;
        }
        if self.one_token_type {
            type_ids.fill(0);
        }
        if ids.is_empty() && !self.may_be_empty {
            return Err(Error::invalid_input("the text has no tokens"));
        }
        if self.scaled_by_mask.is_some_and(|mask| ids.contains(&mask)) {
            return Err(Error::invalid_input(
                "the text has a masked token, by which this model scales all others; remove it",
            ));
        }
        let numbers = |numbers: &[u32], count: usize, what: &str| {
            if let Some(number) = numbers.iter().find(|number| **number as usize >= count) {
                let message = format!("the tokenizer gives {what} {number}, the model has {count}");
                return Err(Error::invalid_model(message));
            }
            Tensor::new([numbers.len()], bytemuck::cast_slice::<u32, i32>(numbers))
        };
        let [id, token_type, position, decoder, end] = &self.names;
        let mut tensors = Tensors::new().with(id.clone(), numbers(&ids, self.vocabulary, "the token")?);
        if let Some(count) = self.token_types {
            tensors.insert(token_type.clone(), numbers(&type_ids, count, "the token type")?);
        }
        if let Some(start) = self.decoder {
            let all_padding = || Error::invalid_input("the text has no tokens but padding");
            let read = start.tokens(&ids).ok_or_else(all_padding)?;
            tensors.insert(decoder.clone(), numbers(&read, self.vocabulary, "the token")?);
        }
        if let Some(token) = self.marked {
            let place = ids.iter().rposition(|&id| id == token).ok_or_else(without_end)?;
            let mut marks = vec![f32::NEG_INFINITY; ids.len()];
            marks[place] = 0.0;
            tensors.insert(end.clone(), Tensor::new([marks.len(), 1], &marks)?);
        }
        if let Some(positions) = self.positions {
            let positions: Vec<i32> = positions.of(ids).collect();
            tensors.insert(position.clone(), Tensor::new([positions.len()], &positions)?);
        }
        Ok(tensors)
    }
}
