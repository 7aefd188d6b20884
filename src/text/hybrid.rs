//! The hybrid embedder.

use std::{borrow::Borrow, collections::BTreeMap, fmt, path::Path, sync::Arc};

use crate::{
    backend::options::Device,
    bulk::{Bulk, Results},
    error::{Error, ItemError, Result},
    import::hugging_face::{self, FolderOptions, Purpose, TOKEN_VECTORS, TOKEN_WEIGHTS, VECTOR},
    inference::{Description, Pipeline},
    text::{
        encoder_model::EncoderModel,
        hybrid_options::HybridOptions,
        jobs::Jobs,
        opened::{Opened, Opening},
        prompt::Prompt,
        sparse::SparseVector,
        token_vectors::TokenVectors,
        tokenized::{Run, Tokenized},
        tokenizer::Unit,
    },
};

/// An embedding model with several heads (BGE-M3): of each text a vector, the weights of its words, and a vector of each
/// of its tokens, from one pass of the encoder.
///
/// ```no_run
/// use gristmill::{Device, text::HybridEmbedder};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let texts = ["one text", "another"];
/// let embedder = HybridEmbedder::open("bge-m3", Device::Auto)?;
/// for found in embedder.map(texts) {
///     let found = found?;
///     println!("{:?} {:?} {:?}", found.vector, found.words, found.token_vectors);
/// }
/// # Ok(())
/// # }
/// ```
///
/// Cloning is cheap; clones share the weights.
#[derive(Clone)]
pub struct HybridEmbedder {
    opened: Arc<Opened>,
    heads: Heads,
    jobs: Jobs<str, Hybrid>,
}

/// The heads of a model that are used.
#[derive(Clone, Copy)]
struct Heads {
    vector: bool,
    words: bool,
    /// The length of a token's vector.
    token_vectors: Option<usize>,
}

/// The pipeline of a [`HybridEmbedder`], from texts to what its heads find.
pub type HybridPipeline = Pipeline<str, EncoderModel, Hybrid>;

/// What the heads of a [`HybridEmbedder`] find of a text; `None` for heads that are not used.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Hybrid {
    /// The text's vector.
    pub vector: Option<Vec<f32>>,
    /// The weights of the text's words: of a token that comes more than once the largest, and none of special tokens.
    pub words: Option<SparseVector>,
    /// The vectors of all tokens but the first, each of length 1.
    pub token_vectors: Option<TokenVectors>,
    /// The number of tokens that the encoder saw, special ones included.
    pub tokens: usize,
    /// Whether tokens of the text were removed.
    pub truncated: bool,
}

impl HybridEmbedder {
    /// Opens a model folder.
    ///
    /// # Errors
    /// If a file is missing, damaged or not supported, and if the device is not available.
    pub fn open(folder: impl AsRef<Path>, device: Device) -> Result<Self> {
        Self::open_with(folder, &HybridOptions::on(device))
    }

    /// Opens a model folder with options.
    ///
    /// # Errors
    /// As [`open`](Self::open), and if an option does not fit the model.
    pub fn open_with(folder: impl AsRef<Path>, options: &HybridOptions) -> Result<Self> {
        let path = folder.as_ref();
        let all = [(options.vector, VECTOR), (options.words, TOKEN_WEIGHTS), (options.token_vectors, TOKEN_VECTORS)];
        let outputs: Vec<&str> = all.into_iter().filter_map(|(wanted, output)| wanted.then_some(output)).collect();
        if outputs.is_empty() {
            return Err(Error::invalid_input("a hybrid embedder without a head"));
        }
        let folder_options = FolderOptions::of(&options.import, options.max_tokens);
        let opening = Opening {
            path,
            purpose: Purpose::Vectors,
            outputs: &outputs,
            session: &options.session,
            max_tokens: options.max_tokens,
            unit: Unit::Text,
        };
        let (opened, width) = opening.open(|| hugging_face::open_hybrid(path, &folder_options, &outputs))?;
        let token_vectors = options.token_vectors.then_some(width);
        let heads = Heads { vector: options.vector, words: options.words, token_vectors };
        Self::with(Arc::new(opened), heads, &options.prompt)
    }

    fn with(opened: Arc<Opened>, heads: Heads, prompt: &Prompt) -> Result<Self> {
        let prompt = prompt.of(&opened.prompts)?;
        let model = opened.model.with_options(&format!("prompt {prompt:?}"));
        let (prepare, truncated, max_tokens) = (opened.prepare.clone(), model.truncated.clone(), opened.max_tokens);
        let own = opened.clone();
        let pipeline = Pipeline::new(model)
            .prepare(move |text: &str| {
                let text = format!("{prompt}{text}");
                Ok(truncated.count(prepare.expanded(&text, max_tokens, None, false)?))
            })
            .item_bytes(|text: &str| text.len())
            .finish(move |text, numbers| Ok(heads.read(&own, text, numbers)?))
            .result_bytes(Hybrid::bytes);
        Ok(Self { opened, heads, jobs: Jobs::new(pipeline) })
    }

    /// The same model with another prompt, which shares the weights.
    ///
    /// # Errors
    /// If the folder has no prompt of that name, or a pooling that leaves prompts out.
    pub fn with_prompt(&self, prompt: &Prompt) -> Result<Self> {
        Self::with(self.opened.clone(), self.heads, prompt)
    }

    /// The same model for queries: with the prompt `query`, or none if the folder has no such prompt.
    ///
    /// # Errors
    /// If the folder has a pooling that leaves prompts out.
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

    /// The word of the vocabulary with this token id; empty if the tokenizer has none.
    pub fn word(&self, id: u32) -> String {
        self.opened.prepare.tokenizer.token(id)
    }

    /// The length of a text's vector, if texts have one.
    pub fn dimension(&self) -> Option<usize> {
        self.heads.vector.then_some(self.opened.dimension)
    }

    /// The length of a token's vector, if tokens have one.
    pub fn token_dimension(&self) -> Option<usize> {
        self.heads.token_vectors
    }

    /// The number of tokens to which a text is truncated, special tokens included.
    pub fn max_tokens(&self) -> usize {
        self.opened.max_tokens
    }

    /// Describes the model; `truncated` is the number of texts truncated so far.
    pub fn describe(&self) -> Description {
        self.jobs.describe()
    }

    /// Computes what the heads find of a slice of texts, in order.
    ///
    /// # Errors
    /// The error of the first text that failed.
    pub fn embed<T: Borrow<str>>(&self, texts: &[T]) -> Result<Vec<Hybrid>, ItemError> {
        self.jobs.run(texts)
    }

    /// Computes what the heads find of any number of texts lazily, in order, with one result per text.
    pub fn map<It>(&self, texts: It) -> Results<Hybrid, It::IntoIter>
    where
        It: IntoIterator<Item: Borrow<str> + Send + 'static>,
    {
        self.jobs.map(texts)
    }

    /// A [`Bulk`] of this model, for jobs with their own settings.
    pub fn bulk(&self) -> Bulk<HybridPipeline> {
        self.jobs.bulk()
    }

    /// The pipeline from texts to what the heads find.
    pub fn pipeline(&self) -> Arc<HybridPipeline> {
        self.jobs.pipeline()
    }
}

impl Heads {
    /// What the heads found of a text, from their numbers in turn.
    fn read(self, opened: &Opened, text: &Tokenized, numbers: Vec<Vec<f32>>) -> Result<Hybrid> {
        let [run] = &text.runs[..] else { return Err(Error::internal("a text without its one window")) };
        let facts = text.facts;
        let mut numbers = numbers.into_iter();
        let mut next = || numbers.next().ok_or_else(|| Error::internal("a head without numbers"));
        let vector = self.vector.then(&mut next).transpose()?;
        let words = self.words.then(&mut next).transpose()?;
        let words = words.map(|numbers| weights_of(opened, run, &numbers)).transpose()?;
        let mut token_vectors = None;
        if let Some(width) = self.token_vectors {
            let mut numbers = next()?;
            if numbers.len() != run.tokens * width {
                return Err(Error::internal("other vectors than tokens"));
            }
            // The first stands for the whole text, which has a vector of its own.
            numbers.drain(..width);
            token_vectors = Some(TokenVectors::new(numbers, width, run.ids[1..].to_vec(), facts));
        }
        let words = words.map(|weights| SparseVector { weights, tokens: facts.tokens, truncated: facts.truncated });
        Ok(Hybrid { vector, words, token_vectors, tokens: facts.tokens, truncated: facts.truncated })
    }
}

/// The largest weight of each token of a text that stands for a word.
fn weights_of(opened: &Opened, run: &Run, numbers: &[f32]) -> Result<Vec<(u32, f32)>> {
    if numbers.len() != run.ids.len() {
        return Err(Error::internal("other weights than tokens"));
    }
    let mut largest: BTreeMap<u32, f32> = BTreeMap::new();
    for (&id, &weight) in run.ids.iter().zip(numbers) {
        if weight.is_nan() {
            return Err(Error::invalid_model("the model gives a weight that is no number"));
        }
        if weight > 0.0 && !opened.prepare.tokenizer.is_wordless(id) {
            let own = largest.entry(id).or_default();
            *own = own.max(weight);
        }
    }
    Ok(largest.into_iter().collect())
}

impl Hybrid {
    fn bytes(&self) -> usize {
        let vector = self.vector.as_ref().map_or(0, |vector| size_of_val(vector.as_slice()));
        let words = self.words.as_ref().map_or(0, |words| size_of_val(words.weights.as_slice()));
        let tokens = self.token_vectors.as_ref().map_or(0, |vectors| size_of_val(vectors.numbers()));
        vector + words + tokens + size_of::<Self>()
    }
}

impl fmt::Debug for HybridEmbedder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HybridEmbedder").field("max_tokens", &self.max_tokens()).finish_non_exhaustive()
    }
}
