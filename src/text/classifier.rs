//! The text classifier.

use std::{borrow::Borrow, fmt, path::Path, sync::Arc};

use crate::{
    backend::options::Device,
    bulk::{Bulk, Results},
    error::{Error, ItemError, Result},
    import::hugging_face::{self, Classes, Purpose},
    inference::{Description, Pipeline},
    text::{
        classifier_options::ClassifierOptions,
        encoder_model::{EncoderModel, only},
        jobs::Jobs,
        opened::{Opened, Opening},
        prompt::Prompt,
        tokenized::Facts,
        tokenizer::Unit,
    },
};

/// A text classifier: tokenizer, encoder and classification head from a Hugging Face folder.
///
/// ```no_run
/// use gristmill::{Device, text::Classifier};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let texts = ["one text", "another"];
/// let classifier = Classifier::open("distilbert-base-uncased-finetuned-sst-2-english", Device::Auto)?;
/// for class in classifier.map(texts) {
///     let class = class?;
///     println!("{} {}", class.label, class.score);
/// }
/// # Ok(())
/// # }
/// ```
///
/// Cloning is cheap; clones share the weights.
#[derive(Clone)]
pub struct Classifier {
    jobs: Jobs<str, Classified>,
    labels: Arc<[Arc<str>]>,
    max_tokens: usize,
}

/// The pipeline of a [`Classifier`], from texts to classes.
pub type ClassifierPipeline = Pipeline<str, EncoderModel, Classified>;

/// The class of a text.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Classified {
    /// The class with the highest score, the first of those.
    pub label: Arc<str>,
    /// Its score.
    pub score: f32,
    /// The scores of all classes, in the order of [`Classifier::labels`].
    pub scores: Vec<f32>,
    /// The number of tokens that the encoder saw, special ones included.
    pub tokens: usize,
    /// Whether tokens of the text were removed.
    pub truncated: bool,
}

impl Classifier {
    /// Opens a model folder.
    ///
    /// # Errors
    /// If a file is missing, damaged or not supported, and if the device is not available.
    pub fn open(folder: impl AsRef<Path>, device: Device) -> Result<Self> {
        Self::open_with(folder, &ClassifierOptions::on(device))
    }

    /// Opens a model folder with options.
    ///
    /// # Errors
    /// As [`open`](Self::open), and if an option does not fit the model.
    pub fn open_with(folder: impl AsRef<Path>, options: &ClassifierOptions) -> Result<Self> {
        if !matches!(&options.prompt, Prompt::Default) && options.prompt != Prompt::Text(String::new()) {
            return Err(Error::invalid_input("a prompt for a classifier, which takes texts as they are"));
        }
        let (Opened { model, prepare, max_tokens, .. }, classes) = open(folder.as_ref(), options, Purpose::Classes)?;
        let labels: Arc<[Arc<str>]> = classes.labels.into_iter().map(Arc::from).collect();
        let (names, scores) = (labels.clone(), classes.scores);
        let truncated = model.truncated.clone();
        let pipeline = Pipeline::new(model)
            .prepare(move |text: &str| Ok(truncated.count(prepare.tokenized("", text)?)))
            .item_bytes(|text: &str| text.len())
            .finish(move |text, numbers| {
                let mut numbers = only(numbers)?;
                scores.apply(&mut numbers);
                Ok(Classified::of(&names, numbers, text.facts)?)
            })
            .result_bytes(|class: &Classified| size_of_val(class.scores.as_slice()) + size_of::<Classified>());
        Ok(Self { jobs: Jobs::new(pipeline), labels, max_tokens })
    }

    /// The names of the classes.
    pub fn labels(&self) -> &[Arc<str>] {
        &self.labels
    }

    /// The number of tokens to which a text is truncated, special tokens included.
    pub fn max_tokens(&self) -> usize {
        self.max_tokens
    }

    /// Describes the model; `truncated` is the number of texts truncated so far.
    pub fn describe(&self) -> Description {
        self.jobs.describe()
    }

    /// Finds the classes of a slice of texts, in order.
    ///
    /// # Errors
    /// The error of the first text that failed.
    pub fn classify<T: Borrow<str>>(&self, texts: &[T]) -> Result<Vec<Classified>, ItemError> {
        self.jobs.run(texts)
    }

    /// Finds the classes of any number of texts lazily, in order, with one result per text.
    pub fn map<It>(&self, texts: It) -> Results<Classified, It::IntoIter>
    where
        It: IntoIterator<Item: Borrow<str> + Send + 'static>,
    {
        self.jobs.map(texts)
    }

    /// A [`Bulk`] of this model, for jobs with their own settings.
    pub fn bulk(&self) -> Bulk<ClassifierPipeline> {
        self.jobs.bulk()
    }

    /// The pipeline from texts to classes.
    pub fn pipeline(&self) -> Arc<ClassifierPipeline> {
        self.jobs.pipeline()
    }
}

/// Opens a folder with a head for classes.
pub(super) fn open(path: &Path, options: &ClassifierOptions, purpose: Purpose) -> Result<(Opened, Classes)> {
    let opening = Opening {
        path,
        purpose,
        output: hugging_face::CLASSES,
        session: &options.session,
        max_tokens: options.max_tokens,
        unit: if purpose == Purpose::Pairs { Unit::Pair } else { Unit::Text },
    };
    let (mut opened, mut classes) = opening.open(|| hugging_face::open_classes(path, &options.import, purpose))?;
    classes.scores = options.scores.unwrap_or(classes.scores);
    opened.model.options.push_str(&format!(", scores {:?}", classes.scores));
    Ok((opened, classes))
}

impl Classified {
    /// The class with the highest of `scores`.
    fn of(labels: &[Arc<str>], scores: Vec<f32>, facts: Facts) -> Result<Self> {
        let (label, score) = hugging_face::best_class(labels, &scores)?;
        let Facts { tokens, truncated } = facts;
        Ok(Self { label, score, scores, tokens, truncated })
    }
}

impl fmt::Debug for Classifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Classifier")
            .field("labels", &self.labels)
            .field("max_tokens", &self.max_tokens)
            .finish_non_exhaustive()
    }
}
