//! Text models: tokenizer, encoder and pooling.

mod embedder;
mod tokenizer;

pub use embedder::{Embedder, EmbedderOptions, EmbedderPipeline, EncoderModel};
pub use tokenizer::{Encoded, TextTokenizer};

pub use crate::import::hugging_face::{FolderOptions, Pooling};
