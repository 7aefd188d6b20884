//! CLIP and SigLIP: encoders of texts beside those of images, whose layers these share.

#[cfg(feature = "vision")]
mod images;

#[cfg(feature = "vision")]
pub(in crate::import::hugging_face::config) use images::read_images;

use super::{MAX_LAYERS, activation, epsilon};
use crate::{
    error::Result,
    import::hugging_face::config::{Config, Family, Placement, TextEnd, reader::Reader},
    kernels::{Activation, attention::Reach},
};

/// The factor in `x sigmoid(1.702 x)`.
const QUICK_GELU: f32 = 1.702;

/// The settings that a class of transformers has where config.json is silent.
struct Defaults {
    hidden: usize,
    intermediate: usize,
    heads: usize,
    activation: &'static str,
    epsilon: f64,
}

const CLIP_TEXT: Defaults =
    Defaults { hidden: 512, intermediate: 2048, heads: 8, activation: "quick_gelu", epsilon: 1e-5 };
const SIGLIP: Defaults =
    Defaults { hidden: 768, intermediate: 3072, heads: 12, activation: "gelu_pytorch_tanh", epsilon: 1e-6 };

/// An encoder of texts beside one of images.
pub(super) fn read_texts(reader: &Reader, family: Family) -> Result<Config> {
    let clip = family == Family::ClipText;
    let mut config = layers(reader, family, if clip { &CLIP_TEXT } else { &SIGLIP })?;
    let rows = reader.size("max_position_embeddings", 1..=1 << 24, Some(if clip { 77 } else { 64 }));
    config.vocabulary = reader.size("vocab_size", 1..=1 << 26, Some(if clip { 49_408 } else { 32_000 }));
    (config.position_rows, config.positions.count) = (Some(rows), rows);
    if clip {
        config.layers.iter_mut().for_each(|layer| layer.reach = Reach::CAUSAL);
        // Older files name the wrong token, for which transformers takes the highest.
        config.text_end = Some(match reader.size("eos_token_id", 0..=1 << 24, Some(49_407)) {
            2 => TextEnd::Highest,
            end => TextEnd::Token(end as u32),
        });
    } else {
        config.text_end = Some(TextEnd::Padded);
    }
    reader.ignore("pad_token_id");
    Ok(config)
}

/// The layers, which all have their norms in front.
fn layers(reader: &Reader, family: Family, defaults: &Defaults) -> Result<Config> {
    let hidden = reader.size("hidden_size", 1..=1 << 16, Some(defaults.hidden));
    let heads = reader.size("num_attention_heads", 1..=1 << 12, Some(defaults.heads));
    if !hidden.is_multiple_of(heads) {
        reader.problem(format!("hidden size {hidden} is not a multiple of {heads} heads"));
    }
    let quick = |name: &str| name == "quick_gelu";
    let is_quick =
        reader.is_text("hidden_act", "quick_gelu") || !reader.has("hidden_act") && quick(defaults.activation);
    let (activation, activation_factor) = if is_quick {
        reader.ignore("hidden_act");
        (Activation::Silu, QUICK_GELU)
    } else {
        (activation(reader, "hidden_act", defaults.activation)?, 1.0)
    };
    #[cfg(feature = "vision")]
    let dinov2 = family == Family::Dinov2;
    #[cfg(not(feature = "vision"))]
    let dinov2 = false;
    let gated = dinov2 && reader.flag("use_swiglu_ffn", false);
    let intermediate = match dinov2 {
        true => {
            let ratio = reader.number("mlp_ratio", 4.0);
            if !(ratio > 0.0 && ratio < 64.0) {
                reader.problem(format!("mlp_ratio is {ratio}"));
            }
            let wide = (hidden as f64 * ratio) as usize;
            // Two thirds, rounded up to a multiple of 8.
            if gated { ((wide as f64 * 2.0 / 3.0) as usize).div_ceil(8) * 8 } else { wide }
        }
        false => reader.size("intermediate_size", 1..=1 << 18, Some(defaults.intermediate)),
    };
    let count = reader.size("num_hidden_layers", 1..=MAX_LAYERS, Some(12));
    Ok(Config {
        intermediate,
        placement: Placement::Before,
        epsilon: epsilon(reader, "layer_norm_eps", defaults.epsilon),
        activation: if gated { Activation::Silu } else { activation },
        gated,
        activation_factor: if gated { 1.0 } else { activation_factor },
        ..Config::plain(family, hidden, heads, count)
    })
}
