//! Options of a model of images.

use crate::{
    backend::options::SessionOptions,
    import::{ImportOptions, shared_options},
};

/// The most pixels of an image by default, beyond which PIL warns of a decompression bomb.
const MAX_PIXELS: u64 = 89_478_485;

/// Options of an [`ImageEmbedder`](crate::vision::ImageEmbedder) or an
/// [`ImageClassifier`](crate::vision::ImageClassifier); by default the settings of its folder.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ImageOptions {
    /// Device, precision, kernel set.
    pub session: SessionOptions,
    /// Whether vectors are normalized to length 1; by default only where the folder says so.
    pub normalize: Option<bool>,
    /// The most pixels of an image before it is resized; by default 89,478,485. A worker holds some bytes for each.
    pub max_pixels: u64,
    /// Limits on what the files of the model may require.
    pub import: ImportOptions,
}

impl Default for ImageOptions {
    fn default() -> Self {
        let (session, import) = (SessionOptions::default(), ImportOptions::default());
        Self { session, normalize: None, max_pixels: MAX_PIXELS, import }
    }
}

impl ImageOptions {
    shared_options!(import);

    /// Sets whether vectors are normalized to length 1.
    #[must_use]
    pub fn normalize(mut self, normalize: bool) -> Self {
        self.normalize = Some(normalize);
        self
    }

    /// Sets the most pixels of an image.
    #[must_use]
    pub fn max_pixels(mut self, pixels: u64) -> Self {
        self.max_pixels = pixels;
        self
    }
}
