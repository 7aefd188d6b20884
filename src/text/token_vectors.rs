//! The vectors of a text's tokens.

use crate::text::tokenized::Facts;

/// The vectors of a text's tokens.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenVectors {
    numbers: Vec<f32>,
    width: usize,
    ids: Vec<u32>,
    facts: Facts,
}

impl TokenVectors {
    pub(super) fn new(numbers: Vec<f32>, width: usize, ids: Vec<u32>, facts: Facts) -> Self {
        Self { numbers, width, ids, facts }
    }

    /// All numbers, a vector behind the other.
    pub fn numbers(&self) -> &[f32] {
        &self.numbers
    }

    /// The vectors.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[f32]> {
        self.numbers.chunks_exact(self.width.max(1))
    }

    /// The ids of the tokens that have a vector, in the order of the vectors.
    pub fn ids(&self) -> &[u32] {
        &self.ids
    }

    /// The number of tokens that the encoder saw, special ones and those without a vector included.
    pub fn tokens(&self) -> usize {
        self.facts.tokens
    }

    /// Whether tokens of the text were removed.
    pub fn truncated(&self) -> bool {
        self.facts.truncated
    }

    /// The score of a document for this query: the sum, over the query's vectors, of the largest product with a vector of
    /// the document.
    pub fn max_similarity(&self, document: &Self) -> f32 {
        let product = |one: &[f32], other: &[f32]| {
            one.iter().zip(other).map(|(one, other)| f64::from(*one) * f64::from(*other)).sum::<f64>()
        };
        let largest =
            |query: &[f32]| document.iter().map(|vector| product(query, vector)).fold(f64::NEG_INFINITY, f64::max);
        if document.numbers.is_empty() {
            return 0.0;
        }
        self.iter().map(largest).sum::<f64>() as f32
    }
}
