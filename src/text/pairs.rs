//! Pairs of texts, read by the encoder as one.

use std::{iter, sync::Arc};

use crate::{
    inference::Pipeline,
    text::{encoder_model::EncoderModel, opened::Opened},
};

/// Two texts.
pub(super) type Pair = (Arc<str>, Arc<str>);

/// Pairs of what callers have, as pairs of shared texts.
pub(super) type Shared<It, A, B> = iter::Map<It, fn((A, B)) -> Pair>;

/// Pairs of shared texts, of those that callers have.
pub(super) fn shared<It, A, B>(pairs: It) -> Shared<It::IntoIter, A, B>
where
    It: IntoIterator<Item = (A, B)>,
    A: Into<Arc<str>>,
    B: Into<Arc<str>>,
{
    let shared: fn((A, B)) -> Pair = |(first, second)| (first.into(), second.into());
    pairs.into_iter().map(shared)
}

/// The model and the step before it, with a prompt before the first text of each pair.
pub(super) fn pipeline(opened: &Opened, prompt: Arc<str>) -> Pipeline<Pair, EncoderModel, Vec<Vec<f32>>> {
    let prepare = opened.prepare.clone();
    let model = opened.model.with_options(&format!("prompt {prompt:?}"));
    let truncated = model.truncated.clone();
    Pipeline::new(model)
        .prepare(move |(first, second): &Pair| {
            Ok(truncated.count(match &*prompt {
                "" => prepare.pair(first, second)?,
                prompt => prepare.pair(&format!("{prompt}{first}"), second)?,
            }))
        })
        .item_bytes(|(first, second): &Pair| first.len() + second.len())
}
