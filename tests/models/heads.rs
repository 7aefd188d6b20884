//! Classification heads: `golden_heads.py` made the models and computed the scores.

use std::{
    fs,
    path::{Path, PathBuf},
};

use gristmill::{
    Device, ErrorKind, Weights,
    text::{Classifier, ClassifierOptions, Embedder, PairClassifier, Prompt, Reranker, Scores},
};
use serde::{Deserialize, de::DeserializeOwned};

use crate::support::{data::golden, folder::changed};

/// The largest difference of a score to its golden in f32.
const MOST: f64 = 2e-5;

#[derive(Deserialize)]
struct Classes {
    labels: Vec<String>,
    scores: Vec<Option<Vec<f64>>>,
}

#[derive(Deserialize)]
struct PairClasses {
    pair: [usize; 2],
    scores: Vec<f64>,
}

#[derive(Deserialize)]
struct Pair {
    pair: [usize; 2],
    score: f64,
}

fn heads(name: &str) -> PathBuf {
    golden("heads").join(name)
}

fn read<T: DeserializeOwned>(path: &Path) -> T {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

fn texts() -> Vec<String> {
    read(&heads("texts.json"))
}

#[test]
fn every_head_gives_the_scores_of_transformers() {
    let mut folders: Vec<PathBuf> =
        fs::read_dir(heads("classes")).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    assert!(folders.len() >= 15, "{} heads", folders.len());
    let texts = texts();
    for folder in folders {
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        let golden: Classes = read(&folder.join("golden.json"));
        let classifier = Classifier::open(&folder, Device::Cpu).unwrap_or_else(|error| panic!("{name}: {error}"));
        let labels: Vec<&str> = classifier.labels().iter().map(|label| &**label).collect();
        assert_eq!(labels, golden.labels, "{name}");
        let (together, _) = classifier.bulk().run(&texts);
        let options = ClassifierOptions::on(Device::Cpu).weights(Weights::Mapped);
        let mapped = Classifier::open_with(&folder, &options).unwrap();
        let (by_mapped, _) = mapped.bulk().run(&texts);
        let mut worst = 0f64;
        for (((text, expected), class), other) in texts.iter().zip(&golden.scores).zip(together).zip(by_mapped) {
            let Some(expected) = expected else {
                assert!(class.is_err(), "{name}: a class of a text without tokens");
                continue;
            };
            let class = class.unwrap_or_else(|error| panic!("{name}: {text:?}: {error}"));
            assert_eq!(class.scores.len(), expected.len(), "{name}");
            let mut best = 0;
            for (index, (&own, &score)) in class.scores.iter().zip(expected).enumerate() {
                let difference = (f64::from(own) - score).abs();
                assert!(difference <= MOST, "{name}: {text:?}: class {index} differs by {difference:e}");
                worst = worst.max(difference);
                best = if score > expected[best] { index } else { best };
            }
            assert_eq!((&*class.label, class.score), (labels[best], class.scores[best]), "{name}: {text:?}");
            assert_eq!(
                classifier.classify(&[text.as_str()]).unwrap(),
                std::slice::from_ref(&class),
                "{name}: {text:?}"
            );
            assert_eq!(other.unwrap(), class, "{name}: {text:?}, mapped");
        }
        println!("{name}: at most {worst:.1e}");
    }
}

#[test]
fn pairs_have_the_scores_of_sentence_transformers() {
    let texts = texts();
    for name in ["bart", "bert", "deberta-v3", "one-type", "roberta"] {
        let folder = heads("pairs").join(name);
        let golden: Vec<Pair> = read(&folder.join("golden.json"));
        let reranker = Reranker::open(&folder, Device::Cpu).unwrap_or_else(|error| panic!("{name}: {error}"));
        let pairs = golden.iter().map(|golden| golden.pair.map(|text| texts[text].clone()));
        let together: Vec<f32> =
            reranker.map(pairs.map(|[query, document]| (query, document))).collect::<Result<_, _>>().unwrap();
        let mut worst = 0f64;
        for (golden, &score) in golden.iter().zip(&together) {
            let difference = (f64::from(score) - golden.score).abs();
            assert!(difference <= MOST, "{name}: {:?} differs by {difference:e}", golden.pair);
            worst = worst.max(difference);
            let [query, document] = golden.pair.map(|text| texts[text].as_str());
            assert_eq!(reranker.scores(query, &[document]).unwrap(), [score], "{name}: {:?}", golden.pair);
        }
        assert_eq!(together.len(), golden.len());
        assert!(reranker.describe().truncated > 0, "{name}");
        println!("{name}: at most {worst:.1e}");
    }
}

#[test]
fn scores_are_made_as_the_caller_says() {
    let text = ["the quick brown fox"];
    let folder = heads("classes/distilbert");
    let scores = |scores| {
        let options = ClassifierOptions::on(Device::Cpu).scores(scores);
        Classifier::open_with(&folder, &options).unwrap().classify(&text).unwrap().remove(0).scores
    };
    let raw: Vec<f64> = scores(Scores::Raw).into_iter().map(f64::from).collect();
    let sum: f64 = raw.iter().map(|number| number.exp()).sum();
    for ((own, each), number) in scores(Scores::Softmax).into_iter().zip(scores(Scores::Sigmoid)).zip(raw) {
        assert!((f64::from(own) - number.exp() / sum).abs() < 1e-6);
        assert!((f64::from(each) - 1.0 / (1.0 + (-number).exp())).abs() < 1e-6);
    }
    // A cross-encoder without a setting takes the sigmoid.
    let open = |scores| {
        let options = ClassifierOptions::on(Device::Cpu).scores(scores);
        Reranker::open_with(heads("pairs/bert"), &options).unwrap().scores("a fox", &["a dog"]).unwrap()[0]
    };
    let plain = Reranker::open(heads("pairs/bert"), Device::Cpu).unwrap().scores("a fox", &["a dog"]).unwrap()[0];
    assert_eq!(plain, open(Scores::Sigmoid));
    assert!((f64::from(plain) - 1.0 / (1.0 + f64::from(-open(Scores::Raw)).exp())).abs() < 1e-6);
    // One class has a sigmoid, also where the settings say that it is one of several.
    let single = r#""problem_type": "single_label_classification", "id2label""#;
    let folder = changed(&heads("pairs/bert"), &[("config.json", r#""id2label""#, single)]);
    let classify = |options: &ClassifierOptions| {
        Classifier::open_with(folder.path(), options).unwrap().classify(&text).unwrap().remove(0).scores
    };
    let options = ClassifierOptions::on(Device::Cpu);
    assert_eq!(classify(&options), classify(&options.clone().scores(Scores::Sigmoid)));
    assert_ne!(classify(&options), [1.0]);
}

#[test]
fn long_texts_are_classified_in_windows() {
    let folder = heads("classes/distilbert");
    let open = |options: ClassifierOptions| Classifier::open_with(&folder, &options);
    let whole = open(ClassifierOptions::on(Device::Cpu).windows(8)).unwrap();
    let plain = Classifier::open(&folder, Device::Cpu).unwrap();
    let long = "a quick fox\u{e9} jumps. ".repeat(60);
    let class = whole.classify(&[long.as_str()]).unwrap().remove(0);
    assert!(!class.truncated && class.windows.len() > 3, "{class:?}");
    assert_eq!((class.windows[0].bytes.start, class.windows.last().unwrap().bytes.end), (0, long.len()));
    let (mut sums, mut count) = (vec![0f64; class.scores.len()], 0);
    for window in &class.windows {
        let alone = plain.classify(&[&long[window.bytes.clone()]]).unwrap().remove(0);
        assert!(!alone.truncated);
        assert_eq!(alone.scores, window.scores);
        count += alone.tokens;
        sums.iter_mut().zip(&alone.scores).for_each(|(sum, score)| *sum += alone.tokens as f64 * f64::from(*score));
    }
    assert_eq!(class.tokens, count);
    for (score, sum) in class.scores.iter().zip(&sums) {
        assert!((f64::from(*score) - sum / count as f64).abs() < 1e-6);
    }
    // What fits is read as without windows.
    let short = whole.classify(&["a fox"]).unwrap().remove(0);
    let expected = plain.classify(&["a fox"]).unwrap().remove(0);
    assert_eq!((&short.scores, &short.label, short.windows.len()), (&expected.scores, &expected.label, 1));
    assert!(expected.windows.is_empty());
    assert_ne!(whole.describe().options, plain.describe().options);
    let error = open(ClassifierOptions::on(Device::Cpu).windows(62)).unwrap_err();
    assert!(error.kind() == ErrorKind::InvalidInput && error.to_string().contains("62 tokens in common"), "{error}");
    let error = Reranker::open_with(heads("pairs/bert"), &ClassifierOptions::on(Device::Cpu).windows(8)).unwrap_err();
    assert!(error.kind() == ErrorKind::InvalidInput && error.to_string().contains("windows"), "{error}");
}

#[test]
fn pairs_get_the_classes_of_transformers() {
    let texts = texts();
    for folder in fs::read_dir(heads("pair-classes")).unwrap().map(|entry| entry.unwrap().path()) {
        let name = folder.display();
        let classifier = PairClassifier::open(&folder, Device::Cpu).unwrap();
        let labels: Vec<&str> = classifier.labels().iter().map(|label| &**label).collect();
        assert_eq!(labels, ["contradiction", "entailment", "neutral"]);
        let mut goldens: Vec<PairClasses> = read(&folder.join("golden.json"));
        // The pipeline takes the first text alone where the second is empty.
        goldens.retain(|golden| !texts[golden.pair[1]].is_empty());
        let pairs: Vec<[&str; 2]> = goldens.iter().map(|golden| golden.pair.map(|text| &*texts[text])).collect();
        let together = classifier.map(pairs.iter().map(|&[first, second]| (first, second)));
        for ((golden, [first, second]), class) in goldens.iter().zip(&pairs).zip(together) {
            let class = class.unwrap_or_else(|error| panic!("{name}: {first:?} {second:?}: {error}"));
            for (own, score) in class.scores.iter().zip(&golden.scores) {
                assert!((f64::from(*own) - score).abs() <= MOST, "{name}: {first:?} {second:?}: {own} for {score}");
            }
            let best = (0..3).max_by(|a, b| golden.scores[*a].total_cmp(&golden.scores[*b])).unwrap();
            assert_eq!(&*class.label, labels[best], "{name}: {first:?} {second:?}");
            assert_eq!(classifier.classify(&[(first, second)]).unwrap(), [class], "{name}: {first:?} {second:?}");
        }
        for options in
            [ClassifierOptions::default().windows(8), ClassifierOptions::default().prompt(Prompt::Text("p".into()))]
        {
            let error = PairClassifier::open_with(&folder, &options).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
        }
        // Of a reranker it is too many, and the message says what takes it.
        let error = Reranker::open(&folder, Device::Cpu).unwrap_err().to_string();
        assert!(error.contains("3 classes") && error.contains("PairClassifier"), "{error}");
    }
}

#[test]
fn long_pairs_fit_or_are_refused() {
    let reranker = Reranker::open(heads("pairs/bert"), Device::Cpu).unwrap();
    assert_eq!(reranker.max_tokens(), 64);
    assert!(reranker.scores("a", &["word ".repeat(50_000)]).is_ok());
    let error = reranker.scores("a", &["word ".repeat(100_000)]).unwrap_err();
    assert_eq!(error.source.kind(), ErrorKind::Limit);
    assert!(error.to_string().contains("500000 bytes in a pair or in windows"), "{error}");
    let few = ClassifierOptions::on(Device::Cpu).max_tokens(3);
    let error = Reranker::open_with(heads("pairs/bert"), &few).unwrap_err().to_string();
    assert!(error.contains("3 special ones"), "{error}");
}

/// sentence-transformers 6 puts texts into the template of a chat, if a folder has one and nothing says how it is read.
#[test]
fn a_template_of_a_chat_that_is_not_used_is_noted() {
    let source = golden("encoders/qwen3");
    let noted = |folder: &Path| {
        let (_, report) = Embedder::open(folder, Device::Cpu).unwrap().bulk().run(&["a fox"]);
        report.notes.iter().any(|note| note.contains("chat template"))
    };
    let folder = changed(&source, &[]);
    assert!(!noted(folder.path()));
    fs::write(folder.path().join("chat_template.jinja"), "{{ messages }}").unwrap();
    assert!(noted(folder.path()));
    fs::write(folder.path().join("sentence_bert_config.json"), "{\"max_seq_length\": 32}").unwrap();
    assert!(!noted(folder.path()));
    let setting = ("tokenizer_config.json", "{", "{\"chat_template\": \"{{ messages }}\",");
    assert!(noted(changed(&source, &[setting]).path()));
}

#[test]
fn a_classifier_notes_a_model_of_pairs() {
    let notes = |folder: &Path| {
        let (_, report) = Classifier::open(folder, Device::Cpu).unwrap().bulk().run(&["a fox"]);
        report.notes.join("; ")
    };
    let change = [("config.json", "\"2\": \"glad\"", "\"2\": \"entailment\"")];
    let folder = changed(&heads("classes/distilbert"), &change);
    assert!(notes(folder.path()).contains("trained on pairs"), "{}", notes(folder.path()));
    assert!(!notes(&heads("classes/distilbert")).contains("pairs"));
}

#[test]
fn prompts_stand_before_queries() {
    let settings = "config_sentence_transformers.json";
    let changes = [
        (settings, "\"default_prompt_name\": null", "\"default_prompt_name\": \"p\""),
        (settings, "\"prompts\": {}", "\"prompts\": {\"p\": \"q: \", \"r\": \"r\"}"),
    ];
    let folder = changed(&heads("pairs/roberta"), &changes);
    let plain = Reranker::open(heads("pairs/roberta"), Device::Cpu).unwrap();
    let score = |prompt: Prompt| {
        let options = ClassifierOptions::on(Device::Cpu).prompt(prompt);
        Ok::<f32, gristmill::Error>(
            Reranker::open_with(folder.path(), &options)?.scores("a fox", &["a dog"]).unwrap()[0],
        )
    };
    let expected = |query: &str| plain.scores(query, &["a dog"]).unwrap()[0];
    assert_eq!(score(Prompt::Default).unwrap(), expected("q: a fox"));
    assert_eq!(score(Prompt::Named("r".into())).unwrap(), expected("ra fox"));
    assert_eq!(score(Prompt::Text(String::new())).unwrap(), expected("a fox"));
    let error = score(Prompt::Named("s".into())).unwrap_err().to_string();
    assert!(error.contains("no prompt \"s\"; it has p, r"), "{error}");
    // Another prompt of the same model is that of a model opened with it.
    let opened = Reranker::open(folder.path(), Device::Cpu).unwrap();
    for (prompt, query) in [(Prompt::Named("r".into()), "ra fox"), (Prompt::Default, "q: a fox")] {
        assert_eq!(opened.with_prompt(&prompt).unwrap().scores("a fox", &["a dog"]).unwrap()[0], expected(query));
    }
    assert!(opened.with_prompt(&Prompt::Named("s".into())).is_err());
    let error = Reranker::open_with(folder.path(), &ClassifierOptions::on(Device::Cpu).scores(Scores::Softmax));
    assert!(error.unwrap_err().to_string().contains("softmax for a reranker"));
    let options = ClassifierOptions::on(Device::Cpu).prompt(Prompt::Text("p".into()));
    let error = Classifier::open_with(heads("classes/bert"), &options).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    // What became of a pair stands beside its score.
    let pairs = [("a fox".into(), "a dog".into()), ("a fox".into(), "word ".repeat(200).into())];
    let (detailed, _) = plain.detailed().run(&pairs);
    let detailed: Vec<_> = detailed.into_iter().map(Result::unwrap).collect();
    assert_eq!(detailed[0].score, expected("a fox"));
    assert!(!detailed[0].truncated && detailed[1].truncated && detailed[1].tokens == plain.max_tokens());
    assert!(detailed[0].tokens < 20);
}

#[test]
fn heads_that_are_not_there_are_refused() {
    let said = |name: &str, changes: &[(&str, &str, &str)], pairs: bool| {
        let folder = changed(&heads(name), changes);
        let error = match pairs {
            true => Reranker::open(folder.path(), Device::Cpu).err(),
            false => Classifier::open(folder.path(), Device::Cpu).err(),
        };
        error.unwrap_or_else(|| panic!("{name}: {changes:?}")).to_string()
    };
    let config = "config.json";
    let tokens = ("ForSequenceClassification", "ForTokenClassification");
    for name in ["bert", "distilbert", "modernbert"] {
        let error = said(&format!("classes/{name}"), &[(config, tokens.0, tokens.1)], false);
        assert!(error.contains("ForTokenClassification"), "{error}");
    }
    let error = said("classes/distilbert", &[(config, "\"2\": \"glad\"", "\"2\": \"glad\", \"3\": \"mad\"")], false);
    assert!(error.contains("classifier.weight") && error.contains("classifier.bias"), "{error}");
    let error = said(
        "classes/modernbert",
        &[(config, "\"classifier_pooling\": \"cls\"", "\"classifier_pooling\": \"max\"")],
        false,
    );
    assert!(error.contains("classifier_pooling `max`"), "{error}");
    let error = said("classes/distilbert", &[], true);
    assert!(error.contains("3 classes"), "{error}");
    let settings = "config_sentence_transformers.json";
    let identity = "torch.nn.modules.linear.Identity";
    for to in ["torch.nn.modules.activation.Tanh", "own.Code"] {
        let error = said("pairs/roberta", &[(settings, identity, to)], true);
        assert!(error.contains(to) && error.contains(settings), "{error}");
    }
    let task = ("sequence-classification", "feature-extraction");
    let error = said("pairs/roberta", &[("sentence_bert_config.json", task.0, task.1)], true);
    assert!(error.contains("feature-extraction"), "{error}");
    // A cross-encoder's folder is no embedder's.
    let error = Embedder::open(heads("pairs/roberta"), Device::Cpu).unwrap_err().to_string();
    assert!(error.contains("pooling"), "{error}");
    // An encoder without a head.
    let bare = golden("encoders/distilbert");
    let error = Classifier::open(bare, Device::Cpu).unwrap_err().to_string();
    assert!(error.contains("DistilBertModel"), "{error}");
}
