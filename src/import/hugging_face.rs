//! Hugging Face folders of the BERT family: `config.json`, `model.safetensors` (or the shards of
//! `model.safetensors.index.json`) and the pooling files of sentence-transformers, as one graph over packed tokens.
//!
//! The graph has the inputs `input_ids`, `token_type_ids` (if the model has them) and `position_ids`, each i32
//! `[tokens]`, the texts of a run one behind another without padding, and gives `last_hidden_state` f32
//! `[tokens, hidden]` and `sentence_embedding` f32 `[texts, hidden]`.

mod config;
mod encoder;
pub(crate) mod files;
mod problems;
mod sentence;
mod weights;

use std::path::{Path, PathBuf};

pub use crate::ops::pool::segment_pool::SegmentPoolMode as Pooling;
use crate::{
    error::{Context, Error, Result},
    graph::Graph,
    import::{
        options::ImportOptions,
        origin::{FileStamp, fingerprint_of},
    },
    threads::pool::pool,
};

/// How a folder is read.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct FolderOptions {
    /// How the vectors of a text's tokens become one; what the folder says by default, and the mean where it says
    /// nothing.
    pub pooling: Option<Pooling>,
    /// Whether the text's vector is scaled to length 1; what the folder says by default.
    pub normalize: Option<bool>,
    /// The caps on what the files may ask for. Links are followed: hub caches are made of them.
    pub import: ImportOptions,
}

/// A folder that has been read: the graph, and what it takes to make its inputs of a text.
#[derive(Debug)]
#[non_exhaustive]
pub struct Folder {
    /// The encoder with pooling.
    pub graph: Graph,
    /// The number of tokens that a text is cut to, the special ones counted.
    pub max_tokens: usize,
    /// The most tokens that the model has positions for.
    pub positions: Positions,
    /// The length of a vector.
    pub dimension: usize,
    /// How many different tokens there are.
    pub vocabulary: usize,
    /// Whether the graph has the input `token_type_ids`, and how many types there are.
    pub token_types: Option<usize>,
    /// Whether texts are made lower case before they are tokenized.
    pub lowercase: bool,
    /// How token vectors become one, and whether it is scaled to length 1.
    pub pooling: (Pooling, bool),
    /// The folder in which `tokenizer.json` lies.
    pub tokenizer_folder: PathBuf,
    /// What is worth telling in a report.
    pub notes: Vec<String>,
    /// The files of the weights.
    pub(crate) files: Vec<FileStamp>,
}

impl Folder {
    /// A name for the bytes of the weights (BLAKE3), read again when asked for. Where a file has changed since, the
    /// text says that it is unknown.
    pub fn fingerprint(&self) -> String {
        fingerprint_of(&self.files)
    }
}

/// Which rows of the position table a text's tokens read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Positions {
    /// The row of the first token.
    pub first: usize,
    /// How many tokens have a row.
    pub count: usize,
    /// A token that reads the row of its own number and does not count (RoBERTa's padding).
    pub skipped: Option<u32>,
}

impl Positions {
    /// The row of each token.
    pub fn of(self, tokens: impl IntoIterator<Item = u32>) -> impl Iterator<Item = i32> {
        let mut next = self.first as i32;
        tokens.into_iter().map(move |token| {
            if Some(token) == self.skipped {
                return token as i32;
            }
            next += 1;
            next - 1
        })
    }
}

/// Reads a folder.
///
/// # Errors
/// [`ErrorKind::Io`](crate::ErrorKind::Io) when a file is missing or unreadable,
/// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) for another family of models, pickled weights or another
/// way of pooling, [`ErrorKind::InvalidModel`](crate::ErrorKind::InvalidModel) when the files contradict one another:
/// all contradictions in one message; [`ErrorKind::Limit`](crate::ErrorKind::Limit) past a cap on sizes.
pub fn open(folder: impl AsRef<Path>, options: &FolderOptions) -> Result<Folder> {
    let folder = folder.as_ref();
    read(folder, options).context(|| format!("model folder `{}`", folder.display()))
}

/// The folder in which `tokenizer.json` lies.
pub(crate) fn tokenizer_folder(folder: &Path) -> Result<PathBuf> {
    Ok(sentence::read(folder)?.transformer)
}

pub(crate) fn read(folder: &Path, options: &FolderOptions) -> Result<Folder> {
    if !folder.is_dir() {
        return Err(Error::invalid_input("is not a folder"));
    }
    let sentence = sentence::read(folder)?;
    let transformer = sentence.transformer.clone();
    let (config, mut notes) = config::read(&transformer)?;
    let weights = weights::Weights::open(&transformer, &options.import)?;
    let mut problems = problems::Problems::default();
    if let Some(dimension) = sentence.dimension.filter(|dimension| *dimension != config.hidden) {
        let hidden = config.hidden;
        problems.add(|| format!("the pooling is for vectors of {dimension}, hidden_size is {hidden}"));
    }
    let tensors = encoder::resolve(&config, &weights, &mut problems);
    problems.finish("the files do not fit together")?;
    let pooling = options.pooling.or(sentence.pooling).unwrap_or(Pooling::Mean);
    let normalize = options.normalize.unwrap_or(sentence.normalize);
    notes.extend(sentence.notes);
    notes.extend(weights.notes());
    let name = folder.file_name().map_or_else(|| "model".into(), |name| name.to_string_lossy());
    let build = || encoder::build(&name, &config, tensors, &weights, (pooling, normalize));
    let graph = pool(None)?.install(build)?;
    let positions = config.positions;
    let max_tokens = sentence.max_tokens.unwrap_or(positions.count);
    if max_tokens > positions.count {
        notes.push(format!("the folder allows {max_tokens} tokens, the model has {} positions", positions.count));
    }
    Ok(Folder {
        graph,
        max_tokens: max_tokens.min(positions.count),
        positions,
        dimension: config.hidden,
        vocabulary: config.vocabulary,
        token_types: config.token_types,
        lowercase: sentence.lowercase,
        pooling: (pooling, normalize),
        tokenizer_folder: transformer,
        notes,
        files: weights.into_files(),
    })
}
