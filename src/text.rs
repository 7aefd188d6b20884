//! Texts as vectors: tokenizer, encoder, pooling.

mod embedder;
mod tokenizer;

pub use embedder::{Embedder, EmbedderOptions, EncoderModel};
pub use tokenizer::{Encoded, TextTokenizer};

pub use crate::import::hugging_face::Pooling;
