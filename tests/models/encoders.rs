//! Every encoder family against transformers: tiny random models, whose vectors `golden_encoders.py` computed.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use gristmill::{
    Device, Weights,
    bulk::{Bulk, Hot},
    text::{Embedder, EmbedderOptions},
};
use serde::Deserialize;

use crate::support::{data, folder::changed};

/// The largest difference of a number to transformers' in f32.
const MOST: f64 = 2e-5;

/// A text, its tokens, and the mean of its last hidden states.
#[derive(Deserialize)]
struct Golden {
    text: String,
    ids: Vec<u32>,
    #[serde(default)]
    vector: Vec<f64>,
}

fn goldens(folder: &Path) -> Vec<Golden> {
    serde_json::from_str(&fs::read_to_string(folder.join("golden.json")).unwrap()).unwrap()
}

#[test]
fn every_family_gives_the_vectors_of_transformers() {
    let folders = fs::read_dir(data::golden("encoders")).unwrap();
    let mut folders: Vec<_> = folders.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()).collect();
    folders.sort();
    assert!(folders.len() >= 15, "{} families", folders.len());
    let mut failures = Vec::new();
    for folder in folders {
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        let embedder = match Embedder::open(&folder, Device::Cpu) {
            Ok(embedder) => embedder,
            Err(error) => {
                failures.push(format!("{name}: {error}"));
                continue;
            }
        };
        let goldens = goldens(&folder);
        let texts: Vec<&str> = goldens.iter().map(|golden| golden.text.as_str()).collect();
        let (together, _) = embedder.bulk().run(&texts);
        let mut worst = 0f64;
        for (golden, vector) in goldens.iter().zip(together) {
            if golden.ids.is_empty() {
                if vector.is_ok() {
                    failures.push(format!("{name}: a vector of a text without tokens"));
                }
                continue;
            }
            let vector = match vector {
                Ok(vector) => vector,
                Err(error) => {
                    failures.push(format!("{name}: {:?}: {error}", golden.text));
                    continue;
                }
            };
            assert_eq!(vector.len(), golden.vector.len(), "{name}");
            let differences = vector.iter().zip(&golden.vector).map(|(&own, &other)| (f64::from(own) - other).abs());
            let most = differences.fold(0f64, f64::max);
            worst = worst.max(most);
            if most.is_nan() || most > MOST {
                failures.push(format!("{name}: {:?} ({} tokens) differs by {most:e}", golden.text, golden.ids.len()));
            }
            let alone = embedder.embed(&[golden.text.as_str()]).unwrap();
            if alone[0] != vector {
                failures.push(format!("{name}: {:?} differs among other texts", golden.text));
            }
        }
        println!("{name}: at most {worst:.1e}");
    }
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}

/// The bits of a text's vector depend on neither its neighbours, nor chunks, workers and order.
#[test]
fn every_family_gives_a_text_the_same_bits_in_any_company() {
    let folders = fs::read_dir(data::golden("encoders")).unwrap();
    for folder in folders.map(|entry| entry.unwrap().path()) {
        let embedder = Embedder::open(&folder, Device::Cpu).unwrap();
        let mut texts: Vec<String> =
            goldens(&folder).into_iter().filter(|golden| !golden.ids.is_empty()).map(|golden| golden.text).collect();
        let expected = embedder.embed(&texts).unwrap();
        for (chunk, workers) in [(1, 2), (2, 1), (7, 2), (64, 1)] {
            let (vectors, _) = embedder.bulk().chunk_size(chunk).workers(workers).run(&texts);
            let vectors: Vec<_> = vectors.into_iter().map(Result::unwrap).collect();
            assert_eq!(vectors, expected, "{}: chunks of {chunk}, {workers} workers", folder.display());
        }
        texts.reverse();
        let (vectors, _) = embedder.bulk().chunk_size(5).run(&texts);
        assert!(vectors.into_iter().map(Result::unwrap).eq(expected.into_iter().rev()), "{}", folder.display());
    }
}

/// Positions without a table go on behind the number that the settings name.
#[test]
fn texts_are_as_long_as_asked_for_where_positions_allow_it() {
    let text = "the quick brown fox jumps over the lazy dog ".repeat(20);
    let open =
        |folder: &Path, tokens| Embedder::open_with(folder, &EmbedderOptions::on(Device::Cpu).max_tokens(tokens));
    for (name, setting) in
        [("esm", "max_position_embeddings"), ("qwen3", "max_position_embeddings"), ("t5", "n_positions")]
    {
        let source = data::golden("encoders").join(name);
        let wider = changed(&source, &[("config.json", &format!("\"{setting}\": 64"), &format!("\"{setting}\": 100"))]);
        let vectors = [&source, wider.path()].map(|folder| open(folder, 100).unwrap().embed(&[text.as_str()]).unwrap());
        assert_eq!(vectors[0], vectors[1], "{name}");
        assert_ne!(vectors[0], open(&source, 64).unwrap().embed(&[text.as_str()]).unwrap(), "{name}");
        // The folder may ask for it too, but the tokenizer's limit is no more than a limit.
        fs::write(wider.path().join("sentence_bert_config.json"), r#"{"max_seq_length": 120}"#).unwrap();
        assert_eq!(Embedder::open(wider.path(), Device::Cpu).unwrap().max_tokens(), 120, "{name}");
        if name == "qwen3" {
            fs::remove_file(wider.path().join("tokenizer_config.json")).unwrap();
            assert_eq!(Embedder::open(wider.path(), Device::Cpu).unwrap().max_tokens(), 120, "no tokenizer's settings");
        }
        let lax =
            changed(&source, &[("tokenizer_config.json", "\"model_max_length\": 64", "\"model_max_length\": 90")]);
        let most = if name == "t5" { 90 } else { 64 };
        assert_eq!(Embedder::open(lax.path(), Device::Cpu).unwrap().max_tokens(), most, "{name}");
    }
    for name in ["bert", "esm-table", "eurobert-dynamic", "jina-bert", "gte-new"] {
        let error = open(&data::golden("encoders").join(name), 100).unwrap_err().to_string();
        assert!(error.contains("100 tokens"), "{name}: {error}");
    }
}

/// Such a model scales all tokens by the part of the text that is not masked.
#[test]
fn a_masked_token_is_refused_where_it_would_scale_the_others() {
    let embed =
        |name: &str| Embedder::open(data::golden("encoders").join(name), Device::Cpu).unwrap().embed(&["a <mask> b"]);
    let error = embed("esm").unwrap_err().to_string();
    assert!(error.contains("masked"), "{error}");
    embed("esm-table").unwrap();
}

#[test]
fn a_shared_table_is_found_by_its_other_name() {
    let source = data::golden("encoders/t5");
    let folder = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(&source).unwrap().map(Result::unwrap) {
        fs::copy(entry.path(), folder.path().join(entry.file_name())).unwrap();
    }
    let file = folder.path().join("model.safetensors");
    let bytes = fs::read(&file).unwrap();
    let (length, rest) = bytes.split_at(8);
    let (header, tensors) = rest.split_at(u64::from_le_bytes(length.try_into().unwrap()) as usize);
    let header = std::str::from_utf8(header).unwrap().replace("\"shared.weight\"", "\"encoder.embed_tokens.weight\"");
    let renamed = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), tensors].concat();
    assert_ne!(renamed, bytes);
    fs::write(&file, renamed).unwrap();
    let vectors = |path: &Path| Embedder::open(path, Device::Cpu).unwrap().embed(&["the quick brown fox"]).unwrap();
    assert_eq!(vectors(folder.path()), vectors(&source));
}

#[test]
fn mapped_weights_give_the_same_vectors() {
    for name in ["albert", "bart", "mbart", "modernbert", "qwen3", "t5-gated"] {
        let folder = data::golden("encoders").join(name);
        let open = |weights| Embedder::open_with(&folder, &EmbedderOptions::on(Device::Cpu).weights(weights)).unwrap();
        let (copied, mapped) = (open(Weights::Own), open(Weights::Mapped));
        let texts: Vec<String> =
            goldens(&folder).into_iter().filter(|golden| !golden.ids.is_empty()).map(|golden| golden.text).collect();
        assert_eq!(copied.embed(&texts).unwrap(), mapped.embed(&texts).unwrap(), "{name}");
    }
}

#[test]
fn an_embedder_is_replaced_by_one_of_the_same_length() {
    let folder = |name: &str| -> PathBuf { data::golden("encoders").join(name) };
    let vector = |name: &str| Embedder::open(folder(name), Device::Cpu).unwrap().embed(&["a text"]).unwrap().remove(0);
    let hot = Arc::new(Hot::embedder(folder("bert"), &EmbedderOptions::on(Device::Cpu)).unwrap());
    let bulk = Bulk::hot(hot.clone());
    let now = || bulk.map(["a text"]).next().unwrap().unwrap();
    assert_eq!(now(), vector("bert"));
    assert_eq!(hot.reload(folder("mpnet")).unwrap(), 2);
    assert_eq!(now(), vector("mpnet"));
    let message = hot.reload(data::data("minilm")).unwrap_err().to_string();
    assert!(message.contains("a text to 384 numbers") && message.contains("a text to 32 numbers"), "{message}");
    assert_eq!((hot.version(), now()), (2, vector("mpnet")));
}

#[test]
fn a_queue_of_an_embedder_answers() {
    let folder = data::golden("encoders/bert");
    let embedder = Embedder::open(folder, Device::Cpu).unwrap();
    let queue = embedder.queue(Duration::from_millis(1)).unwrap();
    let answers = [queue.submit("a text".to_owned()), queue.submit("another".to_owned())];
    let vectors: Vec<_> = answers.into_iter().map(|answer| answer.wait().unwrap().unwrap()).collect();
    assert_eq!(vectors, embedder.embed(&["a text", "another"]).unwrap());
}

#[test]
fn hidden_states_that_are_asked_for_change_no_vector() {
    let source = data::golden("encoders/bert");
    let asking = changed(&source, &[("config.json", "{", r#"{"output_hidden_states": true, "#)]);
    let [plain, asking] = [&source, asking.path()].map(|folder| Embedder::open(folder, Device::Cpu).unwrap());
    assert_eq!(asking.embed(&["a mill"]).unwrap(), plain.embed(&["a mill"]).unwrap());
}

#[test]
fn each_view_of_a_model_counts_its_own_truncated_texts() {
    let folder = data::golden("encoders/bert");
    let embedder = Embedder::open(folder, Device::Cpu).unwrap();
    let queries = embedder.queries().unwrap();
    let counts = || [&embedder, &queries].map(|view| view.describe().truncated);
    queries.embed(&["word ".repeat(200)]).unwrap();
    assert_eq!(counts(), [0, 1]);
    embedder.embed(&["word ".repeat(200), "word ".repeat(300)]).unwrap();
    assert_eq!(counts(), [2, 1]);
}
