//! The settings of sentence-transformers' pooling, in both of their generations.

use std::{collections::BTreeMap, path::Path};

use serde_json::Value;

use crate::{
    error::{Error, Result},
    import::hugging_face::{Pooling, files::settings},
};

/// The settings of a pooling.
pub(super) struct PoolingSettings {
    /// The ways side by side, in this order.
    pub(super) modes: Vec<Pooling>,
    /// The vector length that it expects.
    pub(super) dimension: Option<usize>,
    /// Whether it counts the tokens of the prompt.
    pub(super) includes_prompt: bool,
}

/// The switch of the older settings and the name of the newer ones, in the order in which switches are joined.
const MODES: [(&str, &str, Pooling); 6] = [
    ("pooling_mode_cls_token", "cls", Pooling::Cls),
    ("pooling_mode_max_tokens", "max", Pooling::Max),
    ("pooling_mode_mean_tokens", "mean", Pooling::Mean),
    ("pooling_mode_mean_sqrt_len_tokens", "mean_sqrt_len_tokens", Pooling::MeanSqrtLength),
    ("pooling_mode_weightedmean_tokens", "weightedmean", Pooling::WeightedMean),
    ("pooling_mode_lasttoken", "lasttoken", Pooling::Last),
];

/// Reads the settings of the pooling in `folder`.
pub(super) fn read(folder: &Path) -> Result<PoolingSettings> {
    let fields = settings(folder, "config.json")?.ok_or_else(|| Error::invalid_model("`config.json` is missing"))?;
    let dimension = ["word_embedding_dimension", "embedding_dimension"];
    let dimension = dimension.into_iter().find_map(|name| Some((name, fields.get(name)?)));
    let dimension = dimension.map(|(name, value)| {
        let dimension = value.as_u64().and_then(|dimension| usize::try_from(dimension).ok());
        dimension.ok_or_else(|| Error::invalid_model(format!("{name} is {value}")))
    });
    let includes_prompt = match fields.get("include_prompt") {
        None | Some(Value::Null) => true,
        Some(Value::Bool(included)) => *included,
        Some(value) => return Err(Error::invalid_model(format!("include_prompt is {value}"))),
    };
    Ok(PoolingSettings { modes: modes(&fields)?, dimension: dimension.transpose()?, includes_prompt })
}

fn modes(fields: &BTreeMap<String, Value>) -> Result<Vec<Pooling>> {
    // The newer setting replaces the switches.
    if let Some(mode) = fields.get("pooling_mode").filter(|mode| !mode.is_null()) {
        let list = mode.as_array().map_or_else(|| vec![mode], |list| list.iter().collect());
        let named = list.into_iter().map(Value::as_str).collect::<Option<Vec<_>>>();
        let named = named.filter(|named| (1..=MODES.len()).contains(&named.len()));
        let named = named.ok_or_else(|| Error::invalid_model(format!("pooling_mode is {mode}")))?;
        let known = |name: &&str| MODES.iter().find(|mode| mode.1 == *name).map(|mode| mode.2);
        return named.iter().map(|name| known(name).ok_or_else(|| unknown(name))).collect();
    }
    let mut modes = Vec::new();
    for (name, value) in fields.iter().filter(|(name, _)| name.starts_with("pooling_mode_")) {
        match value {
            Value::Bool(false) | Value::Null => {}
            Value::Bool(true) => {
                modes.push(MODES.iter().position(|mode| mode.0 == name).ok_or_else(|| unknown(name))?);
            }
            value => return Err(Error::invalid_model(format!("{name} is {value}"))),
        }
    }
    modes.sort_unstable();
    let modes: Vec<Pooling> = modes.into_iter().map(|position| MODES[position].2).collect();
    Ok(if modes.is_empty() { vec![Pooling::Mean] } else { modes })
}

fn unknown(name: &str) -> Error {
    let known = MODES.map(|mode| mode.1).join(", ");
    Error::unsupported(format!("the pooling {name:?}; supported are {known}"))
}
