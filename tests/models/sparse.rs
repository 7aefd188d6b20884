//! Sparse vectors: `golden_sparse.py` made the models and computed the weights.

use std::{fs, path::PathBuf};

use gristmill::{
    Device, ErrorKind, Weights,
    text::{Prompt, SparseEmbedder, SparseOptions},
};

use crate::support::{data::golden, folder::changed};

/// The largest difference of a weight to its golden in f32.
const MOST: f64 = 2e-5;

fn heads(name: &str) -> PathBuf {
    golden("heads").join(name)
}

fn texts() -> Vec<String> {
    serde_json::from_str(&fs::read_to_string(heads("texts.json")).unwrap()).unwrap()
}

#[test]
fn every_masked_word_head_gives_the_weights_of_sentence_transformers() {
    let texts = texts();
    for name in ["albert", "bert", "distilbert", "electra", "modernbert", "mpnet", "roberta"] {
        let folder = heads("sparse").join(name);
        let golden = fs::read_to_string(folder.join("golden.json")).unwrap();
        let golden: Vec<(Vec<u32>, Vec<f64>)> = serde_json::from_str(&golden).unwrap();
        let embedder = SparseEmbedder::open(&folder, Device::Cpu).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(embedder.dimension(), 320);
        let (together, _) = embedder.bulk().run(&texts);
        let options = SparseOptions::on(Device::Cpu).weights(Weights::Mapped);
        let mapped = SparseEmbedder::open_with(&folder, &options).unwrap();
        let by_mapped = mapped.embed(&texts).unwrap();
        let (mut worst, mut truncated) = (0f64, 0);
        for ((text, (ids, weights)), (own, other)) in texts.iter().zip(&golden).zip(together.into_iter().zip(by_mapped))
        {
            let own = own.unwrap_or_else(|error| panic!("{name}: {text:?}: {error}"));
            truncated += usize::from(own.truncated);
            // A weight that is nearly 0 is there or not.
            let weight =
                |word: u32| own.weights.iter().find(|(own, _)| *own == word).map_or(0.0, |(_, weight)| *weight);
            let golden = |word: u32| ids.iter().position(|own| *own == word).map_or(0.0, |place| weights[place]);
            for word in 0..320 {
                let difference = (f64::from(weight(word)) - golden(word)).abs();
                assert!(difference <= MOST, "{name}: {text:?}: word {word} differs by {difference:e}");
                worst = worst.max(difference);
            }
            assert!(own.weights.is_sorted_by(|(one, _), (other, _)| one < other));
            assert_eq!(embedder.embed(&[text.as_str()]).unwrap(), std::slice::from_ref(&own), "{name}: {text:?}");
            assert_eq!(other, own, "{name}: {text:?}, mapped");
        }
        assert!(truncated > 0, "{name}");
        println!("{name}: at most {worst:.1e}");
    }
}

#[test]
fn the_largest_weights_are_kept() {
    let open = |options: SparseOptions| SparseEmbedder::open_with(heads("sparse/bert"), &options);
    let text = ["the quick brown fox"];
    let all = open(SparseOptions::on(Device::Cpu)).unwrap().embed(&text).unwrap().remove(0).weights;
    let few = open(SparseOptions::on(Device::Cpu).max_weights(4)).unwrap().embed(&text).unwrap().remove(0).weights;
    let least = few.iter().map(|(_, weight)| *weight).fold(f32::INFINITY, f32::min);
    assert_eq!(few.len(), 4);
    assert!(few.is_sorted_by(|(one, _), (other, _)| one < other));
    assert_eq!(all.iter().filter(|(_, weight)| *weight >= least).copied().collect::<Vec<_>>(), few);
    assert_eq!(open(SparseOptions::on(Device::Cpu).max_weights(0)).unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[test]
fn prompts_of_queries_and_documents() {
    let open = |prompt: &str| {
        let options = SparseOptions::on(Device::Cpu).prompt(Prompt::Text(prompt.to_owned()));
        SparseEmbedder::open_with(heads("sparse/distilbert"), &options).unwrap().embed(&["a fox"]).unwrap()
    };
    let (queries, documents) = (open("a "), open("the "));
    assert_ne!(queries, documents);
    let embedder = SparseEmbedder::open(heads("sparse/distilbert"), Device::Cpu).unwrap();
    let vectors = |embedder: gristmill::Result<SparseEmbedder>| embedder.unwrap().embed(&["a fox"]).unwrap();
    assert_eq!(vectors(embedder.queries()), queries);
    assert_eq!(vectors(embedder.documents()), documents);
    assert_eq!(vectors(embedder.with_prompt(&Prompt::Named("query".to_owned()))), queries);
    // The folder's default prompt is that of documents.
    assert_eq!(vectors(embedder.queries().and_then(|queries| queries.with_prompt(&Prompt::Default))), documents);
    assert!(embedder.with_prompt(&Prompt::Named("passage".to_owned())).is_err());
    assert_eq!((embedder.word(0), embedder.word(319)), ("[PAD]".to_owned(), String::new()));
}

#[test]
fn what_is_no_sparse_model_is_refused() {
    let pooling = "1_SpladePooling/config.json";
    for (name, file, from, to, named) in [
        ("sparse/roberta", pooling, "\"max\"", "\"sum\"", "pooling_strategy `sum`"),
        ("sparse/roberta", pooling, "\"relu\"", "\"gelu\"", "activation_function `gelu`"),
        ("sparse/roberta", "modules.json", "SpladePooling\"", "SparseAutoEncoder\"", "SparseAutoEncoder"),
        ("sparse/roberta", "modules.json", "sentence_transformers.sparse", "own.sparse", "code of its own"),
        ("sparse/roberta", "sentence_bert_config.json", "fill-mask", "feature-extraction", "expected is fill-mask"),
        (
            "sparse/modernbert",
            "config_sentence_transformers.json",
            "\"max_active_dims\": 5",
            "\"max_active_dims\": 0",
            "max_active_dims is 0",
        ),
        ("sparse/bert", "config.json", "ForMaskedLM", "Model", "BertModel; a sparse embedder"),
        // The two ends do not share the words' vectors, and the file has those of one end.
        (
            "sparse/bert",
            "config.json",
            "\"tie_word_embeddings\": true",
            "\"tie_word_embeddings\": false",
            "cls.predictions.decoder.weight",
        ),
    ] {
        let folder = changed(&heads(name), &[(file, from, to)]);
        let error = SparseEmbedder::open(folder.path(), Device::Cpu).expect_err(named).to_string();
        assert!(error.contains(named), "{error}");
    }
    let error = SparseEmbedder::open(heads("classes/electra"), Device::Cpu).unwrap_err().to_string();
    assert!(error.contains("ElectraForSequenceClassification"), "{error}");
}
