//! The image classifier.

use std::{fmt, path::Path, sync::Arc};

use crate::{
    backend::options::Device,
    bulk::{Bulk, Jobs},
    error::{Error, ItemError, Result},
    import::hugging_face::{self, FolderOptions},
    inference::{Description, Pipeline},
    vision::{Image, ImageModel, ImageOptions, ImageResults},
};

/// An image classifier: an encoder and a classification head from a Hugging Face folder.
///
/// ```no_run
/// use gristmill::{Device, vision::ImageClassifier};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let classifier = ImageClassifier::open("vit-base-patch16-224", Device::Auto)?;
/// for class in classifier.map(["one.jpg", "another.png"]) {
///     let class = class?;
///     println!("{} {}", class.label, class.score);
/// }
/// # Ok(())
/// # }
/// ```
///
/// Cloning is cheap; clones share the weights.
#[derive(Clone)]
pub struct ImageClassifier {
    jobs: Jobs<Image, ImageModel, ImageClass>,
    labels: Arc<[Arc<str>]>,
}

/// The pipeline of an [`ImageClassifier`], from images to classes.
pub type ImageClassifierPipeline = Pipeline<Image, ImageModel, ImageClass>;

/// The class of an image.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ImageClass {
    /// The class with the highest score, the first of those.
    pub label: Arc<str>,
    /// Its score.
    pub score: f32,
    /// The scores of all classes, in the order of [`ImageClassifier::labels`].
    pub scores: Vec<f32>,
}

impl ImageClassifier {
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
        if options.normalize.is_some() {
            return Err(Error::invalid_input("normalize for a classifier, whose scores are no vector"));
        }
        let path = folder.as_ref();
        let of_folder = FolderOptions { import: options.import.clone(), ..Default::default() };
        let (model, prepare, _, classes) =
            ImageModel::open(path, hugging_face::CLASSES, &options.session, options.max_pixels, || {
                hugging_face::open_image_classes(path, &of_folder)
            })?;
        let labels: Arc<[Arc<str>]> = classes.labels.into_iter().map(Arc::from).collect();
        let (names, scores) = (labels.clone(), classes.scores);
        let pipeline = Pipeline::new(model)
            .prepare(move |image: &Image| Ok(prepare.tensors(image)?))
            .item_bytes(Image::held_bytes)
            .finish(move |_, mut numbers: Vec<f32>| {
                scores.apply(&mut numbers);
                Ok(ImageClass::of(&names, numbers)?)
            })
            .result_bytes(|class: &ImageClass| size_of_val(class.scores.as_slice()) + size_of::<ImageClass>());
        Ok(Self { jobs: Jobs::new(pipeline), labels })
    }

    /// The names of the classes.
    pub fn labels(&self) -> &[Arc<str>] {
        &self.labels
    }

    /// Describes the model.
    pub fn describe(&self) -> Description {
        self.jobs.describe()
    }

    /// Finds the classes of a slice of images, in order.
    ///
    /// # Errors
    /// The error of the first image that failed.
    pub fn classify(&self, images: &[Image]) -> Result<Vec<ImageClass>, ItemError> {
        self.jobs.run(images)
    }

    /// Finds the classes of any number of images lazily, in order, with one result per image.
    ///
    /// An item is an [`Image`], or the path of one.
    pub fn map<It>(&self, images: It) -> ImageResults<ImageClass, It::IntoIter>
    where
        It: IntoIterator<Item: Into<Image>>,
    {
        self.jobs.map(images.into_iter().map(Into::into as fn(It::Item) -> Image))
    }

    /// A [`Bulk`] of this model, for jobs with their own settings.
    pub fn bulk(&self) -> Bulk<ImageClassifierPipeline> {
        self.jobs.bulk()
    }

    /// The pipeline from images to classes.
    pub fn pipeline(&self) -> Arc<ImageClassifierPipeline> {
        self.jobs.pipeline()
    }
}

impl ImageClass {
    /// The class with the highest of `scores`.
    fn of(labels: &[Arc<str>], scores: Vec<f32>) -> Result<Self> {
        let (label, score) = hugging_face::best_class(labels, &scores)?;
        Ok(Self { label, score, scores })
    }
}

impl fmt::Debug for ImageClassifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ImageClassifier").field("labels", &self.labels).finish_non_exhaustive()
    }
}
