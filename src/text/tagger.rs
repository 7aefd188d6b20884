//! The tagger of tokens.

use std::{borrow::Borrow, fmt, path::Path, sync::Arc};

use crate::{
    backend::options::Device,
    bulk::{Bulk, Results},
    error::{Error, ItemError, Result},
    import::hugging_face::{self, FolderOptions, Purpose},
    inference::{Description, Pipeline},
    text::{
        encoder_model::EncoderModel,
        entities::{Aggregation, Entities, Entity, Tagged},
        jobs::Jobs,
        opened::{Opened, Opening},
        tagger_options::TaggerOptions,
        tokenizer::Unit,
    },
};

/// A tagger: tokenizer, encoder and a head that classifies each token, from a Hugging Face folder.
///
/// ```no_run
/// use gristmill::{Device, text::Tagger};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let texts = ["Ada Lovelace lived in London.", "another"];
/// let tagger = Tagger::open("bert-base-NER", Device::Auto)?;
/// for (text, tagged) in texts.iter().zip(tagger.tag(&texts)?) {
///     for entity in tagged.entities {
///         println!("{} {} {}", entity.label, entity.score, &text[entity.bytes]);
///     }
/// }
/// # Ok(())
/// # }
/// ```
///
/// Cloning is cheap; clones share the weights.
#[derive(Clone)]
pub struct Tagger {
    jobs: Jobs<str, Tagged>,
    labels: Arc<[Arc<str>]>,
    max_tokens: usize,
}

/// The pipeline of a [`Tagger`], from texts to their entities.
pub type TaggerPipeline = Pipeline<str, EncoderModel, Tagged>;

impl Tagger {
    /// Opens a model folder.
    ///
    /// # Errors
    /// If a file is missing, damaged or not supported, and if the device is not available.
    pub fn open(folder: impl AsRef<Path>, device: Device) -> Result<Self> {
        Self::open_with(folder, &TaggerOptions::on(device))
    }

    /// Opens a model folder with options.
    ///
    /// # Errors
    /// As [`open`](Self::open), and if an option does not fit the model.
    pub fn open_with(folder: impl AsRef<Path>, options: &TaggerOptions) -> Result<Self> {
        let path = folder.as_ref();
        let (aggregation, overlap) = (options.aggregation, options.overlap);
        if overlap.is_some() && aggregation == Aggregation::None {
            return Err(Error::invalid_input("windows of a long text need an aggregation, which joins what they find"));
        }
        let folder_options = FolderOptions::of(&options.import, options.max_tokens);
        let opening = Opening {
            path,
            purpose: Purpose::Tokens,
            outputs: &[hugging_face::CLASSES],
            session: &options.session,
            max_tokens: options.max_tokens,
            unit: if overlap.is_some() { Unit::Windows } else { Unit::Text },
        };
        let read = || hugging_face::open_classes(path, &folder_options, Purpose::Tokens);
        let (Opened { model, prepare, max_tokens, .. }, classes) = opening.open(read)?;
        if let Some(overlap) = overlap {
            prepare.tokenizer.check_overlap(overlap)?;
        }
        let labels: Arc<[Arc<str>]> = classes.labels.into_iter().map(Arc::from).collect();
        let ignored = options.ignored.clone();
        let model = model.with_options(&format!("{aggregation:?} entities but {ignored:?}, overlap {overlap:?}"));
        let entities = Entities { aggregation, labels: labels.clone(), ignored };
        let prepared = prepare.clone();
        let truncated = model.truncated.clone();
        let pipeline = Pipeline::new(model)
            .prepare(move |text: &str| {
                Ok(truncated.count(match overlap {
                    Some(overlap) => prepared.overlapping(text, overlap)?,
                    None => prepared.spanned(text)?,
                }))
            })
            .item_bytes(|text: &str| text.len())
            .finish(move |text, numbers| Ok(entities.of(&prepare.tokenizer, text, numbers)?))
            .result_bytes(|tagged: &Tagged| {
                let words: usize = tagged.entities.iter().map(|entity| entity.word.len()).sum();
                words + tagged.entities.len() * size_of::<Entity>() + size_of::<Tagged>()
            });
        Ok(Self { jobs: Jobs::new(pipeline), labels, max_tokens })
    }

    /// The names of the tokens' classes.
    pub fn labels(&self) -> &[Arc<str>] {
        &self.labels
    }

    /// The number of tokens to which a text is truncated, or that a window has, special tokens included.
    pub fn max_tokens(&self) -> usize {
        self.max_tokens
    }

    /// Describes the model; `truncated` is the number of texts truncated so far.
    pub fn describe(&self) -> Description {
        self.jobs.describe()
    }

    /// Finds the entities of a slice of texts, in order.
    ///
    /// # Errors
    /// The error of the first text that failed.
    pub fn tag<T: Borrow<str>>(&self, texts: &[T]) -> Result<Vec<Tagged>, ItemError> {
        self.jobs.run(texts)
    }

    /// Finds the entities of any number of texts lazily, in order, with one result per text.
    pub fn map<It>(&self, texts: It) -> Results<Tagged, It::IntoIter>
    where
        It: IntoIterator<Item: Borrow<str> + Send + 'static>,
    {
        self.jobs.map(texts)
    }

    /// A [`Bulk`] of this model, for jobs with their own settings.
    pub fn bulk(&self) -> Bulk<TaggerPipeline> {
        self.jobs.bulk()
    }

    /// The pipeline from texts to their entities.
    pub fn pipeline(&self) -> Arc<TaggerPipeline> {
        self.jobs.pipeline()
    }
}

impl fmt::Debug for Tagger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tagger")
            .field("labels", &self.labels)
            .field("max_tokens", &self.max_tokens)
            .finish_non_exhaustive()
    }
}
