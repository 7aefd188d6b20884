//! Texts to vectors: tokenizer, encoder and pooling.

mod embedder;
mod encoder_model;
mod options;
mod prepare;
mod tokenizer;

pub use embedder::{Embedder, EmbedderPipeline};
pub use encoder_model::EncoderModel;
pub use options::EmbedderOptions;
pub use tokenizer::{Encoded, TextTokenizer};

pub use crate::import::hugging_face::{FolderOptions, Pooling};
