//! The reader of Hugging Face folders with an encoder.
//!
//! A folder contains `config.json`, `model.safetensors` (or the shards of
//! `model.safetensors.index.json`) and the pooling files of sentence-transformers. They become one
//! graph over packed tokens, where the texts of a run are concatenated without padding.
//!
//! Inputs: `input_ids`, and if the model has them `token_type_ids` and `position_ids`, each i32
//! `[tokens]`. Outputs: `last_hidden_state` f32 `[tokens, hidden]` and `sentence_embedding` f32
//! `[texts, hidden]`.

mod behind;
mod config;
mod encoder;
pub(crate) mod files;
mod folder_options;
mod problems;
mod sentence;
mod weights;

use std::path::{Path, PathBuf};

pub use folder_options::FolderOptions;

pub use crate::ops::pool::segment_pool::SegmentPoolMode as Pooling;
use crate::{
    error::{Context, Error, Result},
    graph::Graph,
    import::{
        find::find,
        origin::{FileStamp, fingerprint_of},
    },
    threads::pool::pool,
};

/// A model folder: the graph, and what preparing its inputs from a text requires.
#[derive(Debug)]
#[non_exhaustive]
pub struct Folder {
    /// The graph of encoder and pooling.
    pub graph: Graph,
    /// The number of tokens to which a text is truncated, special tokens included.
    pub max_tokens: usize,
    /// The rows of the position table.
    pub positions: Positions,
    /// The length of a vector.
    pub dimension: usize,
    /// Whether the graph has the input `position_ids`.
    pub position_ids: bool,
    /// The number of different tokens.
    pub vocabulary: usize,
    /// The number of token types, if the graph has the input `token_type_ids`.
    pub token_types: Option<usize>,
    /// Whether texts are lowercased before they are tokenized.
    pub lowercase: bool,
    /// What stands before each text.
    pub prompt: String,
    /// How token vectors are pooled, side by side, and whether the result is normalized to length 1.
    pub pooling: (Vec<Pooling>, bool),
    /// The steps behind the pooling, in words.
    pub further: String,
    /// The folder that contains `tokenizer.json`.
    pub tokenizer_folder: PathBuf,
    /// Remarks for the report.
    pub notes: Vec<String>,
    /// The files of the weights.
    pub(crate) files: Vec<FileStamp>,
}

impl Folder {
    /// A BLAKE3 hash of the files of weights.
    ///
    /// Reads the files again. If one has changed since it was opened, the text says that the hash
    /// is unknown.
    pub fn fingerprint(&self) -> String {
        fingerprint_of(&self.files)
    }
}

/// The assignment of position table rows to a text's tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Positions {
    /// The row of the first token.
    pub first: usize,
    /// The number of tokens that have a row.
    pub count: usize,
    /// A token that uses the row of its own number and is not counted (padding in RoBERTa).
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
/// [`ErrorKind::Io`](crate::ErrorKind::Io) if a file is missing or unreadable,
/// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) for another model family, pickled
/// weights or other modules, [`ErrorKind::InvalidModel`](crate::ErrorKind::InvalidModel) if the
/// files contradict one another, with all contradictions in one message,
/// [`ErrorKind::Limit`](crate::ErrorKind::Limit) past a limit.
pub fn open(folder: impl AsRef<Path>, options: &FolderOptions) -> Result<Folder> {
    let folder = folder.as_ref();
    read(folder, options).context(|| format!("model folder `{}`", folder.display()))
}

/// The folder that contains `tokenizer.json`.
pub(crate) fn tokenizer_folder(folder: &Path) -> Result<PathBuf> {
    Ok(sentence::read(folder)?.transformer)
}

pub(crate) fn read(folder: &Path, options: &FolderOptions) -> Result<Folder> {
    if !find(folder, "a Hugging Face folder of a text encoder")?.is_dir() {
        let message = "is not a folder; a text model is a folder with its weights, config.json and tokenizer.json";
        return Err(Error::invalid_input(message));
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
    let mut sources = vec![weights];
    let behind = behind::embedding(&sentence, config.hidden, options, &mut sources)?;
    notes.extend(sentence.notes);
    notes.extend(sources.iter().find_map(weights::Weights::notes));
    let name = folder.file_name().map_or_else(|| "model".into(), |name| name.to_string_lossy());
    let build = || encoder::build(&name, &config, tensors, &sources, &behind.stages);
    let graph = pool(None)?.run_once(build)?;
    let positions = config.positions;
    let max_tokens = sentence.max_tokens.unwrap_or(positions.count);
    if max_tokens > positions.count {
        notes.push(format!("the folder allows {max_tokens} tokens, the model has {} positions", positions.count));
    }
    Ok(Folder {
        graph,
        max_tokens: max_tokens.min(positions.count),
        positions,
        position_ids: config.has_position_ids(),
        dimension: behind.width,
        vocabulary: config.vocabulary,
        token_types: config.token_types,
        lowercase: sentence.lowercase,
        prompt: sentence.prompt,
        pooling: (behind.pooling.clone(), behind.is_normalized()),
        further: behind.further,
        tokenizer_folder: transformer,
        notes,
        files: sources.into_iter().flat_map(weights::Weights::into_files).collect(),
    })
}
