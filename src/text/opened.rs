//! Opening a folder with a text encoder.

use std::{path::Path, sync::Arc, time::Instant};

use crate::{
    backend::{Session, options::SessionOptions},
    error::{Context, Error, Result},
    graph::Graph,
    import::{
        hugging_face::{DECODER_IDS, ENDS, Folder, FolderAdapters, Prompts, Purpose, TextEnd, tokenizer_folder},
        origin::fingerprint_of,
    },
    text::{
        encoder_model::{EncoderModel, Truncated},
        prepare::{End, Prepare},
        tokenizer::{Parsed, TextTokenizer, Unit},
    },
    threads::pool::load_pool,
};

/// A model, and the step before it.
pub(super) struct Opened {
    pub(super) model: EncoderModel,
    pub(super) prepare: Arc<Prepare>,
    /// The columns of the model's output.
    pub(super) dimension: usize,
    pub(super) max_tokens: usize,
    /// The number of tokens that have a position.
    pub(super) most_tokens: usize,
    pub(super) prompts: Prompts,
    /// The tasks that have adapters of the weights.
    pub(super) adapters: Option<FolderAdapters>,
    /// Whether each vector has the length 1.
    pub(super) is_normalized: bool,
}

/// How a folder is opened.
pub(super) struct Opening<'a> {
    pub(super) path: &'a Path,
    pub(super) purpose: Purpose,
    /// The graph outputs that are used.
    pub(super) outputs: &'a [&'static str],
    pub(super) session: &'a SessionOptions,
    pub(super) max_tokens: Option<usize>,
    /// What the tokenizer is set up for.
    pub(super) unit: Unit,
}

impl Opening<'_> {
    /// Opens the folder that `read` reads, with whatever else it returns.
    pub(super) fn open<H: Send>(self, read: impl FnOnce() -> Result<(Folder, H)> + Send) -> Result<(Opened, H)> {
        let Self { path, purpose, outputs, session, max_tokens, unit } = self;
        let started = Instant::now();
        let in_folder = || format!("model folder `{}`", path.display());
        // Both take about as long, so they run in parallel.
        let load = || {
            let (mut folder, head) = read()?;
            let of_option = max_tokens.is_some();
            let max_tokens = max_tokens.unwrap_or(folder.max_tokens);
            if let Some(rules) = &mut folder.static_rules {
                rules.limited |= of_option;
            }
            if max_tokens > folder.positions.count {
                let count = folder.positions.count;
                return Err(Error::invalid_input(format!("{max_tokens} tokens; the model has {count} positions"))
                    .context(in_folder()));
            }
            let graph = std::mem::replace(&mut folder.graph, Graph::new(""));
            let session = Session::load(graph, &session.clone().outputs(outputs.iter().copied()))?;
            Ok((folder, head, max_tokens, session))
        };
        let parse = || {
            let (folder, alone) = tokenizer_folder(path, purpose)?;
            TextTokenizer::parse_in(&folder, alone)
        };
        let (loaded, tokenizer) = load_pool(session.workers)?.run_once(|| rayon::join(load, parse));
        let (folder, head, max_tokens, session) = loaded?;
        let in_file = || format!("model folder `{}`: `tokenizer.json`", path.display());
        let mut tokenizer = tokenizer.context(in_folder)?;
        tokenizer.register(&folder.markers).context(in_file)?;
        let end = end(&folder, &tokenizer).context(in_folder)?;
        let tokenizer = TextTokenizer::set_up(tokenizer, max_tokens, unit, folder.static_rules);
        let tokenizer = tokenizer.context(in_file)?.lowercase(folder.lowercase);
        let files = folder.files;
        let session = session.with_origin(started, folder.notes, move || fingerprint_of(&files));
        let options = format!(
            "{max_tokens} tokens, {}, lower case {}, tokenizer {}",
            folder.steps,
            folder.lowercase,
            tokenizer.fingerprint()
        );
        let prepare = Prepare {
            tokenizer,
            positions: folder.position_ids.then_some(folder.positions),
            vocabulary: folder.vocabulary,
            token_types: folder.token_types,
            one_token_type: folder.one_token_type,
            pad: folder.pad,
            end,
            decoder: folder.decoder,
            marked: folder.end,
            scaled_by_mask: folder.scaled_by_mask,
            may_be_empty: folder.static_rules.is_some(),
            names: ["input_ids", "token_type_ids", "position_ids", DECODER_IDS, ENDS].map(Arc::from),
        };
        let (session, outputs) = (Arc::new(session), Arc::from(outputs));
        let model = EncoderModel { session, outputs, truncated: Truncated::default(), options };
        let opened = Opened {
            model,
            prepare: Arc::new(prepare),
            dimension: folder.dimension,
            max_tokens,
            most_tokens: folder.positions.count,
            prompts: folder.prompts,
            adapters: folder.adapters,
            is_normalized: folder.pooling.1,
        };
        Ok((opened, head))
    }
}

/// The token whose vector is that of a text.
fn end(folder: &Folder, tokenizer: &Parsed) -> Result<Option<End>> {
    Ok(match folder.text_end {
        None => None,
        Some(TextEnd::Token(end)) => Some(End::Token(end)),
        Some(TextEnd::Highest) => Some(End::Highest),
        Some(TextEnd::Padded) => Some(End::Padded(folder.positions.count, tokenizer.padding()?)),
    })
}
