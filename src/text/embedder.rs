//! The text embedder.

use std::{
    borrow::Borrow,
    fmt,
    path::Path,
    sync::{Arc, atomic::AtomicU64},
    time::Instant,
};

use crate::{
    backend::{Session, options::Device},
    bulk::{Bulk, Results},
    error::{Context, Error, ItemError, Result},
    graph::Graph,
    import::{hugging_face, origin::fingerprint_of},
    inference::{Description, Inference, Pipeline},
    text::{
        encoder_model::{EncoderModel, OUTPUT},
        options::EmbedderOptions,
        prepare::Prepare,
        tokenizer::TextTokenizer,
    },
    threads::pool::pool,
};

/// A text embedding model: tokenizer, encoder and pooling from a Hugging Face folder.
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
        let (started, path) = (Instant::now(), folder.as_ref());
        let in_folder = || format!("model folder `{}`", path.display());
        // Both take about as long, so they run in parallel.
        let load = || {
            let mut folder = hugging_face::open(path, &options.folder)?;
            let max_tokens = options.max_tokens.unwrap_or(folder.max_tokens);
            if max_tokens > folder.positions.count {
                let count = folder.positions.count;
                return Err(Error::invalid_input(format!("{max_tokens} tokens; the model has {count} positions"))
                    .context(in_folder()));
            }
            let graph = std::mem::replace(&mut folder.graph, Graph::new(""));
            let session = Session::load(graph, &options.session.clone().outputs([OUTPUT]))?;
            Ok((folder, max_tokens, session))
        };
        let parse = || TextTokenizer::parse(&hugging_face::tokenizer_folder(path)?.join("tokenizer.json"));
        let (loaded, tokenizer) = pool(None)?.run_once(|| rayon::join(load, parse));
        let (folder, max_tokens, session) = loaded?;
        let in_file = || format!("model folder `{}`: `tokenizer.json`", path.display());
        let tokenizer = TextTokenizer::new(tokenizer.context(in_folder)?, max_tokens).context(in_file)?;
        let tokenizer = tokenizer.lowercase(folder.lowercase);
        let files = folder.files;
        let session = session.with_origin(started, folder.notes, move || fingerprint_of(&files));
        let (pooling, normalize) = folder.pooling;
        let pooling = pooling.iter().map(|mode| format!("{mode:?}")).collect::<Vec<_>>().join(" and ");
        let options = format!(
            "{max_tokens} tokens, {pooling}{}, normalized {normalize}, lower case {}, prompt {:?}, tokenizer {}",
            folder.further,
            folder.lowercase,
            folder.prompt,
            tokenizer.fingerprint()
        );
        let truncated = Arc::new(AtomicU64::new(0));
        let prepare = Prepare {
            tokenizer,
            positions: folder.position_ids.then_some(folder.positions),
            prompt: folder.prompt,
            vocabulary: folder.vocabulary,
            token_types: folder.token_types,
            names: ["input_ids", "token_type_ids", "position_ids"].map(Arc::from),
            truncated: truncated.clone(),
        };
        let pipeline = Pipeline::new(EncoderModel { session, truncated, options })
            .prepare(move |text: &str| Ok(prepare.tensors(text)?))
            .item_bytes(|text: &str| text.len())
            .result_bytes(|vector: &Vec<f32>| size_of_val(vector.as_slice()) + size_of::<Vec<f32>>());
        let pipeline = Arc::new(pipeline);
        let bulk = Arc::new(Bulk::pipeline(pipeline.clone()));
        Ok(Self { pipeline, bulk, dimension: folder.dimension, max_tokens })
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

    /// The pipeline from texts to vectors.
    pub fn pipeline(&self) -> Arc<EmbedderPipeline> {
        self.pipeline.clone()
    }
}

impl fmt::Debug for Embedder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Embedder")
            .field("dimension", &self.dimension)
            .field("max_tokens", &self.max_tokens)
            .finish_non_exhaustive()
    }
}
