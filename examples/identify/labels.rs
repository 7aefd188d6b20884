//! The bundled model's configuration: sizes, labels and thresholds.

use std::collections::HashMap;

use gristmill::{Error, Result};
use serde::Deserialize;

/// The model's `config.min.json`.
#[derive(Deserialize)]
pub struct Config {
    pub beg_size: usize,
    pub end_size: usize,
    pub block_size: usize,
    pub min_file_size_for_dl: usize,
    pub padding_token: i32,
    medium_confidence_threshold: f32,
    target_labels_space: Vec<String>,
    thresholds: HashMap<String, f32>,
    overwrite_map: HashMap<String, String>,
}

#[derive(Deserialize)]
struct ContentType {
    is_text: bool,
}

/// Maps scores to labels.
pub struct Labels {
    config: Config,
    types: HashMap<String, ContentType>,
}

/// The type of a file.
#[derive(Clone, Debug, PartialEq)]
pub struct Label {
    /// The name of the type.
    pub label: String,
    /// The model's score, 0 to 1; 1 if no model was needed.
    pub score: f32,
}

impl Labels {
    /// Reads the bundled model's configuration.
    pub fn bundled() -> Result<Self> {
        let config = serde_json::from_str(include_str!("../models/magika/config.min.json")).map_err(Error::user)?;
        let types =
            serde_json::from_str(include_str!("../models/magika/content_types_kb.min.json")).map_err(Error::user)?;
        Ok(Self { config, types })
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The label of the highest score, or a general label if the score is below the threshold.
    pub fn choose(&self, scores: &[f32]) -> Result<Label> {
        let best = scores.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
        let (index, &score) = best.ok_or_else(|| Error::invalid_model("the model returned no scores"))?;
        let config = &self.config;
        let raw = config.target_labels_space.get(index);
        let raw = raw.ok_or_else(|| Error::invalid_model(format!("label {index} is not in the configuration")))?;
        let label = config.overwrite_map.get(raw).unwrap_or(raw);
        let threshold = config.thresholds.get(raw).copied().unwrap_or(config.medium_confidence_threshold);
        let label = match self.types.get(label) {
            _ if score >= threshold => label.as_str(),
            Some(kind) if kind.is_text => "txt",
            _ => "unknown",
        };
        Ok(Label { label: label.to_owned(), score })
    }
}
