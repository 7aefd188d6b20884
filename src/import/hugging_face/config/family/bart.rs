//! BART and mBART: an encoder, and a decoder that reads the text once more.

use super::{MAX_LAYERS, activation, decoder_start, vocabulary};
use crate::{
    error::Result,
    import::hugging_face::{
        Positions,
        config::{Config, Decoder, DecoderStart, Family, LayerKind, Placement, reader::Reader},
    },
    kernels::attention::Reach,
};

/// The first row of the table that is a position's.
const FIRST: usize = 2;

/// Of all norms, as PyTorch has it.
const EPSILON: f32 = 1e-5;

/// What training, generation and other libraries read.
const UNREAD: &[&str] = &[
    "_num_labels",
    "activation_dropout",
    "add_bias_logits",
    "add_final_layer_norm",
    "classif_dropout",
    "decoder_layerdrop",
    "early_stopping",
    "encoder_layerdrop",
    "extra_pos_embeddings",
    "force_bos_token_to_be_generated",
    "forced_bos_token_id",
    "forced_eos_token_id",
    "init_std",
    "length_penalty",
    "max_length",
    "min_length",
    "no_repeat_ngram_size",
    "normalize_before",
    "normalize_embedding",
    "num_beams",
    "prefix",
    "static_position_embeddings",
    "tokenizer_class",
];

/// A model of the type `kind`.
pub(super) fn read(reader: &Reader, kind: &str) -> Result<Config> {
    UNREAD.iter().for_each(|name| reader.ignore(name));
    let many = kind == "mbart";
    let activation = activation(reader, "activation_function", "gelu")?;
    let hidden = reader.size(either(reader, "hidden_size", "d_model"), 1..=1 << 16, Some(1024));
    let vocabulary = vocabulary(reader);
    let most = reader.size("max_position_embeddings", 1..=1 << 24, Some(1024));
    let scaled = reader.flag("scale_embedding", false);
    let side = |family: Family, [layers, heads, intermediate]: [&str; 3]| {
        let heads = reader.size(heads, 1..=1 << 12, Some(16));
        if !hidden.is_multiple_of(heads) {
            reader.problem(format!("hidden size {hidden} is not a multiple of {heads} heads"));
        }
        let layers = reader.size(layers, 1..=MAX_LAYERS, Some(12));
        Config {
            vocabulary,
            embedding_scale: if scaled { (hidden as f32).sqrt() } else { 1.0 },
            intermediate: reader.size(intermediate, 1..=1 << 18, Some(4096)),
            position_rows: Some(most + FIRST),
            positions: Positions { first: FIRST, count: most, skipped: None },
            placement: if many { Placement::Before } else { Placement::After },
            epsilon: EPSILON,
            activation,
            ..Config::plain(family, hidden, heads, layers)
        }
    };
    let names = [
        either(reader, "num_hidden_layers", "encoder_layers"),
        either(reader, "num_attention_heads", "encoder_attention_heads"),
        "encoder_ffn_dim",
    ];
    let encoder = side(Family::Bart, names);
    let mut config = side(Family::BartDecoder, ["decoder_layers", "decoder_attention_heads", "decoder_ffn_dim"]);
    config.layers.fill(LayerKind { reach: Reach::CAUSAL, rotary: None });
    let token = |name: &str, default| reader.size(name, 0..=1 << 24, Some(default)) as u32;
    let pad = token("pad_token_id", 1);
    let start = match many {
        true => DecoderStart::Last { pad },
        false => decoder_start(reader, vocabulary, 2),
    };
    let decoder = Decoder { config, start, end: token("eos_token_id", 2) };
    Ok(Config { decoder: Some(Box::new(decoder)), ..encoder })
}

/// Of two names of a setting the one that counts: `general`, if the file has it.
fn either<'a>(reader: &Reader, general: &'a str, own: &'a str) -> &'a str {
    if !reader.has(general) {
        return own;
    }
    reader.ignore(own);
    general
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn parsed(kind: &str, fields: Value) -> (Config, Decoder) {
        let reader = Reader::new(serde_json::from_value(fields).unwrap());
        let config = read(&reader, kind).unwrap();
        reader.checked("they are not").unwrap();
        let decoder = config.decoder.as_deref().cloned().unwrap();
        (config, decoder)
    }

    #[test]
    fn general_names_count_before_those_of_the_encoder() {
        let fields = json!({"vocab_size": 9, "d_model": 8, "hidden_size": 32, "encoder_layers": 1,
            "num_hidden_layers": 2, "encoder_attention_heads": 2, "num_attention_heads": 4, "decoder_layers": 3,
            "decoder_attention_heads": 8});
        let (encoder, decoder) = parsed("bart", fields);
        assert_eq!((encoder.hidden, encoder.layers.len(), encoder.heads), (32, 2, 4));
        assert_eq!((decoder.config.hidden, decoder.config.layers.len(), decoder.config.heads), (32, 3, 8));
        assert!(decoder.config.layers.iter().all(|layer| layer.reach == Reach::CAUSAL));
        assert!(encoder.layers.iter().all(|layer| layer.reach == Reach::ALL));
    }

    #[test]
    fn the_two_types_differ() {
        let fields = json!({"vocab_size": 9, "pad_token_id": 4, "decoder_start_token_id": 5, "eos_token_id": 6});
        let (encoder, decoder) = parsed("bart", fields.clone());
        assert_eq!((encoder.hidden, encoder.intermediate, encoder.heads), (1024, 4096, 16));
        assert_eq!((decoder.start, decoder.end, encoder.placement), (DecoderStart::Token(5), 6, Placement::After));
        assert_eq!(encoder.position_rows, Some(1026));
        let (encoder, decoder) = parsed("mbart", fields);
        assert_eq!((decoder.start, encoder.placement), (DecoderStart::Last { pad: 4 }, Placement::Before));
    }
}
