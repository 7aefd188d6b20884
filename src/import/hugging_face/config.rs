//! config.json: the structure of the encoder.

mod reader;

use std::{cell::RefCell, collections::BTreeMap, path::Path};

use serde_json::Value;

use crate::{
    error::{Context, Error, Result},
    import::hugging_face::{Positions, config::reader::Reader, files::settings},
    kernels::Activation,
};

/// The model family, which decides the names of tensors and settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    Bert,
    Roberta,
    DistilBert,
}

/// The settings of an encoder, checked against bounds.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Config {
    pub(super) family: Family,
    pub(super) vocabulary: usize,
    pub(super) hidden: usize,
    pub(super) layers: usize,
    pub(super) heads: usize,
    pub(super) intermediate: usize,
    /// The number of rows in the position table.
    pub(super) position_rows: usize,
    pub(super) positions: Positions,
    pub(super) token_types: Option<usize>,
    pub(super) epsilon: f32,
    pub(super) activation: Activation,
}

/// Settings that affect training, loading or other heads, but not the encoder's results.
const UNUSED: &[&str] = &[
    "_name_or_path",
    "architectures",
    "attention_dropout",
    "attention_probs_dropout_prob",
    "bos_token_id",
    "classifier_dropout",
    "cls_token_id",
    "directionality",
    "dropout",
    "dtype",
    "eos_token_id",
    "finetuning_task",
    "gradient_checkpointing",
    "hidden_dropout_prob",
    "id2label",
    "initializer_range",
    "label2id",
    "mask_token_id",
    "num_labels",
    "output_past",
    "pooler_fc_size",
    "pooler_num_attention_heads",
    "pooler_num_fc_layers",
    "pooler_size_per_head",
    "pooler_type",
    "problem_type",
    "qa_dropout",
    "sep_token_id",
    "seq_classif_dropout",
    "sinusoidal_pos_embds",
    "task_specific_params",
    "tie_weights_",
    "tie_word_embeddings",
    "torch_dtype",
    "transformers_version",
    "use_cache",
];

/// Reads config.json; also returns a note on settings that were not read, if any.
pub(super) fn read(folder: &Path) -> Result<(Config, Vec<String>)> {
    let fields = settings(folder, "config.json")?
        .ok_or_else(|| Error::io(std::io::ErrorKind::NotFound.into(), "`config.json` is missing"))?;
    parse(fields).context(|| "`config.json`".into())
}

fn parse(fields: BTreeMap<String, Value>) -> Result<(Config, Vec<String>)> {
    let reader = Reader { fields: RefCell::new(fields), problems: RefCell::default() };
    let family = match reader.text("model_type", None).as_str() {
        "bert" => Family::Bert,
        "roberta" | "xlm-roberta" | "camembert" => Family::Roberta,
        "distilbert" => Family::DistilBert,
        "" => return Err(Error::invalid_model("model_type is missing")),
        other => {
            return Err(Error::unsupported(format!(
                "model_type `{other}`; supported are bert, roberta, xlm-roberta, camembert and distilbert"
            )));
        }
    };
    let distil = family == Family::DistilBert;
    let name = |bert: &'static str, distilbert: &'static str| if distil { distilbert } else { bert };
    let roberta = family == Family::Roberta;
    reader.refuse_unless("position_embedding_type", &[Value::from("absolute")])?;
    for flag in ["is_decoder", "add_cross_attention", "is_encoder_decoder", "output_hidden_states"] {
        reader.refuse_unless(flag, &[Value::from(false)])?;
    }
    reader.refuse_unless("pruned_heads", &[Value::Object(serde_json::Map::new())])?;
    reader.refuse_unless("quantization_config", &[])?;
    let activation = reader.text(name("hidden_act", "activation"), Some("gelu"));
    let activation = match activation.as_str() {
        "gelu" | "gelu_python" => Activation::Gelu,
        "gelu_new" | "gelu_pytorch_tanh" | "gelu_fast" => Activation::GeluTanh,
        "relu" => Activation::Relu,
        "silu" | "swish" => Activation::Silu,
        "tanh" => Activation::Tanh,
        other => return Err(Error::unsupported(format!("the activation `{other}`"))),
    };
    let epsilon = if distil { 1e-12 } else { reader.number("layer_norm_eps", 1e-12) };
    if !(epsilon > 0.0 && epsilon < 1.0) {
        reader.problem(format!("layer_norm_eps is {epsilon}"));
    }
    let hidden = reader.size(name("hidden_size", "dim"), 1..=1 << 16, None);
    let heads = reader.size(name("num_attention_heads", "n_heads"), 1..=1 << 12, None);
    if !hidden.is_multiple_of(heads) {
        reader.problem(format!("hidden size {hidden} is not a multiple of {heads} heads"));
    }
    let pad = reader.size("pad_token_id", 0..=1 << 24, Some(usize::from(roberta)));
    let position_rows = reader.size("max_position_embeddings", 1..=1 << 24, None);
    let first = if roberta { pad + 1 } else { 0 };
    if position_rows <= first {
        reader.problem(format!("max_position_embeddings {position_rows} leaves no position behind the first {first}"));
    }
    let config = Config {
        family,
        vocabulary: reader.size("vocab_size", 1..=1 << 26, None),
        hidden,
        layers: reader.size(name("num_hidden_layers", "n_layers"), 1..=1000, None),
        heads,
        intermediate: reader.size(name("intermediate_size", "hidden_dim"), 1..=1 << 18, None),
        position_rows,
        positions: Positions {
            first,
            count: position_rows.saturating_sub(first),
            skipped: roberta.then_some(pad as u32),
        },
        token_types: (!distil).then(|| reader.size("type_vocab_size", 1..=1 << 16, Some(2))),
        epsilon: epsilon as f32,
        activation,
    };
    let (mut unread, problems) = (reader.fields.into_inner(), reader.problems.into_inner());
    problems.finish("the settings are not an encoder's")?;
    unread.retain(|name, value| !UNUSED.contains(&name.as_str()) && !value.is_null());
    let names: Vec<_> = unread.into_keys().collect();
    let note = (!names.is_empty()).then(|| format!("config.json: not read: {}", names.join(", ")));
    Ok((config, note.into_iter().collect()))
}

#[cfg(test)]
mod tests {
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

    #[test]
    fn families_differ_in_positions() {
        let (bert, notes) = parse(fields(&[("extra", true.into()), ("use_cache", true.into())])).unwrap();
        assert_eq!((bert.positions.first, bert.positions.count), (0, 40));
        assert_eq!(notes, ["config.json: not read: extra"]);
        let (roberta, _) = parse(fields(&[("model_type", "xlm-roberta".into()), ("pad_token_id", 1.into())])).unwrap();
        assert_eq!((roberta.positions.first, roberta.positions.count), (2, 38));
        assert_eq!(roberta.positions.of([5, 1, 6]).collect::<Vec<_>>(), [2, 1, 3]);
    }

    #[test]
    fn hostile_values_are_listed_together() {
        let error = parse(fields(&[
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
        let error = parse(fields(&[("num_attention_heads", 5.into())])).unwrap_err().to_string();
        assert!(error.contains("not a multiple of 5 heads"), "{error}");
    }

    #[test]
    fn what_is_not_built_is_refused() {
        for (name, value) in [
            ("model_type", Value::from("mpnet")),
            ("position_embedding_type", "relative_key".into()),
            ("is_decoder", true.into()),
            ("quantization_config", serde_json::json!({"bits": 4})),
            ("hidden_act", "mish".into()),
        ] {
            let error = parse(fields(&[(name, value)])).unwrap_err();
            assert_eq!(error.kind(), crate::ErrorKind::Unsupported, "{error}");
        }
    }
}
