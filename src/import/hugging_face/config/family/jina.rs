//! Jina's encoders: BERT with slopes over distances, and XLM-R with rotary positions.

use serde_json::Value;

use super::{MAX_TURNED, bert, rotary_base};
use crate::{
    error::{Error, Result},
    import::hugging_face::{
        Positions,
        config::{Config, Family, LayerKind, reader::Reader},
    },
    kernels::Activation,
};

/// Most positions whose distances have a row in a table of slopes; texts are cut there at the latest.
const MAX_SLOPED: usize = 1 << 14;

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

/// The encoder of the third generation, without adapters for tasks.
pub(super) fn read_third(reader: &Reader) -> Result<Config> {
    reader.ignore("position_embedding_type");
    reader.refuse_unless("lora_adaptations", &[Value::Array(Vec::new())])?;
    reader.refuse_unless("use_reg_tokens", &[Value::from(false)])?;
    reader.rename("rotary_emb_base", "rope_theta");
    let parameters = reader.object("rope_parameters");
    let default = if parameters.is_some() { 20_000.0 } else { 10_000.0 };
    let base = rotary_base(reader, parameters.as_ref(), &["rope_theta"], default)?;
    let config = bert(reader, Family::JinaV3)?;
    let count = config.positions.count.min(MAX_TURNED);
    let layers = config.layers.iter().map(|layer| LayerKind { rotary_base: Some(base), ..*layer }).collect();
    Ok(Config { position_rows: None, positions: Positions { count, ..config.positions }, layers, ..config })
}
