//! The reranker.

use std::{fmt, path::Path, sync::Arc};

use crate::{
    backend::options::Device,
    bulk::{Bulk, Results},
    error::{Error, ItemError, Result},
    import::hugging_face::{Purpose, Scores},
    inference::{Description, Pipeline},
    text::{
        classifier,
        classifier_options::ClassifierOptions,
        encoder_model::{EncoderModel, only},
        jobs::Jobs,
        opened::Opened,
        pairs::{self, Pair, Shared},
        prompt::Prompt,
    },
};

/// A reranker (cross-encoder): scores how well a document answers a query, both read by the encoder as one text.
///
/// ```no_run
/// use gristmill::{Device, text::Reranker};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let reranker = Reranker::open("ms-marco-MiniLM-L6-v2", Device::Auto)?;
/// let scores: Vec<f32> = reranker.scores("how do mills work", &["Stones grind grain.", "Cats sleep."])?;
/// # Ok(())
/// # }
/// ```
///
/// Cloning is cheap; clones share the weights.
#[derive(Clone)]
pub struct Reranker {
    pairs: Pairs,
    jobs: Jobs<Pair, f32>,
}

/// The pipeline of a [`Reranker`], from pairs of a query and a document to scores.
pub type RerankerPipeline = Pipeline<(Arc<str>, Arc<str>), EncoderModel, f32>;

/// The pipeline of a [`Reranker`], from pairs to scores with what became of the pairs.
pub type RerankedPipeline = Pipeline<(Arc<str>, Arc<str>), EncoderModel, Reranked>;

/// The score of a pair, with what became of it.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Reranked {
    /// The score; the higher the better.
    pub score: f32,
    /// The number of tokens that the encoder saw, special ones included.
    pub tokens: usize,
    /// Whether tokens of the pair were removed.
    pub truncated: bool,
}

/// What scores pairs.
#[derive(Clone)]
struct Pairs {
    opened: Arc<Opened>,
    scores: Scores,
    /// What stands before each query.
    prompt: Arc<str>,
}

impl Pairs {
    fn before(&self) -> Pipeline<Pair, EncoderModel, Vec<Vec<f32>>> {
        pairs::pipeline(&self.opened, self.prompt.clone())
    }
}

/// The score of a pair from the number of its class.
fn score(scores: Scores, numbers: Vec<Vec<f32>>) -> Result<f32> {
    let mut numbers = only(numbers)?;
    scores.apply(&mut numbers);
    match numbers[..] {
        [score] => Ok(score),
        _ => Err(Error::internal("a pair without its score")),
    }
}

impl Reranker {
    /// Opens a model folder.
    ///
    /// # Errors
    /// If a file is missing, damaged or not supported, if the model has more than one class, and if the device is not
    /// available.
    pub fn open(folder: impl AsRef<Path>, device: Device) -> Result<Self> {
        Self::open_with(folder, &ClassifierOptions::on(device))
    }

    /// Opens a model folder with options.
    ///
    /// # Errors
    /// As [`open`](Self::open), and if an option does not fit the model.
    pub fn open_with(folder: impl AsRef<Path>, options: &ClassifierOptions) -> Result<Self> {
        if options.overlap.is_some() {
            return Err(Error::invalid_input(
                "windows for a reranker, which takes pairs; truncate the documents or cut them",
            ));
        }
        if options.scores == Some(Scores::Softmax) {
            return Err(Error::invalid_input(
                "scores by softmax for a reranker, of whose one number it makes 1; there are raw and sigmoid",
            ));
        }
        let (opened, classes) = classifier::open(folder.as_ref(), options, Purpose::Pairs)?;
        let prompt = options.prompt.of(&opened.prompts)?.into();
        Ok(Self::of(Pairs { opened: Arc::new(opened), scores: classes.scores, prompt }))
    }

    fn of(pairs: Pairs) -> Self {
        let scores = pairs.scores;
        let pipeline = pairs.before().finish(move |_, numbers| Ok(score(scores, numbers)?));
        Self { pairs, jobs: Jobs::new(pipeline) }
    }

    /// The same model with another prompt before each query, which shares the weights.
    ///
    /// # Errors
    /// If the folder has no prompt of that name.
    pub fn with_prompt(&self, prompt: &Prompt) -> Result<Self> {
        let prompt = prompt.of(&self.pairs.opened.prompts)?.into();
        Ok(Self::of(Pairs { prompt, ..self.pairs.clone() }))
    }

    /// The number of tokens to which a pair is truncated, special tokens included.
    pub fn max_tokens(&self) -> usize {
        self.pairs.opened.max_tokens
    }

    /// Describes the model; `truncated` is the number of pairs truncated so far.
    pub fn describe(&self) -> Description {
        self.jobs.describe()
    }

    /// Scores documents for a query, in order; the higher the better.
    ///
    /// # Errors
    /// The error of the first document that failed.
    pub fn scores<T: AsRef<str>>(&self, query: &str, documents: &[T]) -> Result<Vec<f32>, ItemError> {
        let query: Arc<str> = query.into();
        let pairs = documents.iter().map(|document| (query.clone(), document.as_ref().into()));
        self.jobs.run(&pairs.collect::<Vec<Pair>>())
    }

    /// Scores any number of pairs of a query and a document lazily, in order, with one result per pair.
    pub fn map<It, Q, D>(&self, pairs: It) -> Results<f32, Shared<It::IntoIter, Q, D>>
    where
        It: IntoIterator<Item = (Q, D)>,
        Q: Into<Arc<str>>,
        D: Into<Arc<str>>,
    {
        self.jobs.map(pairs::shared(pairs))
    }

    /// A [`Bulk`] of this model, for jobs with their own settings.
    pub fn bulk(&self) -> Bulk<RerankerPipeline> {
        self.jobs.bulk()
    }

    /// A [`Bulk`] whose results say what became of each pair: its tokens, and whether it was truncated.
    pub fn detailed(&self) -> Bulk<RerankedPipeline> {
        let scores = self.pairs.scores;
        let pipeline = self.pairs.before().finish(move |pair, numbers| {
            let score = score(scores, numbers)?;
            Ok(Reranked { score, tokens: pair.tokens(), truncated: pair.truncated() })
        });
        Bulk::pipeline(pipeline)
    }

    /// The pipeline from pairs to scores.
    pub fn pipeline(&self) -> Arc<RerankerPipeline> {
        self.jobs.pipeline()
    }
}

impl fmt::Debug for Reranker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reranker").field("max_tokens", &self.max_tokens()).finish_non_exhaustive()
    }
}
