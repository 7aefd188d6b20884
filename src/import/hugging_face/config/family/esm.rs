//! ESM: encoders of proteins, with rotary positions or a table.

use serde_json::Value;

use super::{MAX_LAYERS, MAX_TURNED, epsilon, rotary, vocabulary};
use crate::{
    error::{Error, Result},
    import::hugging_face::{
        Positions,
        config::{Config, Family, LayerKind, Placement, reader::Reader},
    },
    kernels::attention::Reach,
};

/// The part of the words' vectors that training leaves: 0.8 of the 0.15 that are chosen are masked.
const KEPT_IN_TRAINING: f32 = 0.88;

pub(super) fn read(reader: &Reader) -> Result<Config> {
    reader.refuse_unless("is_folding_model", &[Value::from(false)])?;
    for other in ["esmfold_config", "vocab_list"] {
        reader.ignore(other);
    }
    // The second half always has gelu.
    reader.ignore("hidden_act");
    let hidden = reader.size("hidden_size", 1..=1 << 16, Some(768));
    let heads = reader.size("num_attention_heads", 1..=1 << 12, Some(12));
    if !hidden.is_multiple_of(heads) {
        reader.problem(format!("hidden size {hidden} is not a multiple of {heads} heads"));
    }
    let layers = reader.size("num_hidden_layers", 1..=MAX_LAYERS, Some(12));
    let pad = reader.size("pad_token_id", 0..=1 << 24, Some(1));
    let most = reader.size("max_position_embeddings", 1..=1 << 24, Some(1026));
    let angles = rotary::read(reader, None, &["rope_theta"], 10_000.0, most)?;
    let (rotary, position_rows, positions) = match reader.text("position_embedding_type", Some("absolute")).as_str() {
        "rotary" => (Some(angles), None, Positions { first: 0, count: most.min(MAX_TURNED), skipped: None }),
        "absolute" => {
            let first = pad + 1;
            if most <= first {
                reader.problem(format!("max_position_embeddings {most} leaves no position behind the first {first}"));
            }
            let count = most.saturating_sub(first);
            (None, Some(most), Positions { first, count, skipped: Some(pad as u32) })
        }
        other => return Err(Error::unsupported(format!("position_embedding_type `{other}`"))),
    };
    let dropped = reader.flag("token_dropout", false);
    let mask = reader.optional_size("mask_token_id", 1 << 24).and_then(|mask| u32::try_from(mask).ok());
    if dropped && mask.is_none() {
        reader.problem("token_dropout without mask_token_id".to_owned());
    }
    let family = if reader.flag("emb_layer_norm_before", false) { Family::EsmNormed } else { Family::Esm };
    Ok(Config {
        vocabulary: vocabulary(reader),
        embedding_scale: if dropped { KEPT_IN_TRAINING } else { 1.0 },
        layers: vec![LayerKind { reach: Reach::ALL, rotary }; layers],
        intermediate: reader.size("intermediate_size", 1..=1 << 18, Some(3072)),
        position_rows,
        positions,
        placement: Placement::Before,
        epsilon: epsilon(reader, "layer_norm_eps", 1e-12),
        scaled_by_mask: mask.filter(|_| dropped),
        ..Config::plain(family, hidden, heads, layers)
    })
}
