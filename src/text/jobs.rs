//! The jobs over a text model.

use crate::{bulk, text::encoder_model::EncoderModel};

/// The pipeline of a text model, which clones share.
pub(super) type Jobs<T, R> = bulk::Jobs<T, EncoderModel, R>;
