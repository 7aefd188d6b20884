//! The vector of a text with what became of the text.

use std::ops::Range;

use crate::{
    error::{Error, Result},
    text::tokenized::Tokenized,
};

/// The vector of a text with what became of the text, and the windows of a text that was read in windows.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Embedded {
    /// The vector of the text; of a text with several windows their mean, in which each counts by its tokens.
    pub vector: Vec<f32>,
    /// The windows, where texts are read in windows.
    pub windows: Vec<Window>,
    /// The number of tokens that the encoder saw, special ones included; those of overlaps count in each window.
    pub tokens: usize,
    /// Whether tokens of the text were removed.
    pub truncated: bool,
}

/// A part of a text with its vector, which is that of the part alone.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Window {
    /// The place of the part in the text, in bytes.
    pub bytes: Range<usize>,
    /// Its vector.
    pub vector: Vec<f32>,
}

/// The vector of a text from those of its windows; divided by its length where `normalized`.
pub(super) fn pooled(text: &Tokenized, mut vectors: Vec<Vec<f32>>, normalized: bool) -> Result<Vec<f32>> {
    if vectors.len() <= 1 {
        return vectors.pop().ok_or_else(|| Error::internal("a text without its window"));
    }
    let mut sums = vec![0f64; vectors[0].len()];
    for (run, vector) in text.runs.iter().zip(&vectors) {
        let count = run.tokens as f64;
        sums.iter_mut().zip(vector).for_each(|(sum, number)| *sum += count * f64::from(*number));
    }
    let divisor = match normalized {
        true => sums.iter().map(|sum| sum * sum).sum::<f64>().sqrt().max(f64::from(f32::MIN_POSITIVE)),
        false => text.runs.iter().map(|run| run.tokens as f64).sum(),
    };
    Ok(sums.into_iter().map(|sum| (sum / divisor) as f32).collect())
}

impl Embedded {
    pub(super) fn of(text: &Tokenized, vectors: Vec<Vec<f32>>, normalized: bool, in_windows: bool) -> Result<Self> {
        let windows = match in_windows {
            true => {
                let windows = text.runs.iter().zip(&vectors);
                windows.map(|(run, vector)| Window { bytes: run.bytes.clone(), vector: vector.clone() }).collect()
            }
            false => Vec::new(),
        };
        let vector = pooled(text, vectors, normalized)?;
        Ok(Self { vector, windows, tokens: text.facts.tokens, truncated: text.facts.truncated })
    }

    /// The bytes that it holds.
    pub(super) fn bytes(&self) -> usize {
        let windows = self.windows.iter().map(|window| size_of_val(window.vector.as_slice()) + size_of::<Window>());
        size_of::<Self>() + size_of_val(self.vector.as_slice()) + windows.sum::<usize>()
    }
}
