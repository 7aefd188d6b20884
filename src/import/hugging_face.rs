//! The reader of Hugging Face folders with an encoder.
//!
//! A folder contains `config.json`, `model.safetensors` or `pytorch_model.bin` (or the shards of
//! an index) and the files of sentence-transformers. They become one
//! graph over packed tokens, where the texts of a run are concatenated without padding.
//!
//! Inputs: `input_ids`, and if the model has them `token_type_ids`, `position_ids` and `decoder_input_ids`, each i32
//! `[tokens]`, and `text_end` f32 `[tokens, 1]`. Outputs: `last_hidden_state` f32 `[tokens, hidden]` and
//! `sentence_embedding` f32 `[texts, width]`, or `logits` f32 `[texts, classes]`; with several heads also
//! `token_weights` f32 `[tokens, 1]` and `token_vectors` f32 `[tokens, width]`.

mod behind;
mod classes;
mod config;
mod encoder;
pub(crate) mod files;
mod folder;
mod folder_options;
mod hybrid;
#[cfg(feature = "vision")]
mod image_settings;
#[cfg(feature = "vision")]
mod images;
mod problems;
mod purpose;
mod scores;
mod sentence;
mod static_rules;
mod static_vectors;
mod weights;
mod words;

use std::path::{Path, PathBuf};

pub(crate) use config::{DecoderStart, TextEnd};
pub(crate) use encoder::{DECODER_IDS, ENDS};
pub(crate) use folder::FolderAdapters;
pub use folder::{Folder, Positions};
pub use folder_options::FolderOptions;
pub(crate) use hybrid::{TOKEN_VECTORS, TOKEN_WEIGHTS, open_hybrid};
#[cfg(feature = "vision")]
pub(crate) use image_settings::{Filter, ImageSettings, ImageSize};
#[cfg(feature = "vision")]
pub(crate) use images::{ImageFolder, open_image_classes, open_images};
pub(crate) use purpose::Purpose;
pub use scores::Scores;
pub(crate) use scores::best_class;
pub use sentence::Prompts;
pub(crate) use sentence::{Late, Side, Splade};
pub(crate) use static_rules::StaticRules;

pub use crate::ops::pool::segment_pool::SegmentPoolMode as Pooling;
use crate::{
    error::{Context, Error, Result},
    import::{
        find::find,
        hugging_face::{
            behind::Behind,
            classes::Head,
            config::{Config, Tower},
            encoder::Affine,
            problems::Problems,
            sentence::Sentence,
            weights::Weights,
            words::WordHead,
        },
        options::ImportOptions,
    },
    threads::pool::load_pool,
};

/// The settings of an adapter of PEFT beside an encoder's files.
const ADAPTER: &str = "adapter_config.json";

/// The graph output that contains the vector of each text.
pub(crate) const VECTOR: &str = "sentence_embedding";

/// The graph output that contains the numbers of each text's classes.
pub(crate) const CLASSES: &str = "logits";

/// The classes of a folder and how their scores are made.
#[derive(Debug)]
pub(crate) struct Classes {
    pub(crate) labels: Vec<String>,
    pub(crate) scores: Scores,
}

/// Reads a folder.
///
/// # Errors
/// [`ErrorKind::Io`](crate::ErrorKind::Io) if a file is missing or unreadable,
/// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) for another model family, other
/// modules, or weights that are more than tensors, [`ErrorKind::InvalidModel`](crate::ErrorKind::InvalidModel) if the
/// files contradict one another, with all contradictions in one message,
/// [`ErrorKind::Limit`](crate::ErrorKind::Limit) past a limit.
pub fn open(folder: impl AsRef<Path>, options: &FolderOptions) -> Result<Folder> {
    let folder = folder.as_ref();
    read(folder, options).context(|| format!("model folder `{}`", folder.display()))
}

/// Reads a folder with a head for classes.
pub(crate) fn open_classes(folder: &Path, options: &FolderOptions, purpose: Purpose) -> Result<(Folder, Classes)> {
    read_classes(folder, options, purpose).context(|| format!("model folder `{}`", folder.display()))
}

/// Reads a folder that gives each token a vector.
pub(crate) fn open_token_vectors(folder: &Path, options: &FolderOptions) -> Result<(Folder, Late)> {
    read_token_vectors(folder, options).context(|| format!("model folder `{}`", folder.display()))
}

fn read_token_vectors(folder: &Path, options: &FolderOptions) -> Result<(Folder, Late)> {
    const PROJECTION: &str = "linear.weight";
    check_is_folder(folder)?;
    let sentence = sentence::read(folder, Purpose::TokenVectors)?;
    let late = sentence.late.clone();
    let others: &[&str] = if late.inline { &[PROJECTION] } else { &[] };
    let (mut encoder, projection) =
        Encoder::read(&sentence.transformer, &options.import, others, |config, weights, problems| {
            if config.decoder.is_some() {
                return Err(Error::unsupported("a vector of each token behind a decoder"));
            }
            let projection = || Affine::find_of_any_width(weights, PROJECTION, config.hidden, false, problems);
            Ok(late.inline.then(projection))
        })?;
    let hidden = encoder.config.hidden;
    let behind = behind::token_vectors(&late, hidden, projection, &options.import, &mut encoder.sources)?;
    Ok((encoder.into_folder(folder, sentence, vec![(VECTOR, behind)], options)?, late))
}

/// How the numbers of a folder's words become a sparse vector.
#[derive(Debug)]
pub(crate) struct Words {
    pub(crate) splade: Splade,
    /// The most words with a weight.
    pub(crate) most: Option<usize>,
}

/// Reads a folder with a masked-word head.
pub(crate) fn open_words(folder: &Path, options: &FolderOptions) -> Result<(Folder, Words)> {
    read_words(folder, options).context(|| format!("model folder `{}`", folder.display()))
}

fn read_words(folder: &Path, options: &FolderOptions) -> Result<(Folder, Words)> {
    check_is_folder(folder)?;
    let sentence = sentence::read(folder, Purpose::Words)?;
    let transformer = sentence.transformer.clone();
    let (encoder, stages) = Encoder::read(&transformer, &options.import, &[], |config, weights, problems| {
        WordHead::read(&transformer, config.family)?.stages(config, weights, problems)
    })?;
    let width = encoder.config.vocabulary;
    let words = Words { splade: sentence.splade, most: sentence.most_words };
    let behind = Behind { stages, width, pooling: Vec::new(), steps: format!("weights of {width} words") };
    Ok((encoder.into_folder(folder, sentence, vec![(VECTOR, behind)], options)?, words))
}

/// The folder that contains the tokenizer's files, and whether tokenizer.json alone of them is read.
pub(crate) fn tokenizer_folder(folder: &Path, purpose: Purpose) -> Result<(PathBuf, bool)> {
    let sentence = sentence::read(folder, purpose)?;
    Ok((sentence.transformer, sentence.static_rules.is_some()))
}

pub(crate) fn read(folder: &Path, options: &FolderOptions) -> Result<Folder> {
    check_is_folder(folder)?;
    let sentence = sentence::read(folder, Purpose::Vectors)?;
    if sentence.static_rules.is_some() {
        return static_vectors::read(folder, sentence, options, VECTOR);
    }
    let dimension = sentence.dimension;
    let task = options.task.clone().unwrap_or_else(|| sentence.prompts.default_name.clone().unwrap_or_default());
    let source = (sentence.transformer.as_path(), Tower::Texts, task.as_str());
    let (mut encoder, tower) = Encoder::read_tower(source, &options.import, &[], |config, weights, problems| {
        if let Some(dimension) = dimension.filter(|dimension| *dimension != config.hidden) {
            let hidden = config.hidden;
            problems.add(|| format!("the pooling is for vectors of {dimension}, hidden_size is {hidden}"));
        }
        Ok(behind::text_tower(config, weights, problems))
    })?;
    let behind = behind::embedding(&sentence, encoder.config.hidden, tower, options, &mut encoder.sources)?;
    encoder.into_folder(folder, sentence, vec![(VECTOR, behind)], options)
}

fn read_classes(folder: &Path, options: &FolderOptions, purpose: Purpose) -> Result<(Folder, Classes)> {
    check_is_folder(folder)?;
    let sentence = sentence::read(folder, purpose)?;
    let transformer = sentence.transformer.clone();
    let source = (transformer.as_path(), Tower::TextClasses, "");
    let (encoder, (head, stages)) = Encoder::read_tower(source, &options.import, &[], |config, weights, problems| {
        let head = Head::read(&transformer, config.family, purpose)?;
        let stages = head.stages(config, weights, problems)?;
        Ok((head, stages))
    })?;
    let scores = match purpose {
        Purpose::Pairs if head.count != 1 => {
            let count = head.count;
            let message =
                format!("the model has {count} classes; a reranker has one score, a PairClassifier takes such models");
            return Err(Error::unsupported(message));
        }
        Purpose::Pairs => sentence.scores.or(head.pair_scores).unwrap_or(Scores::Sigmoid),
        _ => head.scores,
    };
    let behind = Behind { stages, width: head.count, pooling: Vec::new(), steps: format!("{} classes", head.count) };
    let mut folder = encoder.into_folder(folder, sentence, vec![(CLASSES, behind)], options)?;
    if purpose == Purpose::Classes && head.on_pairs {
        let note = "the model was trained on pairs of texts; a classifier gives it single ones, a PairClassifier pairs";
        folder.notes.push(note.to_owned());
    }
    folder.pad = head.pad.filter(|_| purpose != Purpose::Tokens);
    Ok((folder, Classes { labels: head.labels(), scores }))
}

fn check_is_folder(folder: &Path) -> Result<()> {
    if find(folder, "a Hugging Face folder of a text encoder")?.is_dir() {
        return Ok(());
    }
    let message = "is not a folder; a text model is a folder with its weights, config.json and tokenizer.json";
    Err(Error::invalid_input(message))
}

/// An encoder, read but for its weights.
struct Encoder {
    config: Config,
    tensors: encoder::Tensors,
    /// The files of the encoder's weights, then those of what stands behind it.
    sources: Vec<Weights>,
    notes: Vec<String>,
}

impl Encoder {
    /// Reads an encoder of texts, and with `behind` what its files hold beside it, such as the tensors `others`.
    fn read<T>(
        folder: &Path,
        options: &ImportOptions,
        others: &[&str],
        behind: impl FnOnce(&Config, &Weights, &mut Problems) -> Result<T>,
    ) -> Result<(Self, T)> {
        Self::read_tower((folder, Tower::Texts, ""), options, others, behind)
    }

    /// Reads an encoder with the adapter for `task`, if it has one.
    fn read_tower<T>(
        (folder, tower, task): (&Path, Tower, &str),
        options: &ImportOptions,
        others: &[&str],
        behind: impl FnOnce(&Config, &Weights, &mut Problems) -> Result<T>,
    ) -> Result<(Self, T)> {
        // transformers would take the weights of another folder, and add the adapter.
        if folder.join(ADAPTER).exists() {
            return Err(Error::unsupported(format!(
                "`{ADAPTER}`, an adapter of PEFT; merge it into the weights (`merge_and_unload`) and save the folder again"
            )));
        }
        let (mut config, mut notes) = config::read(folder, tower)?;
        notes.extend(config.adapters.as_mut().map(|adapters| adapters.choose(task)));
        let weights = Weights::open(folder, options)?;
        let mut problems = Problems::default();
        let behind = behind(&config, &weights, &mut problems)?;
        let tensors = encoder::resolve(&config, &weights, others, &mut problems);
        problems.finish("the files do not fit together")?;
        Ok((Self { config, tensors, sources: vec![weights], notes }, behind))
    }

    /// Builds the graph, with an output for each of `heads`, the first of which gives texts their vectors or classes.
    fn into_folder(
        self,
        folder: &Path,
        mut sentence: Sentence,
        heads: Vec<(&'static str, Behind)>,
        options: &FolderOptions,
    ) -> Result<Folder> {
        let hides_keys = sentence.late.hides_keys();
        let Self { mut config, tensors, sources, mut notes } = self;
        config.allow_tokens(options.max_tokens.unwrap_or(0).max(sentence.asked_tokens(&config).unwrap_or(0)));
        notes.extend(sentence.notes);
        notes.extend(sources.iter().find_map(Weights::notes));
        let name = folder.file_name().map_or_else(|| "model".into(), |name| name.to_string_lossy());
        let stages: Vec<_> = heads.iter().map(|(output, behind)| (*output, behind.stages.as_slice())).collect();
        let build = || encoder::build(&name, &config, tensors, &sources, &stages, hides_keys);
        let graph = load_pool(None)?.run_once(build)?;
        let positions = config.positions;
        let max_tokens = sentence.max_tokens.unwrap_or(positions.count);
        if max_tokens > positions.count {
            notes.push(format!("the folder allows {max_tokens} tokens, the model has {} positions", positions.count));
        }
        let all: Vec<_> = heads.iter().map(|(_, behind)| behind.steps.as_str()).collect();
        let mut steps = all.join("; ");
        let (_, first) = heads.first().ok_or_else(|| Error::internal("an encoder without a head"))?;
        let pooling = (first.pooling.clone(), first.is_normalized());
        let adapters = config.adapters.take().map(|adapters| {
            for (task, text) in adapters.instructions {
                sentence.prompts.named.entry(task).or_insert(text);
            }
            FolderAdapters { chosen: adapters.chosen.map(|task| adapters.tasks[task].clone()), tasks: adapters.tasks }
        });
        let end = config.decoder.as_ref().map(|decoder| decoder.end).filter(|_| first.is_at_end());
        if let Some(task) = adapters.as_ref().and_then(|adapters| adapters.chosen.as_ref()) {
            steps.push_str(&format!(", adapter {task:?}"));
        }
        Ok(Folder {
            graph,
            max_tokens: max_tokens.min(positions.count),
            positions,
            position_ids: config.has_position_ids(),
            dimension: first.width,
            vocabulary: config.vocabulary,
            token_types: config.token_types,
            one_token_type: sentence.one_token_type,
            pad: None,
            text_end: config.text_end,
            decoder: config.decoder.as_ref().map(|decoder| decoder.start),
            end,
            scaled_by_mask: config.scaled_by_mask,
            lowercase: sentence.lowercase,
            prompts: sentence.prompts,
            markers: sentence.late.markers,
            pooling,
            steps,
            adapters,
            tokenizer_folder: sentence.transformer,
            static_rules: None,
            notes,
            files: sources.into_iter().flat_map(Weights::into_files).collect(),
        })
    }
}
