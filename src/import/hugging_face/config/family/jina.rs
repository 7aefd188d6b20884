//! Jina's encoders: BERT with slopes over distances, and XLM-R with rotary positions.

use serde_json::Value;

use super::{MAX_TURNED, bert, rotary};
use crate::{
    error::{Error, Result},
    import::hugging_face::{
        Positions,
        config::{Adapters, Config, Family, LayerKind, reader::Reader},
    },
    kernels::Activation,
};

/// Most positions whose distances have a row in a table of slopes; texts are cut there at the latest.
const MAX_SLOPED: usize = 1 << 14;

/// Most tasks with an adapter.
const MAX_TASKS: usize = 1000;

/// The second generation, and its form for code.
pub(super) fn read_second(reader: &Reader) -> Result<Config> {
    reader.ignore("position_embedding_type");
    let activation = match reader.text("feed_forward_type", Some("original")).as_str() {
        "geglu" => Activation::Gelu,
        "reglu" => Activation::Relu,
        other => return Err(Error::unsupported(format!("feed_forward_type `{other}`"))),
    };
    reader.ignore("hidden_act");
    let config = bert(reader, Family::JinaBert)?;
    let count = config.positions.count.min(MAX_SLOPED);
    Ok(Config {
        position_rows: None,
        positions: Positions { count, ..config.positions },
        sloped: true,
        activation,
        gated: true,
        ..config
    })
}

/// The encoder of the third generation, with its adapters for tasks.
pub(super) fn read_third(reader: &Reader) -> Result<Config> {
    reader.ignore("position_embedding_type");
    let adapters = adapters(reader)?;
    reader.refuse_unless("use_reg_tokens", &[Value::from(false)])?;
    reader.rename("rotary_emb_base", "rope_theta");
    let parameters = reader.object("rope_parameters");
    let default = if parameters.is_some() { 20_000.0 } else { 10_000.0 };
    let config = bert(reader, Family::JinaV3)?;
    let most = config.positions.count;
    let rotary = rotary::read(reader, parameters.as_ref(), &["rope_theta"], default, most)?;
    let count = most.min(MAX_TURNED);
    let layers = config.layers.iter().map(|layer| LayerKind { rotary: Some(rotary), ..*layer }).collect();
    Ok(Config { position_rows: None, positions: Positions { count, ..config.positions }, layers, adapters, ..config })
}

/// The adapters of which each adds the product of two small matrices to the weights.
fn adapters(reader: &Reader) -> Result<Option<Adapters>> {
    let tasks = reader.words("lora_adaptations").unwrap_or_default();
    let instructions = reader.object("task_instructions").unwrap_or_default();
    let rank = reader.size("lora_rank", 1..=1 << 12, Some(4));
    let scale = (reader.number("lora_alpha", 1.0) / rank as f64) as f32;
    for training in ["lora_dropout_p", "lora_main_params_trainable", "lora_prompts"] {
        reader.ignore(training);
    }
    if tasks.is_empty() {
        return Ok(None);
    }
    // Without them transformers would begin with random ones.
    reader.refuse_unless("load_trained_adapters", &[Value::from(true)])?;
    if tasks.len() > MAX_TASKS {
        reader.problem(format!("lora_adaptations names {} tasks where at most {MAX_TASKS} are allowed", tasks.len()));
        return Ok(None);
    }
    let text = |(task, text): (String, Value)| Some((task, text.as_str()?.to_owned()));
    let instructions = instructions.into_iter().filter_map(text).collect();
    Ok(Some(Adapters { tasks, instructions, rank, scale, chosen: None }))
}
