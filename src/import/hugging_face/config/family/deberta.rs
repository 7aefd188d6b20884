//! DeBERTa v2 and v3: attention by contents and by relative positions.

use serde_json::Value;

use super::{MAX_LAYERS, activation, epsilon, vocabulary};
use crate::{
    error::{Error, Result},
    import::hugging_face::{
        Positions,
        config::{Config, Disentangled, Family, LayerKind, NormKind, Placement, reader::Reader},
    },
    kernels::attention::Reach,
};

/// The largest distance that has a position of its own.
const MAX_DISTANCE: usize = 1 << 16;

pub(super) fn read(reader: &Reader) -> Result<Config> {
    let hidden = reader.size("hidden_size", 1..=1 << 16, Some(1536));
    let heads = reader.size("num_attention_heads", 1..=1 << 12, Some(24));
    if !hidden.is_multiple_of(heads) {
        reader.problem(format!("hidden size {hidden} is not a multiple of {heads} heads"));
    }
    let head_dim = hidden / heads;
    reader.refuse_unless("attention_head_size", &[Value::from(head_dim)])?;
    // The convolution beside the first layer of the largest models.
    reader.refuse_unless("conv_kernel_size", &[Value::from(0)])?;
    let count = reader.size("num_hidden_layers", 1..=MAX_LAYERS, Some(24));
    let most = reader.size("max_position_embeddings", 1..=1 << 24, Some(512));
    let ways = ways(reader)?;
    let factor = 1 + ways.iter().filter(|way| **way).count();
    let types = reader.size("type_vocab_size", 0..=1 << 16, Some(0));
    Ok(Config {
        family: Family::DebertaV2,
        vocabulary: vocabulary(reader),
        hidden,
        embedding: Some(reader.size("embedding_size", 1..=1 << 16, Some(hidden))).filter(|own| *own != hidden),
        embedding_scale: 1.0,
        layers: vec![LayerKind { reach: Reach::ALL, rotary_base: None }; count],
        groups: count,
        heads,
        key_heads: heads,
        head_dim,
        scale: ((head_dim * factor) as f32).sqrt().recip(),
        intermediate: reader.size("intermediate_size", 1..=1 << 18, Some(6144)),
        position_rows: reader.flag("position_biased_input", true).then_some(most),
        positions: Positions { first: 0, count: most, skipped: None },
        token_types: (types > 0).then_some(types),
        relative: None,
        disentangled: disentangled(reader, most, ways)?,
        sloped: false,
        rotary_divisor: 1.0,
        placement: Placement::After,
        norm: NormKind::Layer,
        epsilon: epsilon(reader, "layer_norm_eps", 1e-7),
        activation: activation(reader, "hidden_act", "gelu")?,
        gated: false,
        normed_heads: false,
        patches: None,
        activation_factor: 1.0,
        scaled_halves: false,
        text_end: None,
    })
}

/// Whether queries are multiplied with the keys of positions, and keys with the queries of positions.
fn ways(reader: &Reader) -> Result<[bool; 2]> {
    let named = reader.texts("pos_att_type");
    let named: Vec<String> =
        named.iter().flat_map(|text| text.split('|')).map(|way| way.trim().to_lowercase()).collect();
    if let Some(other) = named.iter().find(|way| !matches!(way.as_str(), "c2p" | "p2c" | "")) {
        return Err(Error::unsupported(format!("pos_att_type `{other}`")));
    }
    Ok(["c2p", "p2c"].map(|way| named.iter().any(|own| own == way)))
}

fn disentangled(reader: &Reader, most: usize, [to_keys, to_queries]: [bool; 2]) -> Result<Option<Disentangled>> {
    // A number below 1 stands for another default.
    let size = |name: &str, default: usize| match reader.number(name, -1.0) {
        number if number < 1.0 => default,
        number if number.fract() == 0.0 && number <= MAX_DISTANCE as f64 => number as usize,
        number => {
            reader.problem(format!("{name} is {number} where at most {MAX_DISTANCE} is allowed"));
            default
        }
    };
    let (distances, buckets) = (size("max_relative_positions", most), size("position_buckets", 0));
    let shared = reader.flag("share_att_key", false);
    let normed = match reader.text("norm_rel_ebd", Some("none")).as_str() {
        "none" => false,
        "layer_norm" => true,
        other => return Err(Error::unsupported(format!("norm_rel_ebd `{other}`"))),
    };
    if !reader.flag("relative_attention", false) {
        return Ok(None);
    }
    let span = if buckets > 0 { buckets } else { distances };
    if !(4..=MAX_DISTANCE).contains(&span) || (buckets > 0 && distances <= buckets / 2 + 1) {
        reader.problem(format!("{span} relative positions for distances up to {distances}"));
    }
    let buckets_to = (buckets > 0).then_some(distances);
    Ok(Some(Disentangled { span, buckets_to, to_keys, to_queries, shared, normed }))
}
