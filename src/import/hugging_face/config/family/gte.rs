//! GTE 1.5 and later, which its authors' code names "new".

use serde_json::Value;

use super::{MAX_LAYERS, MAX_TURNED, activation, epsilon, rotary, vocabulary};
use crate::{
    error::{Error, Result},
    import::hugging_face::{
        Positions,
        config::{Config, Family, LayerKind, Rotary, reader::Reader},
    },
    kernels::attention::Reach,
};

pub(super) fn read(reader: &Reader) -> Result<Config> {
    reader.refuse_unless("position_embedding_type", &[Value::from("rope")])?;
    reader.refuse_unless("layer_norm_type", &[Value::from("layer_norm")])?;
    reader.refuse_unless("pack_qkv", &[Value::from(true)])?;
    for off in ["logn_attention_scale", "logn_attention_clip1"] {
        reader.refuse_unless(off, &[Value::from(false)])?;
    }
    let hidden = reader.size("hidden_size", 1..=1 << 16, Some(768));
    let heads = reader.size("num_attention_heads", 1..=1 << 12, Some(12));
    if !hidden.is_multiple_of(heads) {
        reader.problem(format!("hidden size {hidden} is not a multiple of {heads} heads"));
    }
    let head_dim = hidden / heads;
    let count = reader.size("num_hidden_layers", 1..=MAX_LAYERS, Some(12));
    let most = reader.size("max_position_embeddings", 1..=1 << 24, Some(8192));
    let types = reader.size("type_vocab_size", 0..=1 << 16, Some(1));
    // Of settings without rope_parameters the authors' own code has another default.
    let parameters = reader.object("rope_parameters");
    let default = if parameters.is_some() { 160_000.0 } else { 10_000.0 };
    let rotary = rotary::read(reader, parameters.as_ref(), &["rope_theta"], default, most)?;
    let factor = scaling(reader)?;
    let layer = LayerKind { reach: Reach::ALL, rotary: Some(Rotary { base: rotary.base * factor, ..rotary }) };
    Ok(Config {
        vocabulary: vocabulary(reader),
        layers: vec![layer; count],
        intermediate: reader.size("intermediate_size", 1..=1 << 18, Some(3072)),
        positions: Positions { first: 0, count: most.min(MAX_TURNED), skipped: None },
        token_types: (types > 0).then_some(types),
        rotary_divisor: factor.powf(2.0 / head_dim as f64),
        epsilon: epsilon(reader, "layer_norm_eps", 1e-12),
        activation: activation(reader, "hidden_act", "gelu")?,
        gated: true,
        ..Config::plain(Family::Gte, hidden, heads, count)
    })
}

/// The factor by which the reach of rotary positions is widened.
fn scaling(reader: &Reader) -> Result<f64> {
    let Some(settings) = reader.object("rope_scaling") else { return Ok(1.0) };
    let mut factor = f64::NAN;
    for (name, value) in &settings {
        match (name.as_str(), value) {
            ("type" | "rope_type", Value::String(kind)) if kind == "ntk" => {}
            ("factor", value) if value.is_number() => factor = value.as_f64().unwrap_or(f64::NAN),
            (_, Value::Null) => {}
            _ => return Err(Error::unsupported(format!("rope_scaling with {name} {value}"))),
        }
    }
    if !(1.0..=1e6).contains(&factor) {
        reader.problem(format!("the factor of rope_scaling is {factor}"));
    }
    Ok(factor)
}
