//! The text embedder.

use std::{borrow::Borrow, fmt, path::Path, sync::Arc, time::Duration};

use crate::{
    backend::options::Device,
    bulk::{Bulk, Queue, Results},
    error::{Error, ItemError, Result},
    import::hugging_face::{self, FolderAdapters, FolderOptions, Prompts, Purpose},
    inference::{Description, Pipeline},
    text::{
        embedded::{Embedded, pooled},
        encoder_model::EncoderModel,
        jobs::Jobs,
        opened::{Opened, Opening},
        options::EmbedderOptions,
        prompt::Prompt,
        tokenizer::Unit,
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
    opened: Arc<Opened>,
    parts: Parts,
    jobs: Jobs<str, Vec<f32>>,
}

/// The pipeline of an [`Embedder`], from texts to vectors.
pub type EmbedderPipeline = Pipeline<str, EncoderModel, Vec<f32>>;

/// A queue of texts that an [`Embedder`] turns into vectors.
pub type EmbedderQueue = Queue<String, Vec<f32>>;

/// The pipeline of an [`Embedder`], from texts to vectors with what became of the texts.
pub type EmbeddedPipeline = Pipeline<str, EncoderModel, Embedded>;

/// What the encoder is given of a text.
#[derive(Clone, Debug)]
struct Parts {
    /// What stands before a text, or before each window of it.
    prompt: Arc<str>,
    overlap: Option<usize>,
}

impl Parts {
    fn of(opened: &Opened, overlap: Option<usize>, prompt: &Prompt) -> Result<Self> {
        let text = prompt.of(&opened.prompts)?;
        if let Some(FolderAdapters { tasks, chosen }) = &opened.adapters {
            let wanted = prompt.name(&opened.prompts).filter(|name| tasks.iter().any(|task| task == name));
            if wanted != chosen.as_deref() {
                return Err(Error::unsupported(format!(
                    "the prompt {prompt:?}: the model has adapters for the tasks {}, and was opened {}; open the folder \
                     for each task, with EmbedderOptions::prompt or FolderOptions::task",
                    tasks.join(", "),
                    chosen.as_ref().map_or_else(|| "without one".to_owned(), |task| format!("for {task:?}")),
                )));
            }
        }
        Ok(Self { prompt: text.into(), overlap })
    }

    /// From texts to vectors.
    fn vectors(&self, opened: &Opened) -> EmbedderPipeline {
        let normalized = opened.is_normalized;
        let pipeline = self.before(opened).finish(move |text, vectors| Ok(pooled(text, vectors, normalized)?));
        pipeline.result_bytes(|vector: &Vec<f32>| size_of_val(vector.as_slice()) + size_of::<Vec<f32>>())
    }

    /// The model and the step before it.
    fn before(&self, opened: &Opened) -> Pipeline<str, EncoderModel, Vec<Vec<f32>>> {
        let Self { prompt, overlap } = self.clone();
        let model = opened.model.with_options(&format!("prompt {prompt:?}, overlap {overlap:?}"));
        let (prepare, truncated) = (opened.prepare.clone(), model.truncated.clone());
        Pipeline::new(model)
            .prepare(move |text: &str| {
                Ok(truncated.count(match overlap {
                    Some(overlap) => prepare.parts(&prompt, text, overlap)?,
                    None => prepare.tokenized(&prompt, text)?,
                }))
            })
            .item_bytes(|text: &str| text.len())
    }
}

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
        Self::with(Arc::new(opened(folder.as_ref(), options)?), options.overlap, &options.prompt)
    }

    fn with(opened: Arc<Opened>, overlap: Option<usize>, prompt: &Prompt) -> Result<Self> {
        let parts = Parts::of(&opened, overlap, prompt)?;
        let jobs = Jobs::new(parts.vectors(&opened));
        Ok(Self { opened, parts, jobs })
    }

    /// The same model with another prompt, which shares the weights.
    ///
    /// # Errors
    /// If the folder has no prompt of that name, a pooling that leaves prompts out, or another adapter of the weights
    /// for that prompt.
    pub fn with_prompt(&self, prompt: &Prompt) -> Result<Self> {
        Self::with(self.opened.clone(), self.parts.overlap, prompt)
    }

    /// The same model for queries: with the prompt `query`, or none if the folder has no such prompt.
    ///
    /// # Errors
    /// If the folder has a pooling that leaves prompts out, or adapters of the weights for tasks.
    pub fn queries(&self) -> Result<Self> {
        self.with_prompt(&Prompt::for_task("query", &self.opened.prompts))
    }

    /// The same model for documents: with the prompt `document`, or none if the folder has no such prompt.
    ///
    /// # Errors
    /// As [`queries`](Self::queries).
    pub fn documents(&self) -> Result<Self> {
        self.with_prompt(&Prompt::for_task("document", &self.opened.prompts))
    }

    /// The prompts of the folder.
    pub fn prompts(&self) -> &Prompts {
        &self.opened.prompts
    }

    /// The length of a vector.
    pub fn dimension(&self) -> usize {
        self.opened.dimension
    }

    /// The number of tokens to which a text is truncated, special tokens included.
    pub fn max_tokens(&self) -> usize {
        self.opened.max_tokens
    }

    /// Describes the model; `truncated` is the number of texts truncated so far.
    pub fn describe(&self) -> Description {
        self.jobs.describe()
    }

    /// Computes the vectors of a slice of texts, in order.
    ///
    /// # Errors
    /// The error of the first text that failed.
    pub fn embed<T: Borrow<str>>(&self, texts: &[T]) -> Result<Vec<Vec<f32>>, ItemError> {
        self.jobs.run(texts)
    }

    /// Computes the vectors of any number of texts lazily, in order, with one result per text.
    pub fn map<It>(&self, texts: It) -> Results<Vec<f32>, It::IntoIter>
    where
        It: IntoIterator<Item: Borrow<str> + Send + 'static>,
    {
        self.jobs.map(texts)
    }

    /// A [`Bulk`] of this model, for jobs with their own settings.
    pub fn bulk(&self) -> Bulk<EmbedderPipeline> {
        self.jobs.bulk()
    }

    /// Opens a queue for texts that are submitted one at a time; see [`Bulk::queue`].
    ///
    /// # Errors
    /// If a thread cannot be started.
    pub fn queue(&self, longest_wait: Duration) -> Result<EmbedderQueue> {
        self.jobs.queue(longest_wait)
    }

    /// A [`Bulk`] whose results say what became of each text: its tokens, whether it was truncated, its windows.
    pub fn detailed(&self) -> Bulk<EmbeddedPipeline> {
        let (normalized, in_windows) = (self.opened.is_normalized, self.parts.overlap.is_some());
        let pipeline = self.parts.before(&self.opened);
        let pipeline = pipeline.finish(move |text, vectors| Ok(Embedded::of(text, vectors, normalized, in_windows)?));
        Bulk::pipeline(pipeline.result_bytes(Embedded::bytes))
    }

    /// The pipeline from texts to vectors.
    pub fn pipeline(&self) -> Arc<EmbedderPipeline> {
        self.jobs.pipeline()
    }
}

/// Opens the model in a folder.
fn opened(path: &Path, options: &EmbedderOptions) -> Result<Opened> {
    let opening = Opening {
        path,
        purpose: Purpose::Vectors,
        outputs: &[hugging_face::VECTOR],
        session: &options.session,
        max_tokens: options.max_tokens,
        unit: if options.overlap.is_some() { Unit::Windows } else { Unit::Text },
    };
    let of_prompt = match &options.prompt {
        Prompt::Default => None,
        Prompt::Named(name) => Some(name.clone()),
        Prompt::Text(_) => Some(String::new()),
    };
    let chosen = &options.folder.task;
    let folder =
        FolderOptions { task: chosen.clone().or(of_prompt), max_tokens: options.max_tokens, ..options.folder.clone() };
    let (mut opened, ()) = opening.open(|| Ok((hugging_face::open(path, &folder)?, ())))?;
    if let Some(overlap) = options.overlap {
        opened.prepare.tokenizer.check_overlap(overlap)?;
    }
    if let Some(task) = chosen {
        // From here on every prompt goes with the weights.
        let tasks = match opened.adapters.take() {
            Some(FolderAdapters { chosen: Some(own), .. }) if own == *task => return Ok(opened),
            Some(adapters) => adapters.tasks.join(", "),
            None => "none".to_owned(),
        };
        let message = format!("no adapter of the weights for the task {task:?}; the folder has {tasks}");
        return Err(Error::invalid_input(message));
    }
    Ok(opened)
}

/// The pipeline of the model in a folder.
pub(super) fn pipeline(path: &Path, options: &EmbedderOptions) -> Result<EmbedderPipeline> {
    let opened = opened(path, options)?;
    Ok(Parts::of(&opened, options.overlap, &options.prompt)?.vectors(&opened))
}

impl fmt::Debug for Embedder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Embedder")
            .field("dimension", &self.dimension())
            .field("max_tokens", &self.max_tokens())
            .finish_non_exhaustive()
    }
}
