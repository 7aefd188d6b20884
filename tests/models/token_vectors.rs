//! Vectors of tokens: `golden_colbert.py` made the models and computed the vectors.

use std::{fs, path::PathBuf};

use gristmill::{
    Device, ErrorKind, Weights,
    text::{TokenEmbedder, TokenOptions, TokenVectors},
};

use crate::support::{data::golden, folder::changed};

/// The largest difference of a number to its golden in f32.
const MOST: f64 = 2e-5;

/// The vectors of a text as a query and as a document.
type Golden = [Option<Vec<Vec<f64>>>; 2];

fn heads(name: &str) -> PathBuf {
    golden("heads").join(name)
}

fn texts() -> Vec<String> {
    serde_json::from_str(&fs::read_to_string(heads("texts.json")).unwrap()).unwrap()
}

/// The largest difference of a number.
fn difference(own: &TokenVectors, golden: &[Vec<f64>], place: &str) -> f64 {
    assert_eq!(own.iter().len(), golden.len(), "{place}");
    assert_eq!(own.ids().len(), golden.len(), "{place}");
    let mut worst = 0f64;
    for (own, golden) in own.iter().zip(golden) {
        assert_eq!(own.len(), golden.len(), "{place}");
        for (own, golden) in own.iter().zip(golden) {
            let difference = (f64::from(*own) - golden).abs();
            assert!(difference <= MOST, "{place} differs by {difference:e}");
            worst = worst.max(difference);
        }
    }
    worst
}

#[test]
fn every_late_interaction_model_gives_the_vectors_of_sentence_transformers() {
    let texts = texts();
    for name in ["fixed", "least", "pylate", "stanford"] {
        let folder = heads("colbert").join(name);
        let golden: Vec<Golden> =
            serde_json::from_str(&fs::read_to_string(folder.join("golden.json")).unwrap()).unwrap();
        let documents = TokenEmbedder::open(&folder, Device::Cpu).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(documents.dimension(), 4, "{name}");
        let options = TokenOptions::on(Device::Cpu).weights(Weights::Mapped);
        let mapped = TokenEmbedder::open_with(&folder, &options).unwrap();
        let queries = documents.queries().unwrap();
        let sides =
            [(&queries, mapped.queries().unwrap(), "query"), (&documents, mapped.documents().unwrap(), "document")];
        let mut worst = 0f64;
        for (side, (embedder, mapped, what)) in sides.into_iter().enumerate() {
            let wanted: Vec<usize> = (0..texts.len()).filter(|text| golden[*text][side].is_some()).collect();
            assert!(wanted.len() >= 6);
            let own: Vec<&str> = wanted.iter().map(|text| texts[*text].as_str()).collect();
            let before = embedder.describe().truncated;
            let (together, _) = embedder.bulk().run(&own);
            let by_mapped = mapped.embed(&own).unwrap();
            let mut truncated = 0;
            for (text, (own, other)) in wanted.into_iter().zip(together.into_iter().zip(by_mapped)) {
                let place = format!("{name}, {what}, {:?}", texts[text]);
                let own = own.unwrap_or_else(|error| panic!("{place}: {error}"));
                truncated += usize::from(own.truncated());
                worst = worst.max(difference(&own, golden[text][side].as_ref().unwrap(), &place));
                assert_eq!(
                    embedder.embed(&[texts[text].as_str()]).unwrap(),
                    std::slice::from_ref(&own),
                    "{place}, alone"
                );
                assert_eq!(other, own, "{place}, mapped");
            }
            assert!(truncated > 0, "{name}, {what}");
            assert_eq!((embedder.describe().truncated - before) as usize, 2 * truncated, "{name}, {what}");
        }
        println!("{name}: at most {worst:.1e}");
    }
}

#[test]
fn folders_of_older_versions_of_pylate_have_no_type() {
    let (folder, file) = (heads("colbert/pylate"), "config_sentence_transformers.json");
    let due = TokenEmbedder::open(&folder, Device::Cpu).unwrap();
    for (from, to) in [("\"model_type\": \"ColBERT\",", ""), ("\"ColBERT\"", "\"SentenceTransformer\"")] {
        let older = changed(&folder, &[(file, from, to)]);
        let own = TokenEmbedder::open(older.path(), Device::Cpu).unwrap();
        let texts = ["a fox jumps", "the lazy dog, again"];
        assert_eq!(own.embed(&texts).unwrap(), due.embed(&texts).unwrap());
        let [own, due] = [&own, &due].map(|own| own.queries().unwrap().embed(&texts).unwrap());
        assert_eq!(own, due);
    }
}

#[test]
fn queries_score_documents_by_their_largest_products() {
    let documents = TokenEmbedder::open(heads("colbert/fixed"), Device::Cpu).unwrap();
    let query = documents.queries().unwrap().embed(&["a fox"]).unwrap().remove(0);
    let document = documents.embed(&["the lazy dog"]).unwrap().remove(0);
    let mut expected = 0f64;
    for query in query.iter() {
        let product = |other: &[f32]| query.iter().zip(other).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
        expected += document.iter().map(product).fold(f64::NEG_INFINITY, f64::max);
    }
    assert!((f64::from(query.max_similarity(&document)) - expected).abs() < 1e-5);
    assert_eq!((query.tokens(), query.iter().len()), (12, 12));
    // Punctuation has no vector.
    let marked = documents.embed(&["the lazy dog ..."]).unwrap().remove(0);
    assert_eq!(marked.iter().len() + 3, marked.tokens());
}

#[test]
fn what_is_not_read_is_refused() {
    let (text, mask) = ("sentence_bert_config.json", "2_MultiVectorMask/config.json");
    for (name, file, from, to, named) in [
        ("colbert/fixed", text, "\"fixed\"", "\"most\"", "strategy `most`"),
        ("colbert/fixed", text, "\"length\": 12", "\"length\": 0", "length is 0"),
        ("colbert/fixed", text, "\"length\": 12", "\"length\": 65", "queries of 65 tokens"),
        ("colbert/fixed", text, "\"length\": 12", "\"length\": 12, \"other\": 1", "other"),
        ("colbert/fixed", text, "\"length\": 12", "\"length\": 12, \"token\": \"[NO]\"", "[NO]"),
        ("colbert/fixed", mask, "\"keep_only_token_ids\": null", "\"keep_only_token_ids\": [3]", "keep_only_token_ids"),
        ("colbert/fixed", "3_Normalize/config.json", "token_embeddings", "sentence_embedding", "Normalize"),
        (
            "colbert/fixed",
            "1_Dense/config.json",
            "\"module_input_name\": \"token_embeddings\"",
            "\"module_input_name\": \"sentence_embedding\"",
            "module_input_name",
        ),
        (
            "colbert/fixed",
            "modules.json",
            "MultiVectorMask\"",
            "HierarchicalTokenPooling\"",
            "HierarchicalTokenPooling",
        ),
        ("colbert/pylate", "modules.json", "pylate.models", "own.models", "code of its own"),
        ("colbert/pylate", "config_sentence_transformers.json", "\"ColBERT\"", "\"Other\"", "MultiVectorMask"),
        ("colbert/stanford", "config.json", "HF_ColBERT", "BertModel", "HF_ColBERT"),
    ] {
        let folder = changed(&heads(name), &[(file, from, to)]);
        let queries = TokenEmbedder::open(folder.path(), Device::Cpu).and_then(|documents| documents.queries());
        let error = queries.expect_err(named).to_string();
        assert!(error.contains(named), "{error}");
    }
    let few = TokenOptions::on(Device::Cpu).max_tokens(2);
    let error = TokenEmbedder::open_with(heads("colbert/least"), &few).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
}
