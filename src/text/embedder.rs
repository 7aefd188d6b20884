//! Texts to vectors, in two lines.

use std::{
    borrow::Borrow,
    fmt,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Instant,
};

use crate::{
    backend::{
        Session,
        options::{Device, SessionOptions},
    },
    bulk::{Bulk, Results},
    error::{Context, Error, ItemError, Result},
    graph::Graph,
    import::{
        Weights,
        hugging_face::{self, FolderOptions, Positions},
    },
    inference::{Description, Inference, Pipeline, Slots},
    tensor::{Tensor, Tensors},
    text::{Encoded, Pooling, TextTokenizer},
    threads::pool::pool,
};

/// The output of the graph that holds a text's vector.
const OUTPUT: &str = "sentence_embedding";

/// How an [`Embedder`] is opened. The folder's own settings by default.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct EmbedderOptions {
    /// Device, precision, kernel set.
    pub session: SessionOptions,
    /// The number of tokens that a text is cut to, the special ones counted.
    pub max_tokens: Option<usize>,
    /// How the folder is read, pooling and scaling among it.
    pub folder: FolderOptions,
}

impl EmbedderOptions {
    /// The folder's own settings on a device.
    pub fn on(device: Device) -> Self {
        Self { session: SessionOptions::on(device), ..Self::default() }
    }

    /// Sets device, precision and kernel set.
    #[must_use]
    pub fn session(mut self, session: SessionOptions) -> Self {
        self.session = session;
        self
    }

    /// Sets the number of tokens that a text is cut to.
    #[must_use]
    pub fn max_tokens(mut self, tokens: usize) -> Self {
        self.max_tokens = Some(tokens);
        self
    }

    /// Says where the weights stay: [`Weights::Mapped`] shares one copy between processes.
    #[must_use]
    pub fn weights(mut self, weights: Weights) -> Self {
        self.folder.import.weights = weights;
        self
    }

    /// Sets how the vectors of a text's tokens become one.
    #[must_use]
    pub fn pooling(mut self, pooling: Pooling) -> Self {
        self.folder.pooling = Some(pooling);
        self
    }

    /// Sets whether vectors are scaled to length 1.
    #[must_use]
    pub fn normalize(mut self, normalize: bool) -> Self {
        self.folder.normalize = Some(normalize);
        self
    }
}

/// A text model: tokenizer, encoder and pooling, opened from a Hugging Face folder.
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
    /// For jobs with no settings of their own: one that lives on keeps its threads.
    bulk: Arc<Bulk<EmbedderPipeline>>,
    dimension: usize,
    max_tokens: usize,
}

/// What an [`Embedder`] runs: texts in, vectors out.
pub type EmbedderPipeline = Pipeline<str, EncoderModel, Vec<f32>>;

impl Embedder {
    /// Opens a folder.
    ///
    /// # Errors
    /// As [`hugging_face::open`], when `tokenizer.json` is missing or broken, and when the device is not to be had.
    pub fn open(folder: impl AsRef<Path>, device: Device) -> Result<Self> {
        Self::open_with(folder, &EmbedderOptions::on(device))
    }

    /// Opens a folder with settings of your own.
    ///
    /// # Errors
    /// As [`open`](Self::open), and when an option does not fit the model.
    pub fn open_with(folder: impl AsRef<Path>, options: &EmbedderOptions) -> Result<Self> {
        let (started, path) = (Instant::now(), folder.as_ref());
        let in_folder = || format!("model folder `{}`", path.display());
        // The tokenizer is read beside the weights: either takes about as long.
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
        let (loaded, tokenizer) = pool(None)?.install(|| rayon::join(load, parse));
        let (folder, max_tokens, session) = loaded?;
        let in_file = || format!("model folder `{}`: `tokenizer.json`", path.display());
        let tokenizer = TextTokenizer::new(tokenizer.context(in_folder)?, max_tokens).context(in_file)?;
        let tokenizer = tokenizer.lowercase(folder.lowercase);
        let origin = folder.origin;
        let session = session.with_origin(started, folder.notes, move || origin.fingerprint());
        let (pooling, normalize) = folder.pooling;
        let options = format!(
            "{max_tokens} tokens, {pooling:?}, normalized {normalize}, lower case {}, tokenizer {}",
            folder.lowercase,
            tokenizer.fingerprint()
        );
        let truncated = Arc::new(AtomicU64::new(0));
        let prepare = Prepare {
            tokenizer,
            positions: folder.positions,
            vocabulary: folder.vocabulary,
            token_types: folder.token_types,
            names: ["input_ids", "token_type_ids", "position_ids"].map(Arc::from),
            truncated: truncated.clone(),
        };
        let pipeline = Pipeline::new(EncoderModel { session, truncated, options })
            .prepare(move |text: &str| prepare.tensors(text))
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

    /// The number of tokens that a text is cut to, the special ones counted.
    pub fn max_tokens(&self) -> usize {
        self.max_tokens
    }

    /// What reports say about the model; `truncated` counts the texts that were cut so far.
    pub fn describe(&self) -> Description {
        self.pipeline.describe()
    }

    /// The vectors of a few texts, in order, all or the first error.
    ///
    /// # Errors
    /// The first text that failed.
    pub fn embed<T: Borrow<str>>(&self, texts: &[T]) -> Result<Vec<Vec<f32>>, ItemError> {
        let (vectors, _) = self.bulk.run(texts);
        vectors.into_iter().collect()
    }

    /// The vectors of any number of texts: lazy, in order, each a result of its own.
    pub fn map<It>(&self, texts: It) -> Results<Vec<f32>, It::IntoIter>
    where
        It: IntoIterator<Item: Borrow<str> + Send + 'static>,
    {
        self.bulk.map(texts)
    }

    /// A bulk job of this model, to set workers, chunks, progress and the like.
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

/// Makes the encoder's inputs of a text.
struct Prepare {
    tokenizer: TextTokenizer,
    positions: Positions,
    vocabulary: usize,
    token_types: Option<usize>,
    names: [Arc<str>; 3],
    truncated: Arc<AtomicU64>,
}

impl Prepare {
    fn tensors(&self, text: &str) -> Result<Tensors> {
        let Encoded { ids, type_ids, truncated } = self.tokenizer.encode(text)?;
        if ids.is_empty() {
            return Err(Error::invalid_input("the text has no tokens"));
        }
        let numbers = |numbers: &[u32], count: usize, what: &str| {
            if let Some(number) = numbers.iter().find(|number| **number as usize >= count) {
                let message = format!("the tokenizer gives {what} {number}, the model has {count}");
                return Err(Error::invalid_model(message));
            }
            let numbers: Vec<i32> = numbers.iter().map(|&number| number as i32).collect();
            Tensor::new([numbers.len()], &numbers)
        };
        let [id, token_type, position] = &self.names;
        let mut tensors = Tensors::new().with(id.clone(), numbers(&ids, self.vocabulary, "the token")?);
        if let Some(count) = self.token_types {
            tensors.insert(token_type.clone(), numbers(&type_ids, count, "the token type")?);
        }
        let positions: Vec<i32> = self.positions.of(ids).collect();
        tensors.insert(position.clone(), Tensor::new([positions.len()], &positions)?);
        self.truncated.fetch_add(u64::from(truncated), Relaxed);
        Ok(tensors)
    }
}

/// The encoder with pooling: one text's `input_ids`, `token_type_ids` and `position_ids` in, its vector out.
#[derive(Debug)]
pub struct EncoderModel {
    session: Session,
    truncated: Arc<AtomicU64>,
    /// The choices that decide a vector besides the session's.
    options: String,
}

impl EncoderModel {
    /// The session inside.
    pub fn session(&self) -> &Session {
        &self.session
    }
}

impl Inference for EncoderModel {
    type Input = Tensors;
    type Output = Vec<f32>;

    fn infer(&self, chunk: &[&Tensors], out: &mut Slots<'_, Vec<f32>>) -> Result<()> {
        let mut outputs = Vec::new();
        outputs.resize_with(chunk.len(), || None);
        self.session.infer(chunk, &mut Slots::new(&mut outputs))?;
        for (index, output) in outputs.into_iter().enumerate() {
            let output = output.unwrap_or_else(|| Err(Error::internal("the session gave a text no vector")));
            match output.and_then(|tensors| vector(&tensors)) {
                Ok(vector) => out.set(index, vector),
                Err(error) => out.fail(index, error),
            }
        }
        Ok(())
    }

    fn cost(&self, input: &Tensors) -> u64 {
        self.session.cost(input)
    }

    fn preferred_chunk_cost(&self) -> Option<u64> {
        self.session.preferred_chunk_cost()
    }

    fn first_chunk_items(&self) -> usize {
        self.session.first_chunk_items()
    }

    fn scratch_bytes(&self) -> usize {
        self.session.scratch_bytes()
    }

    fn input_bytes(&self, input: &Tensors) -> usize {
        self.session.input_bytes(input)
    }

    fn output_bytes(&self, output: &Vec<f32>) -> usize {
        size_of_val(output.as_slice())
    }

    fn in_flight(&self) -> usize {
        self.session.in_flight()
    }

    fn describe(&self) -> Description {
        let session = self.session.describe();
        let options = format!("{}, {}", session.options, self.options);
        Description { truncated: self.truncated.load(Relaxed), options, ..session }
    }
}

fn vector(outputs: &Tensors) -> Result<Vec<f32>> {
    let vector = outputs.get(OUTPUT).ok_or_else(|| Error::internal(format!("the session gave no `{OUTPUT}`")))?;
    Ok(vector.as_slice::<f32>()?.to_vec())
}
