//! The text embedder.

use std::{borrow::Borrow, fmt, path::Path, sync::Arc, time::Duration};

use crate::{
    backend::options::Device,
    bulk::{Bulk, Queue, Results},
    error::{ItemError, Result},
    import::hugging_face::{self, Purpose},
    inference::{Description, Inference, Pipeline},
    text::{
        encoder_model::EncoderModel,
        opened::{Opened, Opening},
        options::EmbedderOptions,
    },
};

/// A text embedding model: tokenizer, encoder, pooling and what stands behind it, from a Hugging Face folder.
///
/// ```no_run
/// use gristmill::{Device, text::Embedder};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let texts = ["one text", "another"];
/// let embedder = Embedder::open("all-MiniLM-L6-v2", Device::Auto)?;
/// for vector in embedder.map(texts) {
///     let vector: Vec<f32> = vector?;
/// }
/// # Ok(())
/// # }
/// ```
///
/// Cloning is cheap; clones share the weights.
#[derive(Clone)]
pub struct Embedder {
    pipeline: Arc<EmbedderPipeline>,
    /// For jobs without settings of their own; keeps its threads between jobs.
    bulk: Arc<Bulk<EmbedderPipeline>>,
    dimension: usize,
    max_tokens: usize,
}

/// The pipeline of an [`Embedder`], from texts to vectors.
pub type EmbedderPipeline = Pipeline<str, EncoderModel, Vec<f32>>;

/// A queue of texts that an [`Embedder`] turns into vectors.
pub type EmbedderQueue = Queue<String, Vec<f32>>;

impl Embedder {
    /// Opens a model folder.
    ///
    /// # Errors
    /// If a file is missing, damaged or not supported, and if the device is not available.
    pub fn open(folder: impl AsRef<Path>, device: Device) -> Result<Self> {
        Self::open_with(folder, &EmbedderOptions::on(device))
    }

    /// Opens a model folder with options.
    ///
    /// # Errors
    /// As [`open`](Self::open), and if an option does not fit the model.
    pub fn open_with(folder: impl AsRef<Path>, options: &EmbedderOptions) -> Result<Self> {
        let Parts { pipeline, dimension, max_tokens } = open(folder.as_ref(), options)?;
        let pipeline = Arc::new(pipeline);
        let bulk = Arc::new(Bulk::pipeline(pipeline.clone()));
        Ok(Self { pipeline, bulk, dimension, max_tokens })
    }

    /// The length of a vector.
    pub fn dimension(&self) -> usize {
        self.dimension
    }

    /// The number of tokens to which a text is truncated, special tokens included.
    pub fn max_tokens(&self) -> usize {
        self.max_tokens
    }

    /// Describes the model; `truncated` is the number of texts truncated so far.
    pub fn describe(&self) -> Description {
        self.pipeline.describe()
    }

    /// Computes the vectors of a slice of texts, in order.
    ///
    /// # Errors
    /// The error of the first text that failed.
    pub fn embed<T: Borrow<str>>(&self, texts: &[T]) -> Result<Vec<Vec<f32>>, ItemError> {
        let (vectors, _) = self.bulk.run(texts);
        vectors.into_iter().collect()
    }

    /// Computes the vectors of any number of texts lazily, in order, with one result per text.
    pub fn map<It>(&self, texts: It) -> Results<Vec<f32>, It::IntoIter>
    where
        It: IntoIterator<Item: Borrow<str> + Send + 'static>,
    {
        self.bulk.map(texts)
    }

    /// A [`Bulk`] of this model, for jobs with their own settings.
    pub fn bulk(&self) -> Bulk<EmbedderPipeline> {
        Bulk::pipeline(self.pipeline())
    }

    /// Opens a queue for texts that are submitted one at a time; see [`Bulk::queue`].
    ///
    /// # Errors
    /// If a thread cannot be started.
    pub fn queue(&self, longest_wait: Duration) -> Result<EmbedderQueue> {
        self.bulk.queue(longest_wait)
    }

    /// The pipeline from texts to vectors.
    pub fn pipeline(&self) -> Arc<EmbedderPipeline> {
        self.pipeline.clone()
    }
}

/// What an embedder consists of.
pub(super) struct Parts {
    pub(super) pipeline: EmbedderPipeline,
    dimension: usize,
    max_tokens: usize,
}

/// Opens a model folder.
pub(super) fn open(path: &Path, options: &EmbedderOptions) -> Result<Parts> {
    let opening = Opening {
        path,
        purpose: Purpose::Vectors,
        output: hugging_face::VECTOR,
        session: &options.session,
        max_tokens: options.max_tokens,
    };
    let (opened, ()) = opening.open(|| Ok((hugging_face::open(path, &options.folder)?, ())))?;
    let Opened { model, prepare, dimension, max_tokens } = opened;
    let pipeline = Pipeline::new(model)
        .prepare(move |text: &str| Ok(prepare.tensors(text)?))
        .item_bytes(|text: &str| text.len())
        .result_bytes(|vector: &Vec<f32>| size_of_val(vector.as_slice()) + size_of::<Vec<f32>>());
    Ok(Parts { pipeline, dimension, max_tokens })
}

impl fmt::Debug for Embedder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Embedder")
            .field("dimension", &self.dimension)
            .field("max_tokens", &self.max_tokens)
            .finish_non_exhaustive()
    }
}
