//! EuroBERT, Gemma 3, Llama, Mistral, Qwen2 and Qwen3: encoders with the layers of language models.

use serde_json::Value;

use super::{MAX_LAYERS, MAX_TURNED, activation, epsilon, rotary, vocabulary, windowed_layers};
use crate::{
    error::{Error, Result},
    import::hugging_face::{
        Positions,
        config::{Config, Family, LayerKind, NormKind, Placement, reader::Reader},
    },
    kernels::attention::Reach,
};

pub(super) fn read(reader: &Reader, family: Family) -> Result<Config> {
    let gemma = family == Family::Gemma3;
    let hidden = reader.size("hidden_size", 1..=1 << 16, None);
    let heads = reader.size("num_attention_heads", 1..=1 << 12, None);
    let key_heads =
        reader.size("num_key_value_heads", 1..=1 << 12, Some(if family == Family::Mistral { 8 } else { heads }));
    let default = match family {
        Family::Gemma3 => 256,
        Family::Qwen3 => 128,
        _ => hidden / heads,
    };
    let head_dim = reader.size("head_dim", 1..=1 << 12, Some(default));
    let count = reader.size("num_hidden_layers", 1..=MAX_LAYERS, None);
    let most = reader.size("max_position_embeddings", 1..=1 << 24, None);
    for off in ["attention_bias", "mlp_bias"] {
        reader.refuse_unless(off, &[Value::from(false)])?;
    }
    reader.refuse_unless("attn_logit_softcapping", &[])?;
    let layers = if gemma { gemma_layers(reader, count, most)? } else { plain_layers(reader, family, count, most)? };
    let scale = match gemma {
        true => (reader.number("query_pre_attn_scalar", 256.0) as f32).sqrt().recip(),
        false => (head_dim as f32).sqrt().recip(),
    };
    if !scale.is_finite() {
        reader.problem("query_pre_attn_scalar is not above 0".to_owned());
    }
    Ok(Config {
        vocabulary: vocabulary(reader),
        embedding_scale: if gemma { (hidden as f32).sqrt() } else { 1.0 },
        layers,
        key_heads,
        head_dim,
        scale,
        intermediate: reader.size("intermediate_size", 1..=1 << 18, None),
        positions: Positions { first: 0, count: most.min(MAX_TURNED), skipped: None },
        placement: if gemma { Placement::Around } else { Placement::Before },
        norm: if gemma { NormKind::RmsFromOne } else { NormKind::Rms },
        epsilon: epsilon(reader, "rms_norm_eps", if family == Family::EuroBert { 1e-5 } else { 1e-6 }),
        activation: match gemma {
            true => activation(reader, "hidden_activation", "gelu_pytorch_tanh")?,
            false => activation(reader, "hidden_act", "silu")?,
        },
        gated: true,
        normed_heads: matches!(family, Family::Gemma3 | Family::Qwen3),
        ..Config::plain(family, hidden, heads, count)
    })
}

/// Layers that are all alike: EuroBERT sees all tokens, the others those in front unless the file says otherwise.
fn plain_layers(reader: &Reader, family: Family, count: usize, most: usize) -> Result<Vec<LayerKind>> {
    let euro = family == Family::EuroBert;
    reader.refuse_unless("use_sliding_window", &[Value::from(false)])?;
    reader.refuse_unless("use_bidirectional_attention", &[Value::from(euro)])?;
    let causal = reader.flag("is_causal", !euro);
    if euro && causal {
        return Err(Error::unsupported("is_causal is true, which is not built for this model_type"));
    }
    // Qwen's layers see it only with use_sliding_window.
    let window = match family {
        Family::Mistral => reader.optional_size("sliding_window", 1 << 24),
        _ => {
            reader.ignore("sliding_window");
            None
        }
    };
    if let Some(kinds) = reader.words("layer_types")
        && kinds.iter().any(|kind| kind != "full_attention")
    {
        return Err(Error::unsupported("layers that see a window"));
    }
    let default = if euro { 250_000.0 } else { 10_000.0 };
    let parameters = rotary::parameters(reader);
    let rotary = rotary::read(reader, parameters.as_ref(), &["rope_theta"], default, most)?;
    let reach = match (causal, window) {
        (true, None) => Reach::CAUSAL,
        (false, None) => Reach::ALL,
        (true, Some(window @ 1..)) => Reach { before: window - 1, after: 0 },
        (_, Some(_)) => return Err(Error::unsupported("a sliding_window of 0, or beside is_causal false")),
    };
    Ok(vec![LayerKind { reach, rotary: Some(rotary) }; count])
}

/// Layers that see a window, but for one in every few.
fn gemma_layers(reader: &Reader, count: usize, most: usize) -> Result<Vec<LayerKind>> {
    reader.refuse_unless("is_causal", &[Value::from(true)])?;
    let both = reader.flag("use_bidirectional_attention", false);
    let window = reader.size("sliding_window", 2..=1 << 24, Some(4096));
    // A window over both sides is given by its whole width.
    let (before, after) = if both { (window / 2, window / 2) } else { (window - 1, 0) };
    let every = reader.size("sliding_window_pattern", 1..=MAX_LAYERS, Some(6));
    reader.ignore("_sliding_window_pattern");
    let parameters = reader.object("rope_parameters").unwrap_or_default();
    let part = |name: &str| parameters.get(name).and_then(Value::as_object);
    // The older setting is that of the layers without a window.
    let older = reader.object("rope_scaling");
    let far = part("full_attention").or(older.as_ref());
    let far = rotary::read(reader, far, &["rope_theta"], 1_000_000.0, most)?;
    let near = rotary::read(reader, part("sliding_attention"), &["rope_local_base_freq"], 10_000.0, most)?;
    let window = LayerKind { reach: Reach { before, after }, rotary: Some(near) };
    let all = LayerKind { reach: if both { Reach::ALL } else { Reach::CAUSAL }, rotary: Some(far) };
    windowed_layers(reader, count, |index| (index + 1) % every != 0, [window, all])
}
