//! ModernBERT and Nomic BERT: rotary positions, gated products and mixtures of experts in encoders.

use serde_json::Value;

use super::{MAX_LAYERS, MAX_TURNED, activation, epsilon, rotary, vocabulary, windowed_layers};
use crate::{
    error::Result,
    import::hugging_face::{
        Positions,
        config::{Config, Family, LayerKind, MixedExperts, NormKind, Placement, reader::Reader},
    },
    kernels::attention::Reach,
};

pub(super) fn read(reader: &Reader, family: Family) -> Result<Config> {
    let modern = family == Family::ModernBert;
    let experts = if modern { None } else { older_nomic(reader)? };
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
    let most = reader.size("max_position_embeddings", 1..=1 << 24, None);
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
        vocabulary: vocabulary(reader),
        layers,
        intermediate: reader.size("intermediate_size", 1..=1 << 18, None),
        positions: Positions { first: 0, count: most.min(MAX_TURNED), skipped: None },
        token_types: (!modern).then(|| reader.size("type_vocab_size", 1..=1 << 16, Some(2))),
        experts,
        placement: if modern { Placement::Before } else { Placement::After },
        norm,
        epsilon,
        activation: match (modern, experts) {
            (true, _) => activation(reader, "hidden_activation", "gelu")?,
            (false, None) => activation(reader, "hidden_act", "silu")?,
            (false, Some(_)) => activation(reader, "activation_function", "gelu")?,
        },
        gated: experts.is_none(),
        ..Config::plain(family, hidden, heads, count)
    })
}

/// Gives the settings of Nomic BERT's first form their later names, and refuses what is not built; with the experts of
/// the second generation.
fn older_nomic(reader: &Reader) -> Result<Option<MixedExperts>> {
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
    let experts = experts(reader)?;
    if experts.is_none() {
        reader.refuse_unless("activation_function", &[Value::from("swiglu")])?;
    }
    // The generation with experts has all biases, the other none.
    for bias in ["mlp_fc1_bias", "mlp_fc2_bias", "qkv_proj_bias"] {
        reader.refuse_unless(bias, &[Value::from(experts.is_some())])?;
    }
    for off in [
        "causal",
        "parallel_block",
        "prenorm",
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
    Ok(experts)
}

/// The experts of every few layers.
fn experts(reader: &Reader) -> Result<Option<MixedExperts>> {
    let every = reader.size("moe_every_n_layers", 0..=MAX_LAYERS, Some(0));
    let count = reader.size("num_experts", 0..=1 << 10, Some(8));
    let chosen = reader.size("moe_top_k", 0..=1 << 10, Some(2));
    for training in ["moe_impl", "moe_resid_pdrop", "router_aux_loss_coef"] {
        reader.ignore(training);
    }
    // Layers with one expert have none.
    if every == 0 || count <= 1 {
        return Ok(None);
    }
    if !(1..=count).contains(&chosen) {
        reader.problem(format!("moe_top_k is {chosen} of {count} experts"));
    }
    reader.refuse_unless("ffn_div", &[Value::from(1)])?;
    reader.refuse_unless("num_shared_experts", &[Value::from(0)])?;
    for off in ["expert_choice_router", "moe_normalize_expert_weights"] {
        reader.refuse_unless(off, &[Value::from(false)])?;
    }
    Ok(Some(MixedExperts { count, chosen, every }))
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
