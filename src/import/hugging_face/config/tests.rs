//! Settings that are read, and those that are refused.

use super::*;

fn fields(changes: &[(&str, Value)]) -> BTreeMap<String, Value> {
    let base = serde_json::json!({
        "model_type": "bert", "vocab_size": 100, "hidden_size": 32, "num_hidden_layers": 2,
        "num_attention_heads": 4, "intermediate_size": 64, "max_position_embeddings": 40, "hidden_act": "gelu",
    });
    let mut fields: BTreeMap<String, Value> = serde_json::from_value(base).unwrap();
    fields.extend(changes.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
    fields
}

fn parse_texts(fields: BTreeMap<String, Value>) -> Result<(Config, Vec<String>)> {
    of_tower(fields, Tower::Texts).and_then(|fields| parse(fields, Tower::Texts))
}

#[test]
fn families_differ_in_positions() {
    let (bert, notes) = parse_texts(fields(&[("extra", true.into()), ("use_cache", true.into())])).unwrap();
    assert_eq!((bert.positions.first, bert.positions.count), (0, 40));
    assert_eq!(notes, ["config.json: not read: extra"]);
    let (roberta, _) =
        parse_texts(fields(&[("model_type", "xlm-roberta".into()), ("pad_token_id", 1.into())])).unwrap();
    assert_eq!((roberta.positions.first, roberta.positions.count), (2, 38));
    assert_eq!(roberta.positions.of([5, 1, 6]).collect::<Vec<_>>(), [2, 1, 3]);
}

#[test]
fn multilingual_t5_has_other_defaults() {
    let parse = |kind: &str| {
        let fields = serde_json::json!({"model_type": kind, "vocab_size": 100});
        parse_texts(serde_json::from_value(fields).unwrap()).unwrap().0
    };
    for (kind, layers, heads, gated, in_each_layer) in
        [("t5", 6, 8, false, false), ("mt5", 8, 6, true, false), ("umt5", 8, 6, true, true)]
    {
        let config = parse(kind);
        let own = (config.layers.len(), config.heads, config.gated, config.relative.unwrap().in_each_layer);
        assert_eq!(own, (layers, heads, gated, in_each_layer), "{kind}");
    }
}

#[test]
fn hostile_values_are_listed_together() {
    let error = parse_texts(fields(&[
        ("num_hidden_layers", 1_000_000_000_u64.into()),
        ("num_attention_heads", 0.into()),
        ("hidden_size", (-3).into()),
        ("vocab_size", 1e30.into()),
        ("layer_norm_eps", "tiny".into()),
        ("max_position_embeddings", Value::Null),
    ]))
    .unwrap_err()
    .to_string();
    for name in ["num_hidden_layers", "num_attention_heads", "hidden_size", "vocab_size", "layer_norm_eps"] {
        assert!(error.contains(name), "{error}");
    }
    assert!(error.contains("max_position_embeddings is missing"), "{error}");
    let error = parse_texts(fields(&[("num_attention_heads", 5.into())])).unwrap_err().to_string();
    assert!(error.contains("not a multiple of 5 heads"), "{error}");
}

#[test]
fn what_a_family_lacks_is_refused_by_name() {
    let of = |model: &str| ("model_type", Value::from(model));
    for (changes, named) in [
        (vec![of("nomic_bert"), ("moe_every_n_layers", 2.into()), ("ffn_div", 2.into())], "ffn_div"),
        (vec![of("deberta-v2"), ("conv_kernel_size", 4.into())], "conv_kernel_size"),
        (vec![of("deberta"), ("talking_head", true.into())], "talking_head"),
        (vec![of("qwen3"), ("rope_scaling", serde_json::json!({"type": "longrope"}))], "longrope"),
        (
            vec![of("qwen3"), ("rope_scaling", serde_json::json!({"rope_type": "linear", "factor": 2, "other": 1}))],
            "other",
        ),
        (vec![of("mistral"), ("sliding_window", 8.into()), ("is_causal", false.into())], "sliding_window"),
        (vec![of("gemma3_text"), ("is_causal", false.into())], "is_causal"),
        (vec![of("deberta-v2"), ("pos_att_type", "p2p".into())], "pos_att_type"),
        (vec![of("new"), ("rope_scaling", serde_json::json!({"type": "dynamic", "factor": 2.0}))], "rope_scaling"),
        (vec![("position_embedding_type", "alibi".into())], "feed_forward_type"),
    ] {
        let error = parse_texts(fields(&changes)).unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::Unsupported, "{error}");
        assert!(error.to_string().contains(named), "{named}: {error}");
    }
}

#[test]
fn hostile_angles_and_convolutions_are_refused() {
    let of = |model: &str| ("model_type", Value::from(model));
    let scaled = |settings: Value| vec![of("qwen3"), ("head_dim", 8.into()), ("rope_scaling", settings)];
    let llama =
        |low: f64| serde_json::json!({"type": "llama3", "factor": 2, "low_freq_factor": low, "high_freq_factor": 1});
    let grouped = [("conv_kernel_size", 255.into()), ("conv_groups", 8192.into()), ("hidden_size", 8192.into())];
    for (changes, named) in [
        (scaled(serde_json::json!({"type": "linear"})), "factor of the rotary positions is missing"),
        (scaled(serde_json::json!({"type": "yarn", "factor": 2, "beta_slow": -1})), "beta_slow"),
        (scaled(llama(1.0)), "low_freq_factor 1"),
        ([&grouped[..], &[of("deberta-v2")]].concat(), "the limit is"),
    ] {
        let error = parse_texts(fields(&changes)).unwrap_err().to_string();
        assert!(error.contains(named), "{named}: {error}");
    }
}

#[test]
fn what_is_not_built_is_refused() {
    for (name, value) in [
        ("model_type", Value::from("funnel")),
        ("position_embedding_type", "relative_key".into()),
        ("is_decoder", true.into()),
        ("quantization_config", serde_json::json!({"bits": 4})),
        ("hidden_act", "mish".into()),
    ] {
        let error = parse_texts(fields(&[(name, value)])).unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::Unsupported, "{error}");
    }
}
