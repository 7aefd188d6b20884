//! Texts to vectors, classes, entities and scores: tokenizer, encoder and what stands behind it.

mod classifier;
mod classifier_options;
mod embedded;
mod embedder;
mod encoder_model;
mod entities;
mod hot;
mod jobs;
mod opened;
mod options;
mod prepare;
mod prompt;
mod quantize;
mod reranker;
mod sparse;
mod sparse_options;
mod tagger;
mod tagger_options;
mod token_embedder;
mod token_options;
mod token_vectors;
mod tokenized;
mod tokenizer;

pub use classifier::{Classified, ClassifiedWindow, Classifier, ClassifierPipeline};
pub use classifier_options::ClassifierOptions;
pub use embedded::{Embedded, Window};
pub use embedder::{EmbeddedPipeline, Embedder, EmbedderPipeline, EmbedderQueue};
pub use encoder_model::EncoderModel;
pub use entities::{Aggregation, Entity, Tagged};
pub use options::EmbedderOptions;
pub use prompt::Prompt;
pub use quantize::{Quantizer, Ranges, VectorFormat};
pub use reranker::{Reranked, RerankedPipeline, Reranker, RerankerPipeline};
pub use sparse::{SparseEmbedder, SparsePipeline, SparseVector};
pub use sparse_options::SparseOptions;
pub use tagger::{Tagger, TaggerPipeline};
pub use tagger_options::TaggerOptions;
pub use token_embedder::{TokenEmbedder, TokenPipeline};
pub use token_options::TokenOptions;
pub use token_vectors::TokenVectors;
pub use tokenized::Tokenized;
pub use tokenizer::{Encoded, TextTokenizer};

pub use crate::import::hugging_face::{FolderOptions, Pooling, Prompts, Scores};
