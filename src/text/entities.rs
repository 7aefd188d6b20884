//! Entities of a text, put together of the classes of its tokens as transformers' pipeline does.

use std::{ops::Range, str::FromStr, sync::Arc};

use crate::{
    error::{Error, Result},
    import::hugging_face::Scores,
    text::{
        tokenized::{Piece, Tokenized},
        tokenizer::TextTokenizer,
    },
};

/// How the classes of tokens become entities.
///
/// Labels `B-NAME` begin an entity and `I-NAME` continue one; any other label continues one of its own name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Aggregation {
    /// They do not: each token is an entity of its own.
    None,
    /// Neighbouring tokens of one name are one entity.
    #[default]
    Simple,
    /// As `Simple`, of words, which have the class of their first token.
    First,
    /// As `Simple`, of words, which have the class with the highest mean score of their tokens.
    Average,
    /// As `Simple`, of words, which have the class of the token with the highest score.
    Max,
}

impl FromStr for Aggregation {
    type Err = Error;

    /// Reads a name of transformers, such as `average`.
    fn from_str(text: &str) -> Result<Self> {
        Ok(match text {
            "none" => Self::None,
            "simple" => Self::Simple,
            "first" => Self::First,
            "average" => Self::Average,
            "max" => Self::Max,
            _ => {
                let known = "none, simple, first, average and max";
                return Err(Error::invalid_input(format!("no aggregation `{text}`; there are {known}")));
            }
        })
    }
}

/// A part of a text with a label.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Entity {
    /// The name of its class: without `B-` and `I-` where tokens are aggregated.
    pub label: Arc<str>,
    /// The score of the class, of several tokens or words the mean.
    pub score: f32,
    /// Its tokens, joined as the tokenizer joins them; the text itself is at `bytes`.
    pub word: String,
    /// Its place in the text, in bytes.
    pub bytes: Range<usize>,
    /// Its place in the text, in characters.
    pub characters: Range<usize>,
}

/// The entities of a text.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Tagged {
    /// The entities in the order of the text, without those of the labels that are left out.
    pub entities: Vec<Entity>,
    /// The number of tokens that the encoder saw, special ones included.
    pub tokens: usize,
    /// Whether tokens of the text were removed.
    pub truncated: bool,
}

/// How entities are made.
pub(super) struct Entities {
    pub(super) aggregation: Aggregation,
    pub(super) labels: Arc<[Arc<str>]>,
    /// The labels that are left out.
    pub(super) ignored: Vec<String>,
}

/// A token or a word with its class.
struct Part {
    class: usize,
    score: f32,
    tokens: Vec<String>,
    characters: Range<usize>,
    bytes: Range<usize>,
}

impl Entities {
    /// The entities of a text from the numbers of its tokens' classes, window by window.
    pub(super) fn of(&self, tokenizer: &TextTokenizer, text: &Tokenized, windows: Vec<Vec<f32>>) -> Result<Tagged> {
        let mut entities = Vec::new();
        let several = windows.len() > 1;
        for (run, numbers) in text.runs.iter().zip(windows) {
            let found = self.of_window(tokenizer, &run.pieces, numbers)?;
            entities.extend(found.into_iter().filter(|entity| !self.is_ignored(&entity.label)));
        }
        if several {
            entities = longest(entities);
        }
        Ok(Tagged { entities, tokens: text.facts.tokens, truncated: text.facts.truncated })
    }

    fn is_ignored(&self, label: &str) -> bool {
        self.ignored.iter().any(|ignored| ignored == label)
    }

    fn of_window(&self, tokenizer: &TextTokenizer, pieces: &[Piece], mut numbers: Vec<f32>) -> Result<Vec<Entity>> {
        if numbers.iter().any(|number| number.is_nan()) {
            return Err(Error::invalid_model("the model gives a score that is no number"));
        }
        let classes = self.labels.len();
        numbers.chunks_exact_mut(classes).for_each(|scores| Scores::Softmax.apply(scores));
        let scores = |piece: &Piece| {
            let row = numbers.get(piece.row * classes..(piece.row + 1) * classes);
            row.ok_or_else(|| Error::internal("a token without classes"))
        };
        let by_words = !matches!(self.aggregation, Aggregation::None | Aggregation::Simple);
        let mut parts = Vec::new();
        let words = pieces.chunk_by(|_, next| by_words && next.is_subword);
        for word in words {
            let [first, ..] = word else { continue };
            let last = &word[word.len() - 1];
            let rows = word.iter().map(scores).collect::<Result<Vec<_>>>()?;
            let (class, score) = self.class(&rows);
            let token = |piece: &Piece| piece.unknown.clone().unwrap_or_else(|| tokenizer.token(piece.id));
            let tokens: Vec<String> = word.iter().map(token).collect();
            // Words are joined of their tokens before entities are joined of words.
            let tokens = if by_words { vec![tokenizer.joined(tokens)?] } else { tokens };
            parts.push(Part {
                class,
                score,
                tokens,
                characters: first.characters.start..last.characters.end,
                bytes: first.bytes.start..last.bytes.end,
            });
        }
        if self.aggregation == Aggregation::None {
            return Ok(parts.into_iter().map(|part| self.token(part)).collect());
        }
        let continues = |before: &Part, next: &Part| {
            let [(_, before), (begins, next)] = [before, next].map(|part| name(&self.labels[part.class]));
            before == next && !begins
        };
        parts.chunk_by(continues).map(|parts| self.entity(tokenizer, parts)).collect()
    }

    /// The class of a word and its score.
    fn class(&self, rows: &[&[f32]]) -> (usize, f32) {
        match self.aggregation {
            Aggregation::Average => {
                let mut means = vec![0f32; self.labels.len()];
                for row in rows {
                    means.iter_mut().zip(*row).for_each(|(mean, score)| *mean += score);
                }
                means.iter_mut().for_each(|mean| *mean /= rows.len() as f32);
                best(&means)
            }
            Aggregation::Max => rows.iter().map(|row| best(row)).fold((0, f32::NEG_INFINITY), |most, next| {
                // The first of several.
                if next.1 > most.1 { next } else { most }
            }),
            _ => rows.first().map_or((0, 0.0), |row| best(row)),
        }
    }

    fn token(&self, part: Part) -> Entity {
        let Part { class, score, tokens, characters, bytes } = part;
        Entity { label: self.labels[class].clone(), score, word: tokens.concat(), bytes, characters }
    }

    fn entity(&self, tokenizer: &TextTokenizer, parts: &[Part]) -> Result<Entity> {
        let [first, ..] = parts else { return Err(Error::internal("an entity without tokens")) };
        let last = &parts[parts.len() - 1];
        let label = &self.labels[first.class];
        let score: f64 = parts.iter().map(|part| f64::from(part.score)).sum();
        Ok(Entity {
            label: label.split_once('-').map_or_else(|| label.clone(), |(_, name)| name.into()),
            score: (score / parts.len() as f64) as f32,
            word: tokenizer.joined(parts.iter().flat_map(|part| part.tokens.iter().cloned()).collect())?,
            bytes: first.bytes.start..last.bytes.end,
            characters: first.characters.start..last.characters.end,
        })
    }
}

/// The first of the highest scores.
fn best(scores: &[f32]) -> (usize, f32) {
    let mut found = (0, f32::NEG_INFINITY);
    for (class, &score) in scores.iter().enumerate() {
        if score > found.1 {
            found = (class, score);
        }
    }
    found
}

/// Whether a label begins an entity, and the entity's name.
fn name(label: &str) -> (bool, &str) {
    match (label.strip_prefix("B-"), label.strip_prefix("I-")) {
        (Some(name), _) => (true, name),
        (_, Some(name)) => (false, name),
        _ => (false, label),
    }
}

/// Of entities that begin within another, the longer one or the one with the higher score, as several windows find them.
fn longest(mut entities: Vec<Entity>) -> Vec<Entity> {
    entities.sort_by_key(|entity| entity.characters.start);
    let mut kept: Vec<Entity> = Vec::new();
    for entity in entities {
        match kept.last_mut() {
            Some(last) if last.characters.contains(&entity.characters.start) => {
                let (own, other) = (entity.characters.len(), last.characters.len());
                if own > other || (own == other && entity.score > last.score) {
                    *last = entity;
                }
            }
            _ => kept.push(entity),
        }
    }
    kept
}
