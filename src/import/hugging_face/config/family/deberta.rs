//! DeBERTa: attention by contents and by relative positions.

use serde_json::Value;

use super::{MAX_LAYERS, activation, epsilon, vocabulary};
use crate::{
    error::{Error, Result},
    import::hugging_face::{
        Positions,
        config::{Config, Convolution, Disentangled, Family, reader::Reader},
    },
};

/// The most numbers of the matrix that a convolution with groups becomes.
const MAX_FILTERS: usize = 1 << 26;

/// The largest distance that has a position of its own.
const MAX_DISTANCE: usize = 1 << 16;

pub(super) fn read(reader: &Reader, family: Family) -> Result<Config> {
    // The sizes that transformers takes where the file is silent.
    let [own_hidden, own_heads, own_layers, own_intermediate] =
        if family == Family::Deberta { [768, 12, 12, 3072] } else { [1536, 24, 24, 6144] };
    let hidden = reader.size("hidden_size", 1..=1 << 16, Some(own_hidden));
    let heads = reader.size("num_attention_heads", 1..=1 << 12, Some(own_heads));
    if !hidden.is_multiple_of(heads) {
        reader.problem(format!("hidden size {hidden} is not a multiple of {heads} heads"));
    }
    let head_dim = hidden / heads;
    reader.refuse_unless("attention_head_size", &[Value::from(head_dim)])?;
    let count = reader.size("num_hidden_layers", 1..=MAX_LAYERS, Some(own_layers));
    let convolution = match family {
        Family::Deberta => {
            reader.refuse_unless("talking_head", &[Value::from(false)])?;
            None
        }
        _ => convolution(reader, hidden)?,
    };
    let most = reader.size("max_position_embeddings", 1..=1 << 24, Some(512));
    let ways = ways(reader)?;
    let factor = 1 + ways.iter().filter(|way| **way).count();
    let types = reader.size("type_vocab_size", 0..=1 << 16, Some(0));
    Ok(Config {
        vocabulary: vocabulary(reader),
        embedding: Some(reader.size("embedding_size", 1..=1 << 16, Some(hidden))).filter(|own| *own != hidden),
        scale: ((head_dim * factor) as f32).sqrt().recip(),
        intermediate: reader.size("intermediate_size", 1..=1 << 18, Some(own_intermediate)),
        position_rows: reader.flag("position_biased_input", true).then_some(most),
        positions: Positions { first: 0, count: most, skipped: None },
        token_types: (types > 0).then_some(types),
        disentangled: disentangled(reader, family, most, ways)?,
        convolution,
        epsilon: epsilon(reader, "layer_norm_eps", 1e-7),
        activation: activation(reader, "hidden_act", "gelu")?,
        ..Config::plain(family, hidden, heads, count)
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

/// The convolution beside the first layer of the largest models.
fn convolution(reader: &Reader, hidden: usize) -> Result<Option<Convolution>> {
    let kernel = reader.size("conv_kernel_size", 0..=255, Some(0));
    let groups = reader.size("conv_groups", 1..=1 << 16, Some(1));
    let activation = activation(reader, "conv_act", "tanh")?;
    if kernel == 0 {
        return Ok(None);
    }
    if kernel.is_multiple_of(2) {
        let message = format!("conv_kernel_size is {kernel}; a convolution of even size has other rows than its input");
        return Err(Error::unsupported(message));
    }
    if !hidden.is_multiple_of(groups) {
        reader.problem(format!("hidden size {hidden} is not a multiple of {groups} groups (conv_groups)"));
        return Ok(None);
    }
    // Groups become one matrix with zeros, which is larger than the file's filters.
    let numbers = kernel.saturating_mul(hidden).saturating_mul(hidden);
    if groups > 1 && numbers > MAX_FILTERS {
        let message =
            format!("a convolution of {groups} groups as a matrix of {numbers} numbers; the limit is {MAX_FILTERS}");
        return Err(Error::limit(message));
    }
    Ok(Some(Convolution { kernel, groups, activation }))
}

fn disentangled(
    reader: &Reader,
    family: Family,
    most: usize,
    [to_keys, to_queries]: [bool; 2],
) -> Result<Option<Disentangled>> {
    // A number below 1 stands for another default.
    let size = |name: &str, default: usize| match reader.number(name, -1.0) {
        number if number < 1.0 => default,
        number if number.fract() == 0.0 && number <= MAX_DISTANCE as f64 => number as usize,
        number => {
            reader.problem(format!("{name} is {number} where at most {MAX_DISTANCE} is allowed"));
            default
        }
    };
    let distances = size("max_relative_positions", most);
    let (mut buckets, mut shared, mut normed) = (0, false, false);
    // The first generation reads none of these.
    if family != Family::Deberta {
        (buckets, shared) = (size("position_buckets", 0), reader.flag("share_att_key", false));
        normed = match reader.text("norm_rel_ebd", Some("none")).as_str() {
            "none" => false,
            "layer_norm" => true,
            other => return Err(Error::unsupported(format!("norm_rel_ebd `{other}`"))),
        };
    }
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
