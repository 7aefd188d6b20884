//! Models of word vectors against model2vec and sentence-transformers: `golden_words.py` made them.

use std::fs;

use gristmill::{
    Device, Weights,
    text::{Embedder, EmbedderOptions},
};
use serde::Deserialize;

use crate::support::data::golden;

/// The largest difference of a number.
const MOST: f64 = 2e-5;

#[derive(Deserialize)]
struct Golden {
    text: String,
    vector: Vec<f64>,
}

#[test]
fn word_vectors_are_those_of_their_authors_tools() {
    let folder = golden("words");
    for name in ["model2vec", "model2vec-mapped", "static", "static-cut"] {
        let folder = folder.join(name);
        let goldens: Vec<Golden> =
            serde_json::from_str(&fs::read_to_string(folder.join("golden.json")).unwrap()).unwrap();
        let embedder = Embedder::open(&folder, Device::Cpu).unwrap_or_else(|error| panic!("{name}: {error}"));
        let texts: Vec<&str> = goldens.iter().map(|golden| golden.text.as_str()).collect();
        let (together, _) = embedder.bulk().run(&texts);
        let mapped = EmbedderOptions::on(Device::Cpu).weights(Weights::Mapped);
        let mapped = Embedder::open_with(&folder, &mapped).unwrap();
        for (golden, vector) in goldens.iter().zip(together) {
            let vector = vector.unwrap_or_else(|error| panic!("{name}: {:?}: {error}", golden.text));
            assert_eq!(vector.len(), golden.vector.len(), "{name}");
            for (&own, &other) in vector.iter().zip(&golden.vector) {
                assert!((f64::from(own) - other).abs() <= MOST, "{name}: {:?}: {own} for {other}", golden.text);
            }
            for embedder in [&embedder, &mapped] {
                assert_eq!(embedder.embed(&[golden.text.as_str()]).unwrap()[0], vector, "{name}: {:?}", golden.text);
            }
        }
        assert!(embedder.describe().truncated > 0 || !name.contains('-'), "{name}");
    }
}

#[test]
fn limits_of_the_caller_replace_those_of_a_folder() {
    let folder = golden("words/static-cut");
    let embedder = |tokens| Embedder::open_with(&folder, &EmbedderOptions::on(Device::Cpu).max_tokens(tokens)).unwrap();
    let text = ["one two three four five six"];
    assert_eq!(embedder(7).embed(&text).unwrap(), Embedder::open(&folder, Device::Cpu).unwrap().embed(&text).unwrap());
    assert_ne!(embedder(7).embed(&text).unwrap(), embedder(30).embed(&text).unwrap());
}

#[test]
fn a_table_of_bytes_is_read_as_its_numbers() {
    let source = golden("words/model2vec");
    let bytes = fs::read(source.join("model.safetensors")).unwrap();
    let start = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header: serde_json::Value = serde_json::from_slice(&bytes[8..start]).unwrap();
    let shape = header["embeddings"]["shape"].clone();
    let numbers = bytes[start..].chunks_exact(4).map(|four| f32::from_le_bytes(four.try_into().unwrap()));
    let whole: Vec<i8> = numbers.map(|number| (number * 40.0).clamp(-127.0, 127.0) as i8).collect();
    let vectors = |kind: &str, data: Vec<u8>| {
        let folder = tempfile::tempdir().unwrap();
        for name in ["config.json", "tokenizer.json"] {
            fs::copy(source.join(name), folder.path().join(name)).unwrap();
        }
        let header =
            serde_json::json!({"embeddings": {"dtype": kind, "shape": shape, "data_offsets": [0, data.len()]}});
        let header = serde_json::to_vec(&header).unwrap();
        let file = [&(header.len() as u64).to_le_bytes()[..], &header, &data].concat();
        fs::write(folder.path().join("model.safetensors"), file).unwrap();
        Embedder::open(folder.path(), Device::Cpu).unwrap().embed(&["the quick brown fox", "a"]).unwrap()
    };
    let bytes = vectors("I8", whole.iter().map(|number| number.to_le_bytes()[0]).collect());
    let floats = vectors("F32", whole.iter().flat_map(|&number| f32::from(number).to_le_bytes()).collect());
    assert_eq!(bytes, floats);
    assert!(bytes[0].iter().any(|&number| number != 0.0));
}
