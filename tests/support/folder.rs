//! Small encoders as Hugging Face folders, and what they compute, by plain loops.

use std::{fs, path::Path};

use half::{bf16, f16};
use serde_json::{Value, json};

/// Which names and positions an encoder has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Bert,
    Roberta,
    DistilBert,
}

/// The element type of the weights in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weights {
    F32,
    F16,
    Bf16,
}

/// One tensor, its values as the file's type rounds them.
#[derive(Clone, Debug)]
pub struct Entry {
    pub name: String,
    pub dtype: String,
    pub shape: Vec<usize>,
    pub values: Vec<f32>,
    pub bytes: Vec<u8>,
}

/// A folder to be written, each part open to damage.
#[derive(Clone, Debug)]
pub struct Folder {
    pub kind: Kind,
    pub config: Value,
    pub tensors: Vec<Entry>,
    pub tokenizer: Value,
    /// Further files: name and content.
    pub files: Vec<(String, String)>,
}

/// Adds a tensor: name, shape, and the spread and middle of its values.
type Add<'a> = &'a mut dyn FnMut(String, &[usize], f32, f32);

pub const HIDDEN: usize = 32;
pub const LAYERS: usize = 2;
pub const HEADS: usize = 4;
pub const INTERMEDIATE: usize = 48;
pub const POSITIONS: usize = 40;
const EPSILON: f64 = 1e-5;

/// Numbers in about -1..1, the same every time.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 40) as f32 / (1 << 23) as f32 - 1.0
    }
}

impl Folder {
    /// An encoder of two layers with mean pooling and vectors of length 1.
    pub fn new(kind: Kind, weights: Weights) -> Self {
        let tokenizer = tokenizer();
        let vocabulary = tokenizer["model"]["vocab"].as_object().unwrap().len();
        let mut folder =
            Self { kind, config: config(kind, vocabulary), tensors: Vec::new(), tokenizer, files: Vec::new() };
        let mut noise = Noise(7);
        let mut add = |name: String, shape: &[usize], scale: f32, offset: f32| {
            let values = (0..shape.iter().product()).map(|_| noise.next() * scale + offset).collect();
            folder.tensors.push(Entry::new(name, shape, values, weights));
        };
        add("embeddings.word_embeddings.weight".into(), &[vocabulary, HIDDEN], 0.5, 0.0);
        add("embeddings.position_embeddings.weight".into(), &[POSITIONS, HIDDEN], 0.2, 0.0);
        if kind != Kind::DistilBert {
            add("embeddings.token_type_embeddings.weight".into(), &[2, HIDDEN], 0.2, 0.0);
        }
        let norm = |add: Add<'_>, name: String| {
            add(format!("{name}.weight"), &[HIDDEN], 0.2, 1.0);
            add(format!("{name}.bias"), &[HIDDEN], 0.2, 0.0);
        };
        norm(&mut add, "embeddings.LayerNorm".into());
        let names = names(kind);
        for layer in 0..LAYERS {
            for (index, (inputs, outputs)) in SHAPES.iter().enumerate() {
                let name = format!("{}.{layer}.{}", names[0], names[1 + index]);
                add(format!("{name}.weight"), &[*outputs, *inputs], 0.3, 0.0);
                add(format!("{name}.bias"), &[*outputs], 0.3, 0.0);
            }
            norm(&mut add, format!("{}.{layer}.{}", names[0], names[7]));
            norm(&mut add, format!("{}.{layer}.{}", names[0], names[8]));
        }
        folder.set_sentence("pooling_mode_mean_tokens", true, None);
        folder
    }

    /// Replaces the sentence-transformers files.
    pub fn set_sentence(&mut self, mode: &str, normalize: bool, max_tokens: Option<usize>) {
        let module = |kind: &str, path: &str| json!({"idx": 0, "name": "0", "path": path, "type": format!("sentence_transformers.models.{kind}")});
        let mut modules = vec![module("Transformer", ""), module("Pooling", "1_Pooling")];
        modules.extend(normalize.then(|| module("Normalize", "2_Normalize")));
        let mut pooling = json!({"word_embedding_dimension": HIDDEN, "pooling_mode_cls_token": false,
            "pooling_mode_mean_tokens": false, "pooling_mode_max_tokens": false, "pooling_mode_mean_sqrt_len_tokens": false});
        pooling[mode] = true.into();
        self.set_file("modules.json", &Value::from(modules).to_string());
        self.set_file("1_Pooling/config.json", &pooling.to_string());
        self.set_file(
            "sentence_bert_config.json",
            &json!({"max_seq_length": max_tokens, "do_lower_case": false}).to_string(),
        );
    }

    /// Adds or replaces a further file.
    pub fn set_file(&mut self, name: &str, content: &str) {
        self.files.retain(|(other, _)| other != name);
        self.files.push((name.to_owned(), content.to_owned()));
    }

    /// A tensor of the file.
    pub fn tensor(&mut self, name: &str) -> &mut Entry {
        self.tensors.iter_mut().find(|entry| entry.name == name).unwrap_or_else(|| panic!("there is no {name}"))
    }

    /// Puts a prefix before every tensor's name.
    pub fn prefix(&mut self, prefix: &str) {
        for entry in &mut self.tensors {
            entry.name = format!("{prefix}{}", entry.name);
        }
    }

    /// Writes everything but the weights.
    pub fn write_settings(&self, path: &Path) {
        fs::write(path.join("config.json"), self.config.to_string()).unwrap();
        fs::write(path.join("tokenizer.json"), self.tokenizer.to_string()).unwrap();
        for (name, content) in &self.files {
            let file = path.join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, content).unwrap();
        }
    }

    /// Writes the whole folder.
    pub fn write(&self, path: &Path) {
        self.write_settings(path);
        fs::write(path.join("model.safetensors"), safetensors(&self.tensors)).unwrap();
    }

    /// Writes the whole folder, the weights in shards.
    pub fn write_sharded(&self, path: &Path, shards: usize) {
        self.write_settings(path);
        let mut map = serde_json::Map::new();
        for (index, part) in self.tensors.chunks(self.tensors.len().div_ceil(shards)).enumerate() {
            let name = format!("model-{index:05}-of-{shards:05}.safetensors");
            fs::write(path.join(&name), safetensors(part)).unwrap();
            map.extend(part.iter().map(|entry| (entry.name.clone(), Value::from(name.clone()))));
        }
        let index = json!({"metadata": {"total_size": 0}, "weight_map": map});
        fs::write(path.join("model.safetensors.index.json"), index.to_string()).unwrap();
    }

    /// A folder in a temporary place.
    pub fn temporary(&self) -> tempfile::TempDir {
        let path = tempfile::tempdir().unwrap();
        self.write(path.path());
        path
    }
}

impl Entry {
    /// A tensor of these values, rounded to the file's type.
    pub fn new(name: String, shape: &[usize], values: Vec<f32>, weights: Weights) -> Self {
        let shape = shape.to_vec();
        let (dtype, bytes, values): (&str, Vec<u8>, Vec<f32>) = match weights {
            Weights::F32 => ("F32", values.iter().flat_map(|value| value.to_le_bytes()).collect(), values),
            Weights::F16 => {
                let rounded: Vec<f16> = values.into_iter().map(f16::from_f32).collect();
                let bytes = rounded.iter().flat_map(|value| value.to_le_bytes()).collect();
                ("F16", bytes, rounded.into_iter().map(f16::to_f32).collect())
            }
            Weights::Bf16 => {
                let rounded: Vec<bf16> = values.into_iter().map(bf16::from_f32).collect();
                let bytes = rounded.iter().flat_map(|value| value.to_le_bytes()).collect();
                ("BF16", bytes, rounded.into_iter().map(bf16::to_f32).collect())
            }
        };
        Self { name, dtype: dtype.to_owned(), shape, values, bytes }
    }
}

/// A safetensors file of these tensors, in their order.
pub fn safetensors(tensors: &[Entry]) -> Vec<u8> {
    let mut entries = vec![r#""__metadata__":{"format":"pt"}"#.to_owned()];
    let mut data = Vec::new();
    for Entry { name, dtype, shape, bytes, .. } in tensors {
        let start = data.len();
        data.extend_from_slice(bytes);
        let end = data.len();
        entries.push(format!(r#""{name}":{{"dtype":"{dtype}","shape":{shape:?},"data_offsets":[{start},{end}]}}"#));
    }
    with_header(&format!("{{{}}}", entries.join(",")), &data)
}

/// A safetensors file of this header, whatever it says.
pub fn with_header(header: &str, data: &[u8]) -> Vec<u8> {
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend_from_slice(header.as_bytes());
    file.extend_from_slice(data);
    file
}

fn config(kind: Kind, vocabulary: usize) -> Value {
    match kind {
        Kind::Bert => json!({"model_type": "bert", "vocab_size": vocabulary, "hidden_size": HIDDEN,
            "num_hidden_layers": LAYERS, "num_attention_heads": HEADS, "intermediate_size": INTERMEDIATE,
            "max_position_embeddings": POSITIONS, "type_vocab_size": 2, "layer_norm_eps": EPSILON,
            "hidden_act": "gelu", "position_embedding_type": "absolute", "pad_token_id": 0}),
        Kind::Roberta => json!({"model_type": "xlm-roberta", "vocab_size": vocabulary, "hidden_size": HIDDEN,
            "num_hidden_layers": LAYERS, "num_attention_heads": HEADS, "intermediate_size": INTERMEDIATE,
            "max_position_embeddings": POSITIONS, "type_vocab_size": 2, "layer_norm_eps": EPSILON,
            "hidden_act": "gelu_new", "pad_token_id": 1}),
        Kind::DistilBert => json!({"model_type": "distilbert", "vocab_size": vocabulary, "dim": HIDDEN,
            "n_layers": LAYERS, "n_heads": HEADS, "hidden_dim": INTERMEDIATE,
            "max_position_embeddings": POSITIONS, "activation": "relu", "sinusoidal_pos_embds": false}),
    }
}

/// Inputs and outputs of a layer's products: query, key, value, attention output, up, down.
const SHAPES: [(usize, usize); 6] = [
    (HIDDEN, HIDDEN),
    (HIDDEN, HIDDEN),
    (HIDDEN, HIDDEN),
    (HIDDEN, HIDDEN),
    (HIDDEN, INTERMEDIATE),
    (INTERMEDIATE, HIDDEN),
];

/// The layer's name, its products' in the order of `SHAPES`, the norm behind the attention and the last norm.
fn names(kind: Kind) -> [&'static str; 9] {
    match kind {
        Kind::DistilBert => [
            "transformer.layer",
            "attention.q_lin",
            "attention.k_lin",
            "attention.v_lin",
            "attention.out_lin",
            "ffn.lin1",
            "ffn.lin2",
            "sa_layer_norm",
            "output_layer_norm",
        ],
        _ => [
            "encoder.layer",
            "attention.self.query",
            "attention.self.key",
            "attention.self.value",
            "attention.output.dense",
            "intermediate.dense",
            "output.dense",
            "attention.output.LayerNorm",
            "output.LayerNorm",
        ],
    }
}

/// Letters and their continuations, in BERT's way.
fn tokenizer() -> Value {
    let special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];
    let pieces = special.into_iter().map(str::to_owned).chain(["mill".to_owned(), "##ing".to_owned()]);
    let letters = ('a'..='z').flat_map(|letter| [letter.to_string(), format!("##{letter}")]);
    let vocabulary: serde_json::Map<String, Value> =
        pieces.chain(letters).enumerate().map(|(id, piece)| (piece, id.into())).collect();
    let added: Vec<Value> = special
        .iter()
        .enumerate()
        .map(|(id, content)| {
            json!({"id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
                   "normalized": false, "special": true})
        })
        .collect();
    json!({"version": "1.0", "truncation": null, "padding": null, "added_tokens": added,
        "normalizer": {"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true,
                       "strip_accents": null, "lowercase": true},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {"type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
                       {"SpecialToken": {"id": "[SEP]", "type_id": 0}}],
            "pair": [],
            "special_tokens": {"[CLS]": {"id": "[CLS]", "ids": [2], "tokens": ["[CLS]"]},
                               "[SEP]": {"id": "[SEP]", "ids": [3], "tokens": ["[SEP]"]}}},
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                  "max_input_chars_per_word": 20, "vocab": vocabulary}})
}

/// What the encoder makes of one text's tokens, in f64: `[tokens][hidden]`.
pub fn encode(folder: &Folder, ids: &[u32]) -> Vec<Vec<f64>> {
    let find = |name: &str| {
        let found = folder.tensors.iter().find(|entry| entry.name.ends_with(name));
        let values = found.unwrap_or_else(|| panic!("there is no {name}")).values.iter();
        values.map(|&value| f64::from(value)).collect::<Vec<f64>>()
    };
    let table = |name: &str| find(&format!("embeddings.{name}_embeddings.weight"));
    let epsilon = if folder.kind == Kind::DistilBert { 1e-12 } else { EPSILON };
    let norm = |rows: &mut [Vec<f64>], name: &str| {
        let (scale, bias) = (find(&format!("{name}.weight")), find(&format!("{name}.bias")));
        for row in rows {
            let mean = row.iter().sum::<f64>() / row.len() as f64;
            let variance = row.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / row.len() as f64;
            for (index, x) in row.iter_mut().enumerate() {
                *x = (*x - mean) / (variance + epsilon).sqrt() * scale[index] + bias[index];
            }
        }
    };
    let affine = |rows: &[Vec<f64>], name: &str| -> Vec<Vec<f64>> {
        let (weight, bias) = (find(&format!("{name}.weight")), find(&format!("{name}.bias")));
        let apply = |row: &Vec<f64>| {
            let of = |(index, bias): (usize, &f64)| {
                bias + row.iter().zip(&weight[index * row.len()..]).map(|(x, w)| x * w).sum::<f64>()
            };
            bias.iter().enumerate().map(of).collect()
        };
        rows.iter().map(apply).collect()
    };
    let add = |rows: &mut [Vec<f64>], other: &[Vec<f64>]| {
        for (row, other) in rows.iter_mut().zip(other) {
            row.iter_mut().zip(other).for_each(|(x, y)| *x += y);
        }
    };
    let (words, positions) = (table("word"), table("position"));
    let types = if folder.kind == Kind::DistilBert { vec![0.0; HIDDEN] } else { table("token_type") };
    let mut next = if folder.kind == Kind::Roberta { 2 } else { 0 };
    let mut x: Vec<Vec<f64>> = Vec::new();
    for &id in ids {
        // RoBERTa gives its padding token, here number 1, the row of that number and counts on without it.
        let padding = folder.kind == Kind::Roberta && id == 1;
        let row = if padding { 1 } else { next };
        next += usize::from(!padding);
        let (word, place) = (id as usize * HIDDEN, row * HIDDEN);
        x.push((0..HIDDEN).map(|index| words[word + index] + types[index] + positions[place + index]).collect());
    }
    norm(&mut x, "embeddings.LayerNorm");
    let names = names(folder.kind);
    for layer in 0..LAYERS {
        let name = |index: usize| format!("{}.{layer}.{}", names[0], names[index]);
        let [q, k, v] = [1, 2, 3].map(|index| affine(&x, &name(index)));
        let size = HIDDEN / HEADS;
        let mut mixed = vec![vec![0.0; HIDDEN]; x.len()];
        for head in 0..HEADS {
            let part = head * size..(head + 1) * size;
            for (row, query) in q.iter().enumerate() {
                let score = |key: &Vec<f64>| {
                    query[part.clone()].iter().zip(&key[part.clone()]).map(|(a, b)| a * b).sum::<f64>()
                        / (size as f64).sqrt()
                };
                let scores: Vec<f64> = k.iter().map(|key| score(key).exp()).collect();
                let sum: f64 = scores.iter().sum();
                for index in part.clone() {
                    mixed[row][index] = scores.iter().zip(&v).map(|(score, value)| score / sum * value[index]).sum();
                }
            }
        }
        let mut attended = affine(&mixed, &name(4));
        add(&mut attended, &x);
        norm(&mut attended, &name(7));
        let mut up = affine(&attended, &name(5));
        up.iter_mut().flatten().for_each(|x| *x = activation(folder.kind, *x));
        let mut down = affine(&up, &name(6));
        add(&mut down, &attended);
        norm(&mut down, &name(8));
        x = down;
    }
    x
}

fn activation(kind: Kind, x: f64) -> f64 {
    match kind {
        // The error function as the integral it is, by Simpson's rule.
        Kind::Bert => {
            let (end, steps) = (x / 2f64.sqrt(), 2000);
            let height = |step: usize| (-(end * step as f64 / steps as f64).powi(2)).exp();
            let weight = |step: usize| if step == 0 || step == steps { 1.0 } else { 2.0 + 2.0 * (step % 2) as f64 };
            let sum: f64 = (0..=steps).map(|step| weight(step) * height(step)).sum();
            let erf = sum * end / steps as f64 / 3.0 * 2.0 / std::f64::consts::PI.sqrt();
            x * (1.0 + erf) / 2.0
        }
        Kind::Roberta => x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3))).tanh()) / 2.0,
        Kind::DistilBert => x.max(0.0),
    }
}

/// Row 0, the mean or the largest of each column.
pub fn pool(rows: &[Vec<f64>], mode: &str, normalize: bool) -> Vec<f64> {
    let column = |index: usize| rows.iter().map(move |row| row[index]);
    let mut vector: Vec<f64> = (0..rows[0].len())
        .map(|index| match mode {
            "cls" => rows[0][index],
            "max" => column(index).fold(f64::NEG_INFINITY, f64::max),
            _ => column(index).sum::<f64>() / rows.len() as f64,
        })
        .collect();
    if normalize {
        let length = vector.iter().map(|x| x * x).sum::<f64>().sqrt();
        vector.iter_mut().for_each(|x| *x /= length);
    }
    vector
}

/// A copy of a folder, in whose files words are replaced: the file, from what, to what.
pub fn changed(source: &Path, changes: &[(&str, &str, &str)]) -> tempfile::TempDir {
    fn copy(from: &Path, to: &Path) {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
            let target = to.join(entry.file_name());
            match entry.path().is_dir() {
                true => copy(&entry.path(), &target),
                false => drop(fs::copy(entry.path(), target).unwrap()),
            }
        }
    }
    let folder = tempfile::tempdir().unwrap();
    copy(source, folder.path());
    for (file, from, to) in changes {
        let file = folder.path().join(file);
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.contains(from), "{text}");
        fs::write(&file, text.replace(from, to)).unwrap();
    }
    folder
}
