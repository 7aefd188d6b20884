//! ModernBERT and Nomic BERT: rotary positions and gated products in encoders.

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
    let modern = family == Family::ModernBert;
    if !modern {
        older_nomic(reader)?;
    }
    let hidden = reader.size("hidden_size", 1..=1 << 16, None);
    let heads = reader.size("num_attention_heads", 1..=1 << 12, None);
    if !hidden.is_multiple_of(heads) {
        reader.problem(format!("hidden size {hidden} is not a multiple of {heads} heads"));
    }
    let head_dim = reader.size("head_dim", 1..=1 << 12, Some(hidden / heads));
    if head_dim.saturating_mul(heads) != hidden {
        reader.problem(format!("{heads} heads of {head_dim} in a hidden size of {hidden}"));
    }
    let count = reader.size("num_hidden_layers", 1..=MAX_LAYERS, None);
    let most = reader.size("max_position_embeddings", 1..=1 << 24, None).min(MAX_TURNED);
    let (layers, norm, epsilon) = if modern {
        // Names what rotary positions replace; the value does not matter.
        reader.ignore("position_embedding_type");
        reader.ignore("layer_norm_eps");
        for bias in ["attention_bias", "mlp_bias"] {
            reader.refuse_unless(bias, &[Value::from(false)])?;
        }
        let norm = if reader.flag("norm_bias", false) { NormKind::Layer } else { NormKind::LayerWithoutBias };
        (modern_layers(reader, count, most)?, norm, epsilon(reader, "norm_eps", 1e-5))
    } else {
        let parameters = rotary::parameters(reader);
        let rotary = rotary::read(reader, parameters.as_ref(), &["rope_theta"], 1000.0, most)?;
        let kind = LayerKind { reach: Reach::ALL, rotary: Some(rotary) };
        (vec![kind; count], NormKind::Layer, epsilon(reader, "layer_norm_eps", 1e-12))
    };
    Ok(Config {
        family,
        vocabulary: vocabulary(reader),
        hidden,
        embedding: None,
        embedding_scale: 1.0,
        layers,
        groups: count,
        heads,
        key_heads: heads,
        head_dim,
        scale: (head_dim as f32).sqrt().recip(),
        intermediate: reader.size("intermediate_size", 1..=1 << 18, None),
        position_rows: None,
        positions: Positions { first: 0, count: most, skipped: None },
        token_types: (!modern).then(|| reader.size("type_vocab_size", 1..=1 << 16, Some(2))),
        relative: None,
        disentangled: None,
        convolution: None,
        adapters: None,
        sloped: false,
        rotary_divisor: 1.0,
        placement: if modern { Placement::Before } else { Placement::After },
        norm,
        epsilon,
        activation: match modern {
            true => activation(reader, "hidden_activation", "gelu")?,
            false => activation(reader, "hidden_act", "silu")?,
        },
        gated: true,
        normed_heads: false,
        patches: None,
        activation_factor: 1.0,
        scaled_halves: false,
        text_end: None,
    })
}

/// Gives the settings of Nomic BERT's first form their later names, and refuses what the later form does not have.
fn older_nomic(reader: &Reader) -> Result<()> {
    for (older, name) in [
        ("n_embd", "hidden_size"),
        ("n_head", "num_attention_heads"),
        ("n_inner", "intermediate_size"),
        ("n_layer", "num_hidden_layers"),
        ("n_positions", "max_position_embeddings"),
        ("layer_norm_epsilon", "layer_norm_eps"),
        ("rotary_emb_base", "rope_theta"),
    ] {
        reader.rename(older, name);
    }
    if reader.size("moe_every_n_layers", 0..=MAX_LAYERS, Some(0)) > 0 {
        return Err(Error::unsupported("a mixture of experts (moe_every_n_layers)"));
    }
    reader.refuse_unless("activation_function", &[Value::from("swiglu")])?;
    for off in [
        "causal",
        "mlp_fc1_bias",
        "mlp_fc2_bias",
        "parallel_block",
        "prenorm",
        "qkv_proj_bias",
        "rotary_emb_interleaved",
        "scale_attn_by_inverse_layer_idx",
        "use_rms_norm",
    ] {
        reader.refuse_unless(off, &[Value::from(false)])?;
    }
    reader.refuse_unless("rotary_emb_fraction", &[Value::from(1), Value::from(1.0)])?;
    reader.refuse_unless("scale_attn_weights", &[Value::from(true)])?;
    for absent in ["rotary_emb_scale_base", "rotary_scaling_factor"] {
        reader.refuse_unless(absent, &[])?;
    }
    for training in [
        "dense_seq_output",
        "fused_bias_fc",
        "fused_dropout_add_ln",
        "last_layer_subset",
        "max_trained_positions",
        "pad_vocab_size_multiple",
        "reorder_and_upcast_attn",
        "use_flash_attn",
        "use_xentropy",
        "mlp_checkpoint_lvl",
    ] {
        reader.ignore(training);
    }
    Ok(())
}

/// Layers that see a window, but for one in every few.
fn modern_layers(reader: &Reader, count: usize, most: usize) -> Result<Vec<LayerKind>> {
    let window = reader.size("local_attention", 2..=1 << 24, Some(128)) / 2;
    // Written beside local_attention, from which it follows.
    reader.ignore("sliding_window");
    let every = reader.size("global_attn_every_n_layers", 1..=MAX_LAYERS, Some(3));
    reader.refuse_unless("rope_scaling", &[])?;
    let parameters = reader.object("rope_parameters").unwrap_or_default();
    let part = |name: &str| parameters.get(name).and_then(Value::as_object);
    let far = rotary::read(reader, part("full_attention"), &["global_rope_theta"], 160_000.0, most)?;
    let near = rotary::read(reader, part("sliding_attention"), &["local_rope_theta"], 10_000.0, most)?;
    let window = LayerKind { reach: Reach { before: window, after: window }, rotary: Some(near) };
    let all = LayerKind { reach: Reach::ALL, rotary: Some(far) };
    windowed_layers(reader, count, |index| index % every != 0, [window, all])
}
