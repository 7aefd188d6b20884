//! The sparse embedder.

use std::{borrow::Borrow, fmt, path::Path, sync::Arc};

use crate::{
    backend::options::Device,
    bulk::{Bulk, Results},
    error::{Error, ItemError, Result},
    import::hugging_face::{self, FolderOptions, Purpose, Splade},
    inference::{Description, Pipeline},
    text::{
        encoder_model::{EncoderModel, only},
        jobs::Jobs,
        opened::{Opened, Opening},
        prompt::Prompt,
        sparse_options::SparseOptions,
        tokenized::Facts,
        tokenizer::Unit,
    },
};

/// A sparse embedding model (SPLADE): a text's weight for each word of the vocabulary, most of which are 0.
///
/// ```no_run
/// use gristmill::{Device, text::SparseEmbedder};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let texts = ["one text", "another"];
/// let embedder = SparseEmbedder::open("splade-v3", Device::Auto)?;
/// for vector in embedder.map(texts) {
///     let weights: Vec<(u32, f32)> = vector?.weights;
/// }
/// # Ok(())
/// # }
/// ```
///
/// Cloning is cheap; clones share the weights.
#[derive(Clone)]
pub struct SparseEmbedder {
    opened: Arc<Opened>,
    weighting: Weighting,
    jobs: Jobs<str, SparseVector>,
}

/// How a model's numbers become weights.
#[derive(Clone, Copy)]
struct Weighting {
    splade: Splade,
    /// The most weights of a text.
    most: Option<usize>,
}

/// The pipeline of a [`SparseEmbedder`], from texts to sparse vectors.
pub type SparsePipeline = Pipeline<str, EncoderModel, SparseVector>;

/// The sparse vector of a text.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct SparseVector {
    /// The words' token ids in ascending order, each with its weight, which is larger than 0.
    pub weights: Vec<(u32, f32)>,
    /// The number of tokens that the encoder saw, special ones included.
    pub tokens: usize,
    /// Whether tokens of the text were removed.
    pub truncated: bool,
}

impl SparseEmbedder {
    /// Opens a model folder.
    ///
    /// # Errors
    /// If a file is missing, damaged or not supported, and if the device is not available.
    pub fn open(folder: impl AsRef<Path>, device: Device) -> Result<Self> {
        Self::open_with(folder, &SparseOptions::on(device))
    }

    /// Opens a model folder with options.
    ///
    /// # Errors
    /// As [`open`](Self::open), and if an option does not fit the model.
    pub fn open_with(folder: impl AsRef<Path>, options: &SparseOptions) -> Result<Self> {
        let path = folder.as_ref();
        if options.max_weights == Some(0) {
            return Err(Error::invalid_input("at most 0 weights of a text"));
        }
        let folder_options = FolderOptions::of(&options.import, options.max_tokens);
        let opening = Opening {
            path,
            purpose: Purpose::Words,
            outputs: &[hugging_face::VECTOR],
            session: &options.session,
            max_tokens: options.max_tokens,
            unit: Unit::Text,
        };
        let (opened, words) = opening.open(|| hugging_face::open_words(path, &folder_options))?;
        let weighting = Weighting { splade: words.splade, most: options.max_weights.or(words.most) };
        Self::with(Arc::new(opened), weighting, &options.prompt)
    }

    fn with(opened: Arc<Opened>, weighting: Weighting, prompt: &Prompt) -> Result<Self> {
        let Weighting { splade, most } = weighting;
        let prompt = prompt.of(&opened.prompts)?;
        let model = opened.model.with_options(&format!("{splade:?}, at most {most:?}, prompt {prompt:?}"));
        let (prepare, truncated) = (opened.prepare.clone(), model.truncated.clone());
        let pipeline = Pipeline::new(model)
            .prepare(move |text: &str| Ok(truncated.count(prepare.tokenized(&prompt, text)?)))
            .item_bytes(|text: &str| text.len())
            .finish(move |text, numbers| Ok(SparseVector::of(&only(numbers)?, splade, most, text.facts)?))
            .result_bytes(|vector: &SparseVector| size_of_val(vector.weights.as_slice()) + size_of::<SparseVector>());
        Ok(Self { opened, weighting, jobs: Jobs::new(pipeline) })
    }

    /// The same model with another prompt, which shares the weights.
    ///
    /// # Errors
    /// If the folder has no prompt of that name.
    pub fn with_prompt(&self, prompt: &Prompt) -> Result<Self> {
        Self::with(self.opened.clone(), self.weighting, prompt)
    }

    /// The same model for queries: with the prompt `query`, or none if the folder has no such prompt.
    ///
    /// # Errors
    /// None that [`open`](Self::open) has not told.
    pub fn queries(&self) -> Result<Self> {
        self.with_prompt(&Prompt::for_task("query", &self.opened.prompts))
    }

    /// The same model for documents: with the prompt `document`, or none if the folder has no such prompt.
    ///
    /// # Errors
    /// None that [`open`](Self::open) has not told.
    pub fn documents(&self) -> Result<Self> {
        self.with_prompt(&Prompt::for_task("document", &self.opened.prompts))
    }

    /// The word of the vocabulary with this token id; empty if the tokenizer has none.
    pub fn word(&self, id: u32) -> String {
        self.opened.prepare.tokenizer.token(id)
    }

    /// The number of words in the vocabulary.
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

    /// Computes the sparse vectors of a slice of texts, in order.
    ///
    /// # Errors
    /// The error of the first text that failed.
    pub fn embed<T: Borrow<str>>(&self, texts: &[T]) -> Result<Vec<SparseVector>, ItemError> {
        self.jobs.run(texts)
    }

    /// Computes the sparse vectors of any number of texts lazily, in order, with one result per text.
    pub fn map<It>(&self, texts: It) -> Results<SparseVector, It::IntoIter>
    where
        It: IntoIterator<Item: Borrow<str> + Send + 'static>,
    {
        self.jobs.map(texts)
    }

    /// A [`Bulk`] of this model, for jobs with their own settings.
    pub fn bulk(&self) -> Bulk<SparsePipeline> {
        self.jobs.bulk()
    }

    /// The pipeline from texts to sparse vectors.
    pub fn pipeline(&self) -> Arc<SparsePipeline> {
        self.jobs.pipeline()
    }
}

impl SparseVector {
    /// The logarithms of one and each number above 0, at most `most` of them.
    fn of(numbers: &[f32], splade: Splade, most: Option<usize>, facts: Facts) -> Result<Self> {
        let mut weights = Vec::new();
        for (word, number) in (0u32..).zip(numbers) {
            if number.is_nan() {
                return Err(Error::invalid_model("the model gives a weight that is no number"));
            }
            let mut weight = number.max(0.0).ln_1p();
            if splade.twice {
                weight = weight.ln_1p();
            }
            if weight > 0.0 {
                weights.push((word, weight));
            }
        }
        if let Some(most) = most.filter(|most| *most < weights.len()) {
            // Stable, so that of equal weights the first words remain.
            weights.sort_by(|(_, one), (_, other)| other.total_cmp(one));
            weights.truncate(most);
            weights.sort_by_key(|(word, _)| *word);
        }
        Ok(Self { weights, tokens: facts.tokens, truncated: facts.truncated })
    }
}

impl fmt::Debug for SparseEmbedder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SparseEmbedder")
            .field("dimension", &self.dimension())
            .field("max_tokens", &self.max_tokens())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_logarithms_of_what_is_above_zero() {
        let facts = Facts { tokens: 3, truncated: false };
        let numbers = [0.0, -1.0, 1.0, f32::INFINITY, 2.0, 1.0, -f32::INFINITY];
        let of = |twice, most| SparseVector::of(&numbers, Splade { twice }, most, facts).unwrap().weights;
        let (one, two) = (1f32.ln_1p(), 2f32.ln_1p());
        assert_eq!(of(false, None), [(2, one), (3, f32::INFINITY), (4, two), (5, one)]);
        assert_eq!(of(false, Some(3)), [(2, one), (3, f32::INFINITY), (4, two)]);
        assert_eq!(of(true, Some(9))[0], (2, one.ln_1p()));
        assert!(SparseVector::of(&[0.0, f32::NAN], Splade::default(), None, facts).is_err());
    }
}
