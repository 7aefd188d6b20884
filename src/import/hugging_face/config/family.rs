//! The settings of each family.

mod bart;
mod deberta;
mod decoders;
mod esm;
mod gte;
mod jina;
mod modern;
mod rotary;
mod t5;
mod towers;

use serde_json::Value;
#[cfg(feature = "vision")]
pub(super) use towers::read_images;

use crate::{
    error::{Error, Result},
    import::hugging_face::{
        Positions,
        config::{Config, DecoderStart, Family, LayerKind, Placement, RelativeBuckets, Tower, reader::Reader},
    },
    kernels::Activation,
};

/// What model types this build reads, for messages.
const KNOWN: &str = "albert, bart, bert, camembert, clip, data2vec-text, deberta, deberta-v2, distilbert, electra, ernie, esm, \
                     eurobert, gemma3_text, gte, jina_embeddings_v3, llama, mbart, mistral, modernbert, mpnet, mt5, new, nomic_bert, qwen2, qwen3, \
                     roberta, siglip, t5, umt5, xlm-roberta and xlm-roberta-xl";

/// Most positions with rotary angles, of which each has a row in a table; texts are cut there at the latest.
pub(super) const MAX_TURNED: usize = 1 << 16;

/// Most layers.
const MAX_LAYERS: usize = 1000;

/// Reads the settings that decide the encoder's results.
pub(super) fn read(reader: &Reader, tower: Tower) -> Result<Config> {
    let kind = reader.text("model_type", None);
    let family = match kind.as_str() {
        "albert" => Family::Albert,
        "bart" | "mbart" => Family::Bart,
        "bert" if reader.is_text("position_embedding_type", "alibi") => Family::JinaBert,
        "bert" => Family::Bert,
        "clip_text_model" => Family::ClipText,
        "deberta" => Family::Deberta,
        "deberta-v2" => Family::DebertaV2,
        "distilbert" => Family::DistilBert,
        "electra" => Family::Electra,
        "ernie" => Family::Ernie,
        "esm" => Family::Esm,
        "eurobert" => Family::EuroBert,
        "gte" | "new" => Family::Gte,
        "jina_embeddings_v3" => Family::JinaV3,
        "xlm-roberta" if reader.is_text("position_embedding_type", "rotary") => Family::JinaV3,
        "gemma3_text" => Family::Gemma3,
        "llama" => Family::Llama,
        "mistral" => Family::Mistral,
        "modernbert" => Family::ModernBert,
        "mpnet" => Family::Mpnet,
        "nomic_bert" => Family::NomicBert,
        "qwen2" => Family::Qwen2,
        "qwen3" => Family::Qwen3,
        "roberta" | "xlm-roberta" | "camembert" | "data2vec-text" => Family::Roberta,
        "siglip_text_model" => Family::SiglipText,
        "mt5" | "t5" | "umt5" => Family::T5,
        "xlm-roberta-xl" => Family::XlmRobertaXl,
        kind @ ("vit" | "dinov2" | "dinov2_with_registers" | "clip_vision_model" | "siglip_vision_model") => {
            return Err(Error::unsupported(format!("model_type `{kind}`, an encoder of images, for texts")));
        }
        "" => return Err(Error::invalid_model("model_type is missing")),
        other => return Err(Error::unsupported(format!("model_type `{other}`; supported are {KNOWN}"))),
    };
    refuse_all(reader, family)?;
    match family {
        Family::ModernBert | Family::NomicBert => modern::read(reader, family),
        Family::Esm | Family::EsmNormed => esm::read(reader),
        Family::EuroBert => decoders::read(reader, family),
        _ if Config::is_decoder(family) => decoders::read(reader, family),
        Family::Gte => gte::read(reader),
        Family::JinaBert => jina::read_second(reader),
        Family::JinaV3 => jina::read_third(reader),
        Family::Deberta | Family::DebertaV2 => deberta::read(reader, family),
        Family::ClipText | Family::SiglipText => towers::read_texts(reader, family),
        Family::Bart => bart::read(reader, &kind),
        Family::T5 => t5::read(reader, &kind, tower == Tower::TextClasses),
        _ => bert(reader, family),
    }
}

/// Refuses what no encoder here has.
fn refuse_all(reader: &Reader, family: Family) -> Result<()> {
    for flag in ["is_decoder", "add_cross_attention"] {
        reader.refuse_unless(flag, &[Value::from(false)])?;
    }
    let allowed: &[bool] = match family {
        Family::Bart => &[true],
        Family::T5 => &[false, true],
        _ => &[false],
    };
    reader.refuse_unless("is_encoder_decoder", &allowed.iter().copied().map(Value::from).collect::<Vec<_>>())?;
    reader.refuse_unless("pruned_heads", &[Value::Object(serde_json::Map::new())])?;
    reader.refuse_unless("quantization_config", &[])
}

/// BERT and what differs from it in names and few settings.
fn bert(reader: &Reader, family: Family) -> Result<Config> {
    let distil = family == Family::DistilBert;
    let name = |bert: &'static str, distilbert: &'static str| if distil { distilbert } else { bert };
    let roberta = matches!(family, Family::Roberta | Family::Mpnet | Family::XlmRobertaXl);
    reader.refuse_unless("position_embedding_type", &[Value::from("absolute")])?;
    let activation = activation(
        reader,
        name("hidden_act", "activation"),
        if family == Family::Albert { "gelu_new" } else { "gelu" },
    )?;
    let least = if family == Family::JinaV3 { 1e-5 } else { 1e-12 };
    let epsilon = if distil { 1e-12 } else { epsilon(reader, "layer_norm_eps", least) };
    let hidden = reader.size(name("hidden_size", "dim"), 1..=1 << 16, None);
    let heads = reader.size(name("num_attention_heads", "n_heads"), 1..=1 << 12, None);
    if !hidden.is_multiple_of(heads) {
        reader.problem(format!("hidden size {hidden} is not a multiple of {heads} heads"));
    }
    let pad = reader.size("pad_token_id", 0..=1 << 24, Some(usize::from(roberta)));
    // MPNet counts positions from 2 whatever the padding is.
    let pad = if family == Family::Mpnet { 1 } else { pad };
    let position_rows = reader.size("max_position_embeddings", 1..=1 << 24, None);
    let first = if roberta { pad + 1 } else { 0 };
    if position_rows <= first {
        reader.problem(format!("max_position_embeddings {position_rows} leaves no position behind the first {first}"));
    }
    let embedding = match family {
        Family::Albert => Some(reader.size("embedding_size", 1..=1 << 16, Some(128))),
        // ELECTRA has a product between the two only where they differ.
        Family::Electra => Some(reader.size("embedding_size", 1..=1 << 16, Some(128))).filter(|own| *own != hidden),
        _ => None,
    };
    let layers = reader.size(name("num_hidden_layers", "n_layers"), 1..=MAX_LAYERS, None);
    let groups = match family {
        Family::Albert => {
            reader.refuse_unless("inner_group_num", &[Value::from(1)])?;
            reader.size("num_hidden_groups", 1..=layers, Some(1))
        }
        _ => layers,
    };
    if !layers.is_multiple_of(groups) {
        reader.problem(format!("{layers} layers in {groups} groups"));
    }
    let relative = (family == Family::Mpnet).then(|| RelativeBuckets {
        buckets: reader.size("relative_attention_num_buckets", 4..=1 << 12, Some(32)),
        most: 128,
        in_each_layer: false,
        one_sided: false,
    });
    let has_types = !matches!(family, Family::DistilBert | Family::Mpnet);
    let has_tasks = family == Family::Ernie && reader.flag("use_task_id", false);
    let tasks = (family == Family::Ernie).then(|| reader.size("task_type_vocab_size", 1..=1 << 16, Some(3)));
    Ok(Config {
        vocabulary: vocabulary(reader),
        embedding,
        groups,
        intermediate: reader.size(name("intermediate_size", "hidden_dim"), 1..=1 << 18, None),
        position_rows: Some(position_rows),
        positions: Positions {
            first,
            count: position_rows.saturating_sub(first),
            skipped: roberta.then_some(pad as u32),
        },
        token_types: has_types.then(|| reader.size("type_vocab_size", 1..=1 << 16, Some(2))),
        task_types: tasks.filter(|_| has_tasks),
        relative,
        placement: if family == Family::XlmRobertaXl { Placement::Before } else { Placement::After },
        epsilon,
        activation,
        ..Config::plain(family, hidden, heads, layers)
    })
}

fn vocabulary(reader: &Reader) -> usize {
    reader.size("vocab_size", 1..=1 << 26, None)
}

/// The token that a decoder reads first, where it is the same for each text.
fn decoder_start(reader: &Reader, vocabulary: usize, default: usize) -> DecoderStart {
    DecoderStart::Token(reader.size("decoder_start_token_id", 0..=vocabulary - 1, Some(default)) as u32)
}

fn epsilon(reader: &Reader, name: &str, default: f64) -> f32 {
    let epsilon = reader.number(name, default);
    if !(epsilon > 0.0 && epsilon < 1.0) {
        reader.problem(format!("{name} is {epsilon}"));
    }
    epsilon as f32
}

/// The activation that a setting names.
pub(in crate::import::hugging_face) fn activation(reader: &Reader, name: &str, default: &str) -> Result<Activation> {
    Ok(match reader.text(name, Some(default)).as_str() {
        "gelu" | "gelu_python" => Activation::Gelu,
        "gelu_new" | "gelu_pytorch_tanh" | "gelu_fast" => Activation::GeluTanh,
        "relu" => Activation::Relu,
        "silu" | "swish" => Activation::Silu,
        "tanh" => Activation::Tanh,
        other => return Err(Error::unsupported(format!("the activation `{other}`"))),
    })
}

/// The layers of a model in which some see a window: by the file's list of them, else those that `by_default` names.
fn windowed_layers(
    reader: &Reader,
    count: usize,
    by_default: impl Fn(usize) -> bool,
    [window, all]: [LayerKind; 2],
) -> Result<Vec<LayerKind>> {
    let kinds = reader.words("layer_types");
    if let Some(kinds) = kinds.as_ref().filter(|kinds| kinds.len() != count) {
        reader.problem(format!("layer_types names {} layers of {count}", kinds.len()));
    }
    let layer = |index| {
        let windowed = match kinds.as_ref().and_then(|kinds| kinds.get(index)).map(String::as_str) {
            Some("full_attention") => false,
            Some("sliding_attention") => true,
            None => by_default(index),
            Some(other) => return Err(Error::unsupported(format!("a layer of the type `{other}`"))),
        };
        Ok(if windowed { window } else { all })
    };
    (0..count).map(layer).collect()
}
