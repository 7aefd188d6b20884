//! Folders of encoders with random weights of true shapes, made from a seed.

use std::{
    fs::{self, File},
    io::{BufWriter, Write},
    path::Path,
};

use serde_json::{Map, Value, json};

use crate::Outcome;

/// The shape of an encoder.
#[derive(Clone, Copy)]
pub struct Encoder {
    pub name: &'static str,
    pub layers: usize,
    pub hidden: usize,
    pub heads: usize,
    pub vocabulary: usize,
}

pub const MINILM: Encoder = Encoder { name: "minilm", layers: 6, hidden: 384, heads: 12, vocabulary: 30_522 };
pub const BERT: Encoder = Encoder { name: "bert-base", layers: 12, hidden: 768, heads: 12, vocabulary: 30_522 };

/// The most tokens of a text.
const POSITIONS: usize = 512;
/// The seed of all weights.
const SEED: u64 = 42;

impl Encoder {
    /// The same encoder with few layers and columns, for a rehearsal.
    pub fn tiny(self) -> Self {
        Self { layers: self.layers / 6, hidden: 48, ..self }
    }

    /// The names and shapes of its tensors.
    fn tensors(&self) -> Vec<(String, Vec<usize>)> {
        let (h, wide) = (self.hidden, 4 * self.hidden);
        let mut tensors: Vec<(String, Vec<usize>)> = Vec::new();
        let mut add = |name: String, shape: &[usize]| tensors.push((name, shape.to_vec()));
        add("embeddings.word_embeddings.weight".into(), &[self.vocabulary, h]);
        add("embeddings.position_embeddings.weight".into(), &[POSITIONS, h]);
        add("embeddings.token_type_embeddings.weight".into(), &[2, h]);
        add("embeddings.LayerNorm.weight".into(), &[h]);
        add("embeddings.LayerNorm.bias".into(), &[h]);
        for layer in 0..self.layers {
            let parts = [
                ("attention.self.query", h, h),
                ("attention.self.key", h, h),
                ("attention.self.value", h, h),
                ("attention.output.dense", h, h),
                ("intermediate.dense", wide, h),
                ("output.dense", h, wide),
            ];
            for (part, out, input) in parts {
                add(format!("encoder.layer.{layer}.{part}.weight"), &[out, input]);
                add(format!("encoder.layer.{layer}.{part}.bias"), &[out]);
            }
            for part in ["attention.output", "output"] {
                add(format!("encoder.layer.{layer}.{part}.LayerNorm.weight"), &[h]);
                add(format!("encoder.layer.{layer}.{part}.LayerNorm.bias"), &[h]);
            }
        }
        tensors
    }

    /// Writes the folder of a sentence encoder; `tokenizer` is its tokenizer.json.
    pub fn write(&self, folder: &Path, tokenizer: &Path) -> Outcome {
        fs::create_dir_all(folder.join("1_Pooling"))?;
        fs::copy(tokenizer, folder.join("tokenizer.json"))?;
        let config = json!({
            "architectures": ["BertModel"], "model_type": "bert", "hidden_act": "gelu", "hidden_size": self.hidden,
            "intermediate_size": 4 * self.hidden, "layer_norm_eps": 1e-12, "max_position_embeddings": POSITIONS,
            "num_attention_heads": self.heads, "num_hidden_layers": self.layers, "pad_token_id": 0,
            "position_embedding_type": "absolute", "type_vocab_size": 2, "vocab_size": self.vocabulary,
        });
        let module = |idx: usize, path: &str, kind: &str| json!({"idx": idx, "name": idx.to_string(), "path": path, "type": format!("sentence_transformers.models.{kind}")});
        let pooling = json!({
            "word_embedding_dimension": self.hidden, "pooling_mode_cls_token": false, "pooling_mode_mean_tokens": true,
            "pooling_mode_max_tokens": false, "pooling_mode_mean_sqrt_len_tokens": false,
        });
        let modules = json!([
            module(0, "", "Transformer"),
            module(1, "1_Pooling", "Pooling"),
            module(2, "2_Normalize", "Normalize")
        ]);
        let files = [
            ("config.json", config),
            ("modules.json", modules),
            ("sentence_bert_config.json", json!({"max_seq_length": 256, "do_lower_case": false})),
            ("1_Pooling/config.json", pooling),
        ];
        for (name, value) in files {
            fs::write(folder.join(name), value.to_string())?;
        }
        self.write_weights(&folder.join("model.safetensors"))
    }

    fn write_weights(&self, path: &Path) -> Outcome {
        let tensors = self.tensors();
        let (mut header, mut at) = (Map::new(), 0);
        for (name, shape) in &tensors {
            let bytes = 4 * shape.iter().product::<usize>();
            header.insert(name.clone(), json!({"dtype": "F32", "shape": shape, "data_offsets": [at, at + bytes]}));
            at += bytes;
        }
        let mut header = Value::Object(header).to_string();
        header.push_str(&" ".repeat(header.len().next_multiple_of(8) - header.len()));
        let mut file = BufWriter::with_capacity(1 << 20, File::create(path)?);
        file.write_all(&(header.len() as u64).to_le_bytes())?;
        file.write_all(header.as_bytes())?;
        let mut random = Random(SEED);
        for (name, shape) in &tensors {
            // Norms scale by about 1; matrices keep the magnitude of their rows.
            let (centre, spread) = match shape[..] {
                [_] if name.ends_with("LayerNorm.weight") => (1.0, 0.2),
                [_] => (0.0, 0.05),
                [_, columns] if name.starts_with("encoder") => (0.0, (3.0 / columns as f32).sqrt()),
                _ => (0.0, 0.1),
            };
            for _ in 0..shape.iter().product() {
                file.write_all(&(centre + spread * random.number()).to_le_bytes())?;
            }
        }
        Ok(file.flush()?)
    }
}

/// Pseudo-random numbers.
pub struct Random(pub u64);

impl Random {
    /// The next number between -1 and 1.
    pub fn number(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }

    /// A vector of numbers between -1 and 1, times `scale`.
    pub fn vector(&mut self, count: usize, scale: f32) -> Vec<f32> {
        (0..count).map(|_| scale * self.number()).collect()
    }
}
