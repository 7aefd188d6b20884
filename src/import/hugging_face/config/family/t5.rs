//! T5: encoders with a bias by distance, and the decoders that heads for classes stand behind.

use super::{MAX_LAYERS, decoder_start, epsilon, vocabulary};
use crate::{
    error::{Error, Result},
    import::hugging_face::{
        Positions,
        config::{Config, Decoder, Family, LayerKind, NormKind, Placement, RelativeBuckets, reader::Reader},
    },
    kernels::{Activation, attention::Reach},
};

/// An encoder of the type `kind`, with its decoder if that is wanted.
pub(super) fn read(reader: &Reader, kind: &str, with_decoder: bool) -> Result<Config> {
    // The multilingual forms have other defaults.
    let multilingual = kind != "t5";
    let or = |own: usize, other: usize| Some(if multilingual { other } else { own });
    let feed_forward = if multilingual { "gated-gelu" } else { "relu" };
    let (activation, gated) = match reader.text("feed_forward_proj", Some(feed_forward)).as_str() {
        "relu" => (Activation::Relu, false),
        "gated-gelu" => (Activation::GeluTanh, true),
        "gated-silu" => (Activation::Silu, true),
        other => return Err(Error::unsupported(format!("feed_forward_proj `{other}`"))),
    };
    // What follows from feed_forward_proj, and what fills up texts that stand side by side.
    for other in ["dense_act_fn", "is_gated_act", "pad_token_id"] {
        reader.ignore(other);
    }
    let heads = reader.size("num_heads", 1..=1 << 12, or(8, 6));
    let head_dim = reader.size("d_kv", 1..=1 << 12, Some(64));
    let layers = reader.size("num_layers", 1..=MAX_LAYERS, or(6, 8));
    let most = reader.size("n_positions", 1..=1 << 24, Some(512));
    let vocabulary = vocabulary(reader);
    let hidden = reader.size("d_model", 1..=1 << 16, Some(512));
    let mut encoder = Config {
        vocabulary,
        head_dim,
        scale: 1.0,
        intermediate: reader.size("d_ff", 1..=1 << 18, or(2048, 1024)),
        positions: Positions { first: 0, count: most, skipped: None },
        relative: Some(RelativeBuckets {
            buckets: reader.size("relative_attention_num_buckets", 4..=1 << 12, Some(32)),
            most: reader.size("relative_attention_max_distance", 2..=1 << 16, Some(128)),
            in_each_layer: kind == "umt5",
            one_sided: false,
        }),
        placement: Placement::Before,
        norm: NormKind::Rms,
        epsilon: epsilon(reader, "layer_norm_epsilon", 1e-6),
        activation,
        gated,
        ..Config::plain(Family::T5, hidden, heads, layers)
    };
    if with_decoder {
        encoder.decoder = Some(Box::new(decoder(reader, &encoder)));
    }
    Ok(encoder)
}

fn decoder(reader: &Reader, encoder: &Config) -> Decoder {
    let count = reader.size("num_decoder_layers", 1..=MAX_LAYERS, Some(encoder.layers.len()));
    let config = Config {
        family: Family::T5Decoder,
        layers: vec![LayerKind { reach: Reach::CAUSAL, rotary: None }; count],
        groups: count,
        relative: encoder.relative.map(|relative| RelativeBuckets { one_sided: true, ..relative }),
        ..encoder.clone()
    };
    let start = decoder_start(reader, encoder.vocabulary, 0);
    Decoder { config, start, end: reader.size("eos_token_id", 0..=1 << 24, Some(1)) as u32 }
}
