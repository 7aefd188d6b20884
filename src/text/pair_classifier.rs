//! The classifier of pairs.

use std::{fmt, path::Path, sync::Arc};

use crate::{
    backend::options::Device,
    bulk::{Bulk, Results},
    error::{Error, ItemError, Result},
    import::hugging_face::Purpose,
    inference::{Description, Pipeline},
    text::{
        classifier::{self, Classified},
        classifier_options::ClassifierOptions,
        encoder_model::EncoderModel,
        jobs::Jobs,
        pairs::{self, Pair, Shared},
    },
};

/// A classifier of pairs of texts, which the encoder reads as one: whether one follows from the other (natural language
/// inference), whether they ask the same.
///
/// ```no_run
/// use gristmill::{Device, text::PairClassifier};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let classifier = PairClassifier::open("nli-deberta-v3-base", Device::Auto)?;
/// for class in classifier.map([("A man eats pizza.", "A man eats something.")]) {
///     println!("{}", class?.label); // entailment
/// }
/// # Ok(())
/// # }
/// ```
///
/// Cloning is cheap; clones share the weights.
#[derive(Clone)]
pub struct PairClassifier {
    jobs: Jobs<Pair, Classified>,
    labels: Arc<[Arc<str>]>,
    max_tokens: usize,
}

/// The pipeline of a [`PairClassifier`], from pairs of texts to classes.
pub type PairClassifierPipeline = Pipeline<(Arc<str>, Arc<str>), EncoderModel, Classified>;

impl PairClassifier {
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
    /// As [`open`](Self::open), and if an option does not fit the model or pairs: there are neither prompts nor windows.
    pub fn open_with(folder: impl AsRef<Path>, options: &ClassifierOptions) -> Result<Self> {
        classifier::refuse_prompt(options)?;
        if options.overlap.is_some() {
            return Err(Error::invalid_input("windows for a classifier of pairs; truncate the texts or cut them"));
        }
        let (opened, classes) = classifier::open(folder.as_ref(), options, Purpose::PairClasses)?;
        let labels: Arc<[Arc<str>]> = classes.labels.into_iter().map(Arc::from).collect();
        let (names, scores) = (labels.clone(), classes.scores);
        let pipeline = pairs::pipeline(&opened, "".into())
            .finish(move |pair, mut numbers| {
                numbers.iter_mut().for_each(|own| scores.apply(own));
                Ok(Classified::of(&names, pair, numbers, false)?)
            })
            .result_bytes(Classified::bytes);
        Ok(Self { jobs: Jobs::new(pipeline), labels, max_tokens: opened.max_tokens })
    }

    /// The names of the classes.
    pub fn labels(&self) -> &[Arc<str>] {
        &self.labels
    }

    /// The number of tokens to which a pair is truncated, special tokens included; the longer text is truncated first.
    pub fn max_tokens(&self) -> usize {
        self.max_tokens
    }

    /// Describes the model; `truncated` is the number of pairs truncated so far.
    pub fn describe(&self) -> Description {
        self.jobs.describe()
    }

    /// Finds the classes of a slice of pairs, in order.
    ///
    /// # Errors
    /// The error of the first pair that failed.
    pub fn classify<A: AsRef<str>, B: AsRef<str>>(&self, pairs: &[(A, B)]) -> Result<Vec<Classified>, ItemError> {
        let pairs = pairs.iter().map(|(first, second)| (first.as_ref().into(), second.as_ref().into()));
        self.jobs.run(&pairs.collect::<Vec<Pair>>())
    }

    /// Finds the classes of any number of pairs lazily, in order, with one result per pair.
    pub fn map<It, A, B>(&self, pairs: It) -> Results<Classified, Shared<It::IntoIter, A, B>>
    where
        It: IntoIterator<Item = (A, B)>,
        A: Into<Arc<str>>,
        B: Into<Arc<str>>,
    {
        self.jobs.map(pairs::shared(pairs))
    }

    /// A [`Bulk`] of this model, for jobs with their own settings.
    pub fn bulk(&self) -> Bulk<PairClassifierPipeline> {
        self.jobs.bulk()
    }

    /// The pipeline from pairs to classes.
    pub fn pipeline(&self) -> Arc<PairClassifierPipeline> {
        self.jobs.pipeline()
    }
}

impl fmt::Debug for PairClassifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PairClassifier")
            .field("labels", &self.labels)
            .field("max_tokens", &self.max_tokens)
            .finish_non_exhaustive()
    }
}
