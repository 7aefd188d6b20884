//! Adapters of weights for tasks: `golden_encoders.py` merged them into the weights with torch.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use gristmill::{
    Device, ErrorKind, Weights,
    text::{Embedder, EmbedderOptions, Prompt},
};
use serde::Deserialize;

use crate::support::{data::golden, folder::changed};

/// The largest difference of a number to transformers' in f32.
const MOST: f64 = 2e-5;

#[derive(Deserialize)]
struct Golden {
    text: String,
    vector: Vec<f64>,
}

fn folder() -> PathBuf {
    golden("adapters/jina-v3")
}

fn open(folder: &Path, prompt: Prompt, weights: Weights) -> gristmill::Result<Embedder> {
    Embedder::open_with(folder, &EmbedderOptions::on(Device::Cpu).prompt(prompt).weights(weights))
}

#[test]
fn each_task_has_its_weights() {
    let goldens = fs::read_to_string(folder().join("golden.json")).unwrap();
    let goldens: BTreeMap<String, Vec<Golden>> = serde_json::from_str(&goldens).unwrap();
    assert_eq!(goldens.len(), 4);
    for (task, goldens) in goldens {
        let prompt = if task.is_empty() { Prompt::Default } else { Prompt::Named(task.clone()) };
        let embedder = open(&folder(), prompt.clone(), Weights::Own).unwrap();
        let mapped = open(&folder(), prompt, Weights::Mapped).unwrap();
        let texts: Vec<&str> = goldens.iter().map(|golden| golden.text.as_str()).collect();
        let together = embedder.embed(&texts).unwrap();
        assert_eq!(mapped.embed(&texts).unwrap(), together, "{task}");
        for (golden, vector) in goldens.iter().zip(together) {
            let differences = vector.iter().zip(&golden.vector).map(|(&own, &other)| (f64::from(own) - other).abs());
            let most = differences.fold(0f64, f64::max);
            assert!(
                vector.len() == golden.vector.len() && most <= MOST,
                "{task}: {:?} differs by {most:e}",
                golden.text
            );
            assert_eq!(embedder.embed(&[golden.text.as_str()]).unwrap()[0], vector, "{task}: {:?}", golden.text);
        }
    }
}

#[test]
fn the_weights_of_one_task_are_not_taken_for_another() {
    let named = |name: &str| Prompt::Named(name.to_owned());
    let queries = open(&folder(), named("retrieval.query"), Weights::Own).unwrap();
    let none = open(&folder(), Prompt::Text("the query: ".to_owned()), Weights::Own).unwrap();
    assert!(queries.with_prompt(&named("retrieval.query")).is_ok());
    assert!(none.with_prompt(&Prompt::Text(String::new())).is_ok());
    for (embedder, prompt) in [
        (&queries, named("separation")),
        (&queries, Prompt::Default),
        (&queries, Prompt::Text("the query: ".to_owned())),
        (&none, named("separation")),
    ] {
        let error = embedder.with_prompt(&prompt).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.to_string().contains("retrieval.query, separation, text-matching"), "{error}");
    }
    assert!(queries.documents().is_err());
    // Two tasks without a prompt differ in their weights alone, which caches must see.
    let options = |task: &str| open(&folder(), named(task), Weights::Own).unwrap().describe().options;
    assert_ne!(options("separation"), options("text-matching"));
    let (_, report) = queries.bulk().run(&["a"]);
    assert!(report.notes.iter().any(|note| note.contains("adapter for the task \"retrieval.query\"")));
    let (_, report) = none.bulk().run(&["a"]);
    assert!(report.notes.iter().any(|note| note.contains("without the adapters")), "{:?}", report.notes);
}

#[test]
fn a_task_is_chosen_apart_from_the_prompt() {
    let options = |task: &str| {
        let mut options = EmbedderOptions::on(Device::Cpu);
        options.folder.task = Some(task.to_owned());
        options
    };
    let embedder = Embedder::open_with(folder(), &options("retrieval.query")).unwrap();
    let named = open(&folder(), Prompt::Named("retrieval.query".to_owned()), Weights::Own).unwrap();
    let vectors = |prompt: Prompt| embedder.with_prompt(&prompt).unwrap().embed(&["a fox"]).unwrap();
    let expected = named.embed(&["a fox"]).unwrap();
    assert_eq!(vectors(Prompt::Named("retrieval.query".to_owned())), expected);
    assert_eq!(vectors(Prompt::Text("the query: ".to_owned())), expected);
    assert_ne!(vectors(Prompt::Default), expected);
    assert_eq!(vectors(Prompt::Default), embedder.embed(&["a fox"]).unwrap());
    let error = Embedder::open_with(folder(), &options("classification")).unwrap_err().to_string();
    assert!(error.contains("the folder has retrieval.query, separation, text-matching"), "{error}");
}

#[test]
fn a_default_prompt_chooses_its_adapter() {
    let change = (
        "config_sentence_transformers.json",
        "\"default_prompt_name\": null",
        "\"default_prompt_name\": \"text-matching\"",
    );
    let by_default = changed(&folder(), &[change]);
    let by_default = open(by_default.path(), Prompt::Default, Weights::Own).unwrap();
    let named = open(&folder(), Prompt::Named("text-matching".to_owned()), Weights::Own).unwrap();
    assert_eq!(by_default.embed(&["a fox"]).unwrap(), named.embed(&["a fox"]).unwrap());
}

#[test]
fn adapters_that_do_not_fit_are_refused() {
    let peft = changed(&folder(), &[]);
    fs::write(peft.path().join("adapter_config.json"), "{}").unwrap();
    let error = open(peft.path(), Prompt::Default, Weights::Own).unwrap_err();
    assert!(error.kind() == ErrorKind::Unsupported && error.to_string().contains("merge_and_unload"), "{error}");
    for (change, named) in [
        (("config.json", "\"lora_rank\": 3", "\"lora_rank\": 4"), "lora_A"),
        (("config.json", "\"separation\",", ""), "lora_A"),
        (
            ("config.json", "\"load_trained_adapters\": true", "\"load_trained_adapters\": false"),
            "load_trained_adapters",
        ),
        (("modules.json", "custom_st.Transformer", "own.Transformer"), "code of its own"),
    ] {
        let folder = changed(&folder(), &[change]);
        let error = open(folder.path(), Prompt::Default, Weights::Own).unwrap_err().to_string();
        assert!(error.contains(named), "{named}: {error}");
    }
}
