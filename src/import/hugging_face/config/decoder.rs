//! The second half of a model that has an encoder and a decoder.

use crate::import::hugging_face::config::Config;

/// A decoder, which reads a text once more: each token sees those in front and all of the encoder's results.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::import::hugging_face) struct Decoder {
    /// Its embeddings and layers.
    pub(in crate::import::hugging_face) config: Config,
    pub(in crate::import::hugging_face) start: DecoderStart,
    /// The token at whose last place in a text the classes of the text are told.
    pub(in crate::import::hugging_face) end: u32,
}

/// The token that a decoder reads first, in front of all tokens of a text but the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DecoderStart {
    /// The same for each text.
    Token(u32),
    /// The text's last one that is not padding, where padding stands at the end.
    Last {
        /// The token of padding.
        pad: u32,
    },
}

impl DecoderStart {
    /// The tokens that the decoder reads; none if those of the text are all padding, and are looked for.
    pub(crate) fn tokens(self, text: &[u32]) -> Option<Vec<u32>> {
        let start = match self {
            Self::Token(start) => start,
            // By the number of others, wherever padding stands, as transformers finds it.
            Self::Last { pad } => text[text.iter().filter(|&&token| token != pad).count().checked_sub(1)?],
        };
        let behind = text.split_last().map_or(&[][..], |(_, front)| front);
        Some([&[start], behind].concat())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decoder_reads_a_text_behind_its_first_token() {
        let token = DecoderStart::Token(9);
        assert_eq!(token.tokens(&[0, 5, 6, 2]), Some(vec![9, 0, 5, 6]));
        assert_eq!(token.tokens(&[4]), Some(vec![9]));
        let last = DecoderStart::Last { pad: 1 };
        assert_eq!(last.tokens(&[5, 6, 2, 7]), Some(vec![7, 5, 6, 2]));
        assert_eq!(last.tokens(&[5, 2, 7, 1, 1]), Some(vec![7, 5, 2, 7, 1]));
        assert_eq!(last.tokens(&[5, 1, 2, 7]), Some(vec![2, 5, 1, 2]));
        assert_eq!(last.tokens(&[1, 1]), None);
    }
}
