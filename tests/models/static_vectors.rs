//! Models of word vectors against model2vec and sentence-transformers: `golden_words.py` made them.

use std::{fs, path::Path};

use gristmill::{
    Device, Weights,
    text::{Embedder, EmbedderOptions},
};
use serde::Deserialize;

/// The largest difference of a number.
const MOST: f64 = 2e-5;

#[derive(Deserialize)]
struct Golden {
    text: String,
    vector: Vec<f64>,
}

#[test]
fn word_vectors_are_those_of_their_authors_tools() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/words");
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
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/words/static-cut");
    let embedder = |tokens| Embedder::open_with(&folder, &EmbedderOptions::on(Device::Cpu).max_tokens(tokens)).unwrap();
    let text = ["one two three four five six"];
    assert_eq!(embedder(7).embed(&text).unwrap(), Embedder::open(&folder, Device::Cpu).unwrap().embed(&text).unwrap());
    assert_ne!(embedder(7).embed(&text).unwrap(), embedder(30).embed(&text).unwrap());
}
