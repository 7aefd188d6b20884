//! Texts to vectors and classes: tokenizer, encoder and what stands behind it.

mod classifier;
mod classifier_options;
mod embedder;
mod encoder_model;
mod hot;
mod opened;
mod options;
mod prepare;
mod reranker;
mod tokenizer;

pub use classifier::{Classified, Classifier, ClassifierPipeline};
pub use classifier_options::ClassifierOptions;
pub use embedder::{Embedder, EmbedderPipeline, EmbedderQueue};
pub use encoder_model::EncoderModel;
pub use options::EmbedderOptions;
pub use reranker::{Reranker, RerankerPipeline};
pub use tokenizer::{Encoded, TextTokenizer};

pub use crate::import::hugging_face::{FolderOptions, Pooling, Scores};
