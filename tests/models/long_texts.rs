//! The memory of long texts: ModernBERT-base's width at 8,192 tokens.

use std::{fs, fs::File, io::Write};

use gristmill::{
    Device, ErrorKind, SessionOptions,
    text::{Embedder, EmbedderOptions},
};
use serde_json::{Map, Value, json};

use crate::support::data;

const TOKENS: usize = 8192;
const HIDDEN: usize = 768;
const INTERMEDIATE: usize = 1152;
/// A layer that sees all tokens and two that see a window; further ones use the same memory again.
const LAYERS: usize = 4;

/// A folder of that shape with the tokenizer of the small one; all weights are zeros.
fn folder() -> tempfile::TempDir {
    let (source, folder) = (data::golden("encoders/modernbert"), tempfile::tempdir().unwrap());
    for file in ["tokenizer.json", "tokenizer_config.json"] {
        let text = fs::read_to_string(source.join(file)).unwrap();
        let text = text.replace("\"model_max_length\": 64", &format!("\"model_max_length\": {TOKENS}"));
        fs::write(folder.path().join(file), text).unwrap();
    }
    let mut config: Map<String, Value> =
        serde_json::from_str(&fs::read_to_string(source.join("config.json")).unwrap()).unwrap();
    for (name, value) in [
        ("hidden_size", HIDDEN.into()),
        ("intermediate_size", INTERMEDIATE.into()),
        ("num_attention_heads", 12.into()),
        ("max_position_embeddings", TOKENS.into()),
        ("local_attention", 128.into()),
    ] {
        config.insert(name.to_owned(), value);
    }
    fs::write(folder.path().join("config.json"), Value::from(config).to_string()).unwrap();
    let mut shapes = vec![
        ("embeddings.tok_embeddings.weight".to_owned(), vec![320, HIDDEN]),
        ("embeddings.norm.weight".to_owned(), vec![HIDDEN]),
        ("final_norm.weight".to_owned(), vec![HIDDEN]),
    ];
    for layer in 0..LAYERS {
        let mut add = |part: &str, shape: Vec<usize>| shapes.push((format!("layers.{layer}.{part}.weight"), shape));
        add("attn.Wqkv", vec![3 * HIDDEN, HIDDEN]);
        add("attn.Wo", vec![HIDDEN, HIDDEN]);
        add("mlp.Wi", vec![2 * INTERMEDIATE, HIDDEN]);
        add("mlp.Wo", vec![HIDDEN, INTERMEDIATE]);
        add("mlp_norm", vec![HIDDEN]);
        if layer > 0 {
            add("attn_norm", vec![HIDDEN]);
        }
    }
    let (mut header, mut end) = (Map::new(), 0);
    for (name, shape) in shapes {
        let start = end;
        end += 4 * shape.iter().product::<usize>();
        header.insert(name, json!({"dtype": "F32", "shape": shape, "data_offsets": [start, end]}));
    }
    let header = Value::from(header).to_string();
    let mut file = File::create(folder.path().join("model.safetensors")).unwrap();
    file.write_all(&(header.len() as u64).to_le_bytes()).unwrap();
    file.write_all(header.as_bytes()).unwrap();
    file.set_len((8 + header.len() + end) as u64).unwrap();
    folder
}

/// The bytes of a run, which one that has fewer is refused with before it begins.
fn needed(folder: &tempfile::TempDir, cap: usize) -> usize {
    let mut options = EmbedderOptions::on(Device::Cpu);
    options.session = SessionOptions::on(Device::Cpu).max_run_bytes(cap);
    let embedder = Embedder::open_with(folder.path(), &options).unwrap();
    assert_eq!(embedder.max_tokens(), TOKENS);
    let error = embedder.embed(&["word ".repeat(2 * TOKENS)]).unwrap_err();
    assert_eq!(error.source.kind(), ErrorKind::Limit, "{error}");
    let text = error.to_string();
    let (_, rest) = text.split_once("the run needs ").unwrap_or_else(|| panic!("{text}"));
    rest.split_once(" bytes").and_then(|(bytes, _)| bytes.parse().ok()).unwrap_or_else(|| panic!("{text}"))
}

#[test]
fn a_text_of_8192_tokens_takes_less_than_512_mib_beside_the_weights() {
    let folder = folder();
    let values = needed(&folder, 1 << 20);
    // With room for the values alone the error tells of the scratch too.
    let all = needed(&folder, values);
    println!("values {values}, with scratch {all}");
    assert!(all > values && values > TOKENS * 3 * HIDDEN * 4);
    assert!(all < 512 << 20, "{all} bytes");
}
