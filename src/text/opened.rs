//! Opening a folder with a text encoder.

use std::{
    path::Path,
    sync::{Arc, atomic::AtomicU64},
    time::Instant,
};

use crate::{
    backend::{Session, options::SessionOptions},
    error::{Context, Error, Result},
    graph::Graph,
    import::{
        hugging_face::{Folder, Purpose, tokenizer_folder},
        origin::fingerprint_of,
    },
    text::{encoder_model::EncoderModel, prepare::Prepare, tokenizer::TextTokenizer},
    threads::pool::pool,
};

/// A model, and the step before it.
pub(super) struct Opened {
    pub(super) model: EncoderModel,
    pub(super) prepare: Prepare,
    /// The columns of the model's output.
    pub(super) dimension: usize,
    pub(super) max_tokens: usize,
}

/// How a folder is opened.
pub(super) struct Opening<'a> {
    pub(super) path: &'a Path,
    pub(super) purpose: Purpose,
    /// The graph output that is used.
    pub(super) output: &'static str,
    pub(super) session: &'a SessionOptions,
    pub(super) max_tokens: Option<usize>,
}

impl Opening<'_> {
    /// Opens the folder that `read` reads, with whatever else it returns.
    pub(super) fn open<H: Send>(self, read: impl FnOnce() -> Result<(Folder, H)> + Send) -> Result<(Opened, H)> {
        let Self { path, purpose, output, session, max_tokens } = self;
        let started = Instant::now();
        let in_folder = || format!("model folder `{}`", path.display());
        // Both take about as long, so they run in parallel.
        let load = || {
            let (mut folder, head) = read()?;
            let of_option = max_tokens.is_some();
            let max_tokens = max_tokens.unwrap_or(folder.max_tokens);
            if let Some(words) = &mut folder.static_rules {
                words.limited |= of_option;
            }
            if max_tokens > folder.positions.count {
                let count = folder.positions.count;
                return Err(Error::invalid_input(format!("{max_tokens} tokens; the model has {count} positions"))
                    .context(in_folder()));
            }
            let graph = std::mem::replace(&mut folder.graph, Graph::new(""));
            let session = Session::load(graph, &session.clone().outputs([output]))?;
            Ok((folder, head, max_tokens, session))
        };
        let parse = || {
            let (folder, alone) = tokenizer_folder(path, purpose)?;
            TextTokenizer::parse_in(&folder, alone)
        };
        let (loaded, tokenizer) = pool(None)?.run_once(|| rayon::join(load, parse));
        let (folder, head, max_tokens, session) = loaded?;
        let in_file = || format!("model folder `{}`: `tokenizer.json`", path.display());
        let tokenizer = tokenizer.context(in_folder)?;
        let tokenizer = match purpose {
            Purpose::Pairs => TextTokenizer::for_pairs(tokenizer, max_tokens),
            _ => match folder.static_rules {
                Some(words) => TextTokenizer::for_static(tokenizer, max_tokens, words),
                None => TextTokenizer::new(tokenizer, max_tokens),
            },
        };
        let tokenizer = tokenizer.context(in_file)?.lowercase(folder.lowercase);
        let files = folder.files;
        let session = session.with_origin(started, folder.notes, move || fingerprint_of(&files));
        let options = format!(
            "{max_tokens} tokens, {}, lower case {}, prompt {:?}, tokenizer {}",
            folder.steps,
            folder.lowercase,
            folder.prompt,
            tokenizer.fingerprint()
        );
        let truncated = Arc::new(AtomicU64::new(0));
        let prepare = Prepare {
            tokenizer,
            positions: folder.position_ids.then_some(folder.positions),
            prompt: folder.prompt,
            vocabulary: folder.vocabulary,
            token_types: folder.token_types,
            one_token_type: folder.one_token_type,
            pad: folder.pad,
            may_be_empty: folder.static_rules.is_some(),
            names: ["input_ids", "token_type_ids", "position_ids"].map(Arc::from),
            truncated: truncated.clone(),
        };
        let model = EncoderModel { session, output, truncated, options };
        Ok((Opened { model, prepare, dimension: folder.dimension, max_tokens }, head))
    }
}
