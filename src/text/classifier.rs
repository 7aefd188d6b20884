//! The text classifier.

use std::{borrow::Borrow, fmt, ops::Range, path::Path, sync::Arc};

use crate::{
    backend::options::Device,
    bulk::{Bulk, Results},
    error::{Error, ItemError, Result},
    import::hugging_face::{self, Classes, FolderOptions, Purpose},
    inference::{Description, Pipeline},
    text::{
        classifier_options::ClassifierOptions,
        embedded::pooled,
        encoder_model::EncoderModel,
        jobs::Jobs,
        opened::{Opened, Opening},
        prompt::Prompt,
        tokenized::{Facts, Tokenized},
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

/// The class of a text or of a pair of texts.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Classified {
    /// The class with the highest score, the first of those.
    pub label: Arc<str>,
    /// Its score.
    pub score: f32,
    /// The scores of all classes, in the order of [`Classifier::labels`]; of a text with several windows their mean, in
    /// which each counts by its tokens.
    pub scores: Vec<f32>,
    /// The windows, where texts are read in windows.
    pub windows: Vec<ClassifiedWindow>,
    /// The number of tokens that the encoder saw, special ones included; those of overlaps count in each window.
    pub tokens: usize,
    /// Whether tokens of the text were removed.
    pub truncated: bool,
}

/// A part of a text with its scores, which are those of the part alone.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ClassifiedWindow {
    /// The place of the part in the text, in bytes.
    pub bytes: Range<usize>,
    /// The scores of all classes.
    pub scores: Vec<f32>,
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
        refuse_prompt(options)?;
        let (Opened { model, prepare, max_tokens, .. }, classes) = open(folder.as_ref(), options, Purpose::Classes)?;
        let labels: Arc<[Arc<str>]> = classes.labels.into_iter().map(Arc::from).collect();
        let (names, scores, overlap) = (labels.clone(), classes.scores, options.overlap);
        let truncated = model.truncated.clone();
        let pipeline = Pipeline::new(model)
            .prepare(move |text: &str| {
                Ok(truncated.count(match overlap {
                    Some(overlap) => prepare.parts("", text, overlap)?,
                    None => prepare.tokenized("", text)?,
                }))
            })
            .item_bytes(|text: &str| text.len())
            .finish(move |text, mut numbers| {
                numbers.iter_mut().for_each(|window| scores.apply(window));
                Ok(Classified::of(&names, text, numbers, overlap.is_some())?)
            })
            .result_bytes(Classified::bytes);
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

/// Refuses a prompt, which classifiers have not.
pub(super) fn refuse_prompt(options: &ClassifierOptions) -> Result<()> {
    match &options.prompt {
        Prompt::Default => Ok(()),
        Prompt::Text(text) if text.is_empty() => Ok(()),
        _ => Err(Error::invalid_input("a prompt for a classifier, which takes texts as they are")),
    }
}

/// Opens a folder with a head for classes.
pub(super) fn open(path: &Path, options: &ClassifierOptions, purpose: Purpose) -> Result<(Opened, Classes)> {
    let folder_options = FolderOptions::of(&options.import, options.max_tokens);
    let opening = Opening {
        path,
        purpose,
        outputs: &[hugging_face::CLASSES],
        session: &options.session,
        max_tokens: options.max_tokens,
        unit: match options.overlap {
            _ if matches!(purpose, Purpose::Pairs | Purpose::PairClasses) => Unit::Pair,
            Some(_) => Unit::Windows,
            None => Unit::Text,
        },
    };
    let (mut opened, mut classes) = opening.open(|| hugging_face::open_classes(path, &folder_options, purpose))?;
    classes.scores = options.scores.unwrap_or(classes.scores);
    if let Some(overlap) = options.overlap {
        opened.prepare.tokenizer.check_overlap(overlap)?;
    }
    opened.model.options.push_str(&format!(", scores {:?}, overlap {:?}", classes.scores, options.overlap));
    Ok((opened, classes))
}

impl Classified {
    /// The class with the highest of the scores, from those of each window.
    pub(super) fn of(labels: &[Arc<str>], text: &Tokenized, windows: Vec<Vec<f32>>, in_windows: bool) -> Result<Self> {
        let parts = match in_windows {
            true => {
                let windows = text.runs.iter().zip(&windows);
                windows
                    .map(|(run, scores)| ClassifiedWindow { bytes: run.bytes.clone(), scores: scores.clone() })
                    .collect()
            }
            false => Vec::new(),
        };
        let scores = pooled(text, windows, false)?;
        let (label, score) = hugging_face::best_class(labels, &scores)?;
        let Facts { tokens, truncated } = text.facts;
        Ok(Self { label, score, scores, windows: parts, tokens, truncated })
    }

    /// The bytes that it holds.
    pub(super) fn bytes(&self) -> usize {
        let of = |scores: &[f32]| size_of_val(scores) + size_of::<ClassifiedWindow>();
        let windows = self.windows.iter().map(|window| of(&window.scores));
        size_of::<Self>() + size_of_val(self.scores.as_slice()) + windows.sum::<usize>()
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
