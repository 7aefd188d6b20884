//! The embedder of tokens.

use std::{borrow::Borrow, collections::HashSet, fmt, path::Path, sync::Arc};

use crate::{
    backend::options::Device,
    bulk::{Bulk, Results},
    error::{Error, ItemError, Result},
    import::hugging_face::{self, FolderOptions, Late, Purpose, Side},
    inference::{Description, Pipeline},
    text::{
        encoder_model::{EncoderModel, only},
        jobs::Jobs,
        opened::{Opened, Opening},
        prepare::Prepare,
        token_options::TokenOptions,
        token_vectors::TokenVectors,
        tokenized::Tokenized,
        tokenizer::Unit,
    },
};

/// A late-interaction model (ColBERT): a vector for each token of a text, which is a document or a query.
///
/// ```no_run
/// use gristmill::{Device, text::TokenEmbedder};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let documents = TokenEmbedder::open("answerai-colbert-small-v1", Device::Auto)?;
/// let stones = documents.embed(&["Stones grind grain."])?;
/// let query = documents.queries()?.embed(&["how do mills work"])?;
/// println!("{}", query[0].max_similarity(&stones[0]));
/// # Ok(())
/// # }
/// ```
///
/// Cloning is cheap; clones share the weights.
#[derive(Clone)]
pub struct TokenEmbedder {
    opened: Arc<Opened>,
    late: Arc<Late>,
    jobs: Jobs<str, TokenVectors>,
    max_tokens: usize,
}

/// The pipeline of a [`TokenEmbedder`], from texts to the vectors of their tokens.
pub type TokenPipeline = Pipeline<str, EncoderModel, TokenVectors>;

/// How texts become what the encoder is given, and which of its rows are kept.
struct Reading {
    prepare: Arc<Prepare>,
    prompt: String,
    max_tokens: usize,
    /// The number of tokens that a text has at least, the token that is added, and whether the others see it.
    expansion: Option<(usize, u32, bool)>,
    /// Tokens whose vectors are left out.
    skipped: HashSet<u32>,
    /// Whether the encoder is told which keys are seen.
    hides_keys: bool,
}

impl TokenEmbedder {
    /// Opens a model folder, for documents.
    ///
    /// # Errors
    /// If a file is missing, damaged or not supported, and if the device is not available.
    pub fn open(folder: impl AsRef<Path>, device: Device) -> Result<Self> {
        Self::open_with(folder, &TokenOptions::on(device))
    }

    /// Opens a model folder with options, for documents.
    ///
    /// # Errors
    /// As [`open`](Self::open), and if an option does not fit the model.
    pub fn open_with(folder: impl AsRef<Path>, options: &TokenOptions) -> Result<Self> {
        let path = folder.as_ref();
        let folder_options = FolderOptions::of(&options.import, options.max_tokens);
        let opening = Opening {
            path,
            purpose: Purpose::TokenVectors,
            outputs: &[hugging_face::VECTOR],
            session: &options.session,
            max_tokens: options.max_tokens,
            unit: Unit::Windows,
        };
        let (opened, late) = opening.open(|| hugging_face::open_token_vectors(path, &folder_options))?;
        Self::with(Arc::new(opened), Arc::new(late), false)
    }

    fn with(opened: Arc<Opened>, late: Arc<Late>, queries: bool) -> Result<Self> {
        let side = if queries { &late.query } else { &late.document };
        let reading = Reading::of(&opened, side, late.hides_keys())?;
        let max_tokens = reading.max_tokens;
        let model = opened.model.with_options(&format!("{side:?}"));
        let reading = Arc::new(reading);
        let (before, width) = (reading.clone(), opened.dimension);
        let truncated = model.truncated.clone();
        let pipeline = Pipeline::new(model)
            .prepare(move |text: &str| Ok(truncated.count(before.tokenized(text)?)))
            .item_bytes(|text: &str| text.len())
            .finish(move |text, numbers| Ok(reading.vectors(text, only(numbers)?, width)?))
            .result_bytes(|vectors: &TokenVectors| size_of_val(vectors.numbers()) + size_of::<TokenVectors>());
        Ok(Self { opened, late, jobs: Jobs::new(pipeline), max_tokens })
    }

    /// The same model for queries, which shares the weights.
    ///
    /// # Errors
    /// If the tokenizer has no token to expand queries with.
    pub fn queries(&self) -> Result<Self> {
        Self::with(self.opened.clone(), self.late.clone(), true)
    }

    /// The same model for documents, which shares the weights.
    ///
    /// # Errors
    /// None that [`open`](Self::open) has not told.
    pub fn documents(&self) -> Result<Self> {
        Self::with(self.opened.clone(), self.late.clone(), false)
    }

    /// The length of a vector.
    pub fn dimension(&self) -> usize {
        self.opened.dimension
    }

    /// The number of tokens to which a text is truncated, special tokens included.
    pub fn max_tokens(&self) -> usize {
        self.max_tokens
    }

    /// Describes the model; `truncated` is the number of texts truncated so far.
    pub fn describe(&self) -> Description {
        self.jobs.describe()
    }

    /// Computes the vectors of the tokens of a slice of texts, in order.
    ///
    /// # Errors
    /// The error of the first text that failed.
    pub fn embed<T: Borrow<str>>(&self, texts: &[T]) -> Result<Vec<TokenVectors>, ItemError> {
        self.jobs.run(texts)
    }

    /// Computes the vectors of the tokens of any number of texts lazily, in order, with one result per text.
    pub fn map<It>(&self, texts: It) -> Results<TokenVectors, It::IntoIter>
    where
        It: IntoIterator<Item: Borrow<str> + Send + 'static>,
    {
        self.jobs.map(texts)
    }

    /// A [`Bulk`] of this model, for jobs with their own settings.
    pub fn bulk(&self) -> Bulk<TokenPipeline> {
        self.jobs.bulk()
    }

    /// The pipeline from texts to the vectors of their tokens.
    pub fn pipeline(&self) -> Arc<TokenPipeline> {
        self.jobs.pipeline()
    }
}

impl Reading {
    fn of(opened: &Opened, side: &Side, hides_keys: bool) -> Result<Self> {
        let tokenizer = &opened.prepare.tokenizer;
        let mut max_tokens = side.max_tokens.map_or(opened.max_tokens, |own| own.min(opened.most_tokens));
        let expansion = match &side.expansion {
            None => None,
            Some(expansion) => {
                let token = tokenizer.expansion(expansion.token.as_deref())?;
                max_tokens = if expansion.fixed { expansion.length } else { max_tokens.max(expansion.length) };
                if max_tokens > opened.most_tokens {
                    let most = opened.most_tokens;
                    return Err(Error::invalid_model(format!("queries of {max_tokens} tokens; the model has {most}")));
                }
                Some((expansion.length, token, expansion.attended))
            }
        };
        tokenizer.check_limit(max_tokens)?;
        let skipped = side.skipped.iter().filter_map(|word| tokenizer.known(word)).collect();
        let (prepare, prompt) = (opened.prepare.clone(), side.prompt.clone());
        Ok(Self { prepare, prompt, max_tokens, expansion, skipped, hides_keys })
    }

    fn tokenized(&self, text: &str) -> Result<Tokenized> {
        let text = format!("{}{text}", self.prompt);
        self.prepare.expanded(&text, self.max_tokens, self.expansion, self.hides_keys)
    }

    /// The rows of a text that are kept.
    fn vectors(&self, text: &Tokenized, mut numbers: Vec<f32>, width: usize) -> Result<TokenVectors> {
        let [run] = &text.runs[..] else { return Err(Error::internal("a text without its one window")) };
        if numbers.len() != run.tokens * width || run.ids.len() != run.tokens {
            return Err(Error::internal("other vectors than tokens"));
        }
        let mut ids = Vec::with_capacity(run.tokens);
        for (row, &id) in run.ids.iter().enumerate() {
            if !self.skipped.contains(&id) {
                numbers.copy_within(row * width..(row + 1) * width, ids.len() * width);
                ids.push(id);
            }
        }
        numbers.truncate(ids.len() * width);
        Ok(TokenVectors::new(numbers, width, ids, text.facts))
    }
}

impl fmt::Debug for TokenEmbedder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenEmbedder")
            .field("dimension", &self.dimension())
            .field("max_tokens", &self.max_tokens)
            .finish_non_exhaustive()
    }
}
