//! The image embedder.

use std::{fmt, path::Path, sync::Arc};

use crate::{
    backend::options::Device,
    bulk::{Bulk, Jobs},
    error::{ItemError, Result},
    import::hugging_face::{self, FolderOptions},
    inference::{Description, Pipeline},
    vision::{Image, ImageModel, ImageOptions, ImageResults},
};

/// An image embedding model: an encoder and what stands behind it, from a Hugging Face folder.
///
/// ```no_run
/// use gristmill::{Device, vision::ImageEmbedder};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let embedder = ImageEmbedder::open("clip-vit-base-patch32", Device::Auto)?;
/// for vector in embedder.map(["one.jpg", "another.png"]) {
///     let vector: Vec<f32> = vector?;
/// }
/// # Ok(())
/// # }
/// ```
///
/// [`text::Embedder`](crate::text::Embedder) opens the encoder of texts of the same folder, whose vectors can be
/// compared with these. Cloning is cheap; clones share the weights.
#[derive(Clone)]
pub struct ImageEmbedder {
    jobs: Jobs<Image, ImageModel, Vec<f32>>,
    dimension: usize,
}

/// The pipeline of an [`ImageEmbedder`], from images to vectors.
pub type ImageEmbedderPipeline = Pipeline<Image, ImageModel, Vec<f32>>;

impl ImageEmbedder {
    /// Opens a model folder.
    ///
    /// # Errors
    /// If a file is missing, damaged or not supported, and if the device is not available.
    pub fn open(folder: impl AsRef<Path>, device: Device) -> Result<Self> {
        Self::open_with(folder, &ImageOptions::on(device))
    }

    /// Opens a model folder with options.
    ///
    /// # Errors
    /// As [`open`](Self::open), and if an option does not fit the model.
    pub fn open_with(folder: impl AsRef<Path>, options: &ImageOptions) -> Result<Self> {
        let path = folder.as_ref();
        let of_folder =
            FolderOptions { normalize: options.normalize, import: options.import.clone(), ..Default::default() };
        let (model, prepare, dimension, ()) =
            ImageModel::open(path, hugging_face::VECTOR, &options.session, options.max_pixels, || {
                Ok((hugging_face::open_images(path, &of_folder)?, ()))
            })?;
        let pipeline = Pipeline::new(model)
            .prepare(move |image: &Image| Ok(prepare.tensors(image)?))
            .item_bytes(Image::held_bytes);
        Ok(Self { jobs: Jobs::new(pipeline), dimension })
    }

    /// The length of a vector.
    pub fn dimension(&self) -> usize {
        self.dimension
    }

    /// Describes the model.
    pub fn describe(&self) -> Description {
        self.jobs.describe()
    }

    /// Computes the vectors of a slice of images, in order.
    ///
    /// # Errors
    /// The error of the first image that failed.
    pub fn embed(&self, images: &[Image]) -> Result<Vec<Vec<f32>>, ItemError> {
        self.jobs.run(images)
    }

    /// Computes the vectors of any number of images lazily, in order, with one result per image.
    ///
    /// An item is an [`Image`], or the path of one.
    pub fn map<It>(&self, images: It) -> ImageResults<Vec<f32>, It::IntoIter>
    where
        It: IntoIterator<Item: Into<Image>>,
    {
        self.jobs.map(images.into_iter().map(Into::into as fn(It::Item) -> Image))
    }

    /// A [`Bulk`] of this model, for jobs with their own settings.
    pub fn bulk(&self) -> Bulk<ImageEmbedderPipeline> {
        self.jobs.bulk()
    }

    /// The pipeline from images to vectors.
    pub fn pipeline(&self) -> Arc<ImageEmbedderPipeline> {
        self.jobs.pipeline()
    }
}

impl fmt::Debug for ImageEmbedder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ImageEmbedder").field("dimension", &self.dimension).finish_non_exhaustive()
    }
}
