//! Images to vectors and classes: decoding, resizing, an image encoder and what stands behind it.
//!
//! docs/ENCODERS.md lists the models that open, and what is read of their settings.

mod classifier;
pub(crate) mod decode;
mod embedder;
mod image;
mod model;
mod options;
mod prepare;
pub(crate) mod resize;

use std::iter::Map;

pub use classifier::{ImageClass, ImageClassifier, ImageClassifierPipeline};
pub use embedder::{ImageEmbedder, ImageEmbedderPipeline};
pub use image::Image;
pub use model::ImageModel;
pub use options::ImageOptions;

use crate::bulk::Results;

/// The results of images that an iterator gives.
pub type ImageResults<R, It> = Results<R, Map<It, fn(<It as Iterator>::Item) -> Image>>;
