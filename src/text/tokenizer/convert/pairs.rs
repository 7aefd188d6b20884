//! The model of byte pairs that transformers makes of a sentencepiece model of that type.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use super::pieces::PieceModel;
use crate::error::{Error, Result};

/// The most characters of a piece, whose every split is tried; sentencepiece allows 16 unless it is told otherwise.
const MAX_PIECE: usize = 1 << 10;

/// Two pieces that become one.
struct Merge<'a> {
    score: f64,
    parts: [&'a str; 2],
    /// Their lengths in characters.
    lengths: [usize; 2],
}

/// The model of `vocab`, the tokens in the order of their numbers with their scores.
pub(super) fn model(vocab: &[(String, f64)], model: &PieceModel) -> Result<Value> {
    let numbers: Map<String, Value> =
        vocab.iter().enumerate().map(|(number, (text, _))| (text.clone(), number.into())).collect();
    if !numbers.contains_key(&model.unknown_text) {
        let message = format!("the unknown piece {:?} is not in the vocabulary", model.unknown_text);
        return Err(Error::invalid_model(message));
    }
    let merges: Vec<[&str; 2]> = merges(vocab, model)?.into_iter().map(|merge| merge.parts).collect();
    Ok(json!({"type": "BPE", "dropout": null, "unk_token": model.unknown_text, "continuing_subword_prefix": null,
        "end_of_word_suffix": null, "fuse_unk": true, "byte_fallback": false, "vocab": numbers, "merges": merges}))
}

/// All pairs of pieces that make a piece: those of high scores first, of these those with long parts.
fn merges<'a>(vocab: &'a [(String, f64)], model: &PieceModel) -> Result<Vec<Merge<'a>>> {
    let pieces: HashMap<&str, usize> =
        model.pieces.iter().enumerate().map(|(number, piece)| (piece.text.as_str(), number)).collect();
    // Of equal texts the first place and the last score count.
    let scores: HashMap<&str, f64> = vocab.iter().map(|(text, score)| (text.as_str(), *score)).collect();
    let mut seen = HashMap::with_capacity(scores.len());
    let mut merges = Vec::new();
    for (text, _) in vocab {
        if seen.insert(text.as_str(), ()).is_some() {
            continue;
        }
        let count = text.chars().count();
        if count > MAX_PIECE {
            return Err(Error::limit(format!("a piece of {count} characters; the limit is {MAX_PIECE}")));
        }
        let mut own = Vec::new();
        for (length, (place, _)) in text.char_indices().enumerate().skip(1) {
            let parts = text.split_at(place);
            if let (Some(first), Some(second)) = (pieces.get(parts.0), pieces.get(parts.1)) {
                let merge = Merge {
                    score: scores[text.as_str()],
                    parts: [parts.0, parts.1],
                    lengths: [length, count - length],
                };
                own.push(([*first, *second], merge));
            }
        }
        own.sort_by_key(|(numbers, _)| *numbers);
        merges.extend(own.into_iter().map(|(_, merge)| merge));
    }
    merges.sort_by(|a, b| b.score.total_cmp(&a.score).then_with(|| b.lengths.cmp(&a.lengths)));
    Ok(merges)
}
