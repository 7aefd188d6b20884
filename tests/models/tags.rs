//! Classes of tokens: `golden_tokens.py` made the models and their entities.

use std::{fs, path::PathBuf};

use gristmill::{
    Device, ErrorKind, Weights,
    text::{Aggregation, Classifier, Entity, Tagged, Tagger, TaggerOptions},
};

use crate::support::data::golden;

/// The largest difference of a score to its golden in f32.
const MOST: f64 = 2e-5;

/// Label, score, word, and its place in characters.
type Golden = (String, f64, String, usize, usize);

/// The aggregation, the overlap of windows, the text, and its entities.
type Case = (String, Option<usize>, usize, Option<Vec<Golden>>);

fn heads(name: &str) -> PathBuf {
    golden("heads").join(name)
}

fn texts() -> Vec<String> {
    serde_json::from_str(&fs::read_to_string(heads("texts.json")).unwrap()).unwrap()
}

fn options(aggregation: &str, overlap: Option<usize>) -> TaggerOptions {
    let options = TaggerOptions::on(Device::Cpu).aggregation(match aggregation {
        "none" => Aggregation::None,
        "simple" => Aggregation::Simple,
        "first" => Aggregation::First,
        "average" => Aggregation::Average,
        "max" => Aggregation::Max,
        other => panic!("{other}"),
    });
    match overlap {
        Some(overlap) => options.windows(overlap),
        None => options,
    }
}

fn differs(text: &str, own: &[Entity], golden: &[Golden]) -> Option<String> {
    let letters: Vec<char> = text.chars().collect();
    if own.len() != golden.len() {
        return Some(format!("{own:?} are not {golden:?}"));
    }
    own.iter().zip(golden).find_map(|(own, (label, score, word, start, end))| {
        let is_same = &*own.label == label
            && (f64::from(own.score) - score).abs() <= MOST
            && &own.word == word
            && own.characters == (*start..*end)
            && text[own.bytes.clone()].chars().eq(letters[*start..*end].iter().copied());
        (!is_same).then(|| format!("{own:?} is not {label} {score} {word:?} {start} {end}"))
    })
}

#[test]
fn every_tagger_finds_the_entities_of_transformers() {
    let texts = texts();
    let mut names: Vec<_> = fs::read_dir(heads("tokens")).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.sort();
    assert!(names.len() >= 6, "{} taggers", names.len());
    for folder in names {
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        let mut cases: Vec<Case> =
            serde_json::from_str(&fs::read_to_string(folder.join("golden.json")).unwrap()).unwrap();
        while let Some((aggregation, overlap, ..)) = cases.first().cloned() {
            let is_same = |case: &Case| case.0 == aggregation && case.1 == overlap;
            let (group, rest): (Vec<Case>, Vec<Case>) = cases.into_iter().partition(is_same);
            cases = rest;
            let options = options(&aggregation, overlap);
            let tagger = Tagger::open_with(&folder, &options).unwrap_or_else(|error| panic!("{name}: {error}"));
            let mapped = Tagger::open_with(&folder, &options.weights(Weights::Mapped)).unwrap();
            let own: Vec<&str> = group.iter().map(|case| texts[case.2].as_str()).collect();
            let (together, _) = tagger.bulk().run(&own);
            let (by_mapped, _) = mapped.bulk().chunk_size(3).run(&own);
            for (((.., golden), tagged), (text, other)) in group.iter().zip(together).zip(own.iter().zip(by_mapped)) {
                let place = format!("{name}, {aggregation}, overlap {overlap:?}, {text:?}");
                let Some(golden) = golden else {
                    assert!(tagged.is_err(), "{place}: entities of a text without tokens");
                    continue;
                };
                let tagged: Tagged = tagged.unwrap_or_else(|error| panic!("{place}: {error}"));
                if let Some(difference) = differs(text, &tagged.entities, golden) {
                    panic!("{place}: {difference}");
                }
                assert_eq!(tagger.tag(&[*text]).unwrap(), std::slice::from_ref(&tagged), "{place}, alone");
                assert_eq!(other.unwrap(), tagged, "{place}, mapped");
                assert_eq!(tagged.truncated, overlap.is_none() && tagged.tokens == 64, "{place}");
            }
        }
    }
}

#[test]
fn long_texts_are_cut_or_read_in_windows() {
    let folder = heads("tokens/distilbert");
    let long = "a quick fox\u{e9} jumps. ".repeat(400);
    let open = |options: TaggerOptions| Tagger::open_with(&folder, &options);
    let cut = open(options("simple", None)).unwrap().tag(&[long.as_str()]).unwrap().remove(0);
    assert!(cut.truncated && cut.tokens == 64);
    let whole = open(options("simple", Some(8))).unwrap();
    let windows = whole.tag(&[long.as_str()]).unwrap().remove(0);
    assert!(!windows.truncated && windows.tokens > 2000, "{}", windows.tokens);
    assert!(windows.entities.last().unwrap().bytes.end > long.len() - 8);
    // Only the last window is not shared, so the first one's first entity is the same.
    assert_eq!(windows.entities[0], cut.entities[0]);
    let error = whole.tag(&["word ".repeat(100_000)]).unwrap_err();
    assert_eq!(error.source.kind(), ErrorKind::Limit, "{error}");
    for (options, named) in [
        (options("none", Some(8)), "aggregation"),
        (options("simple", Some(62)), "62 tokens in common"),
        (options("simple", None).max_tokens(2), "2 special ones"),
    ] {
        let error = open(options).unwrap_err();
        assert!(error.kind() == ErrorKind::InvalidInput && error.to_string().contains(named), "{error}");
    }
    // A text of which only the beginning is tokenized, and one of a single word.
    for text in ["b ".repeat(300_000), "b".repeat(300_000)] {
        assert!(open(options("first", None)).unwrap().tag(&[text]).is_ok());
    }
}

#[test]
fn labels_are_left_out_as_the_caller_says() {
    let folder = heads("tokens/distilbert");
    let text = ["tab\tand\nnew line"];
    let labels = |ignored: &[&str]| {
        let options = options("none", None).ignored(ignored.iter().copied());
        let tagged = Tagger::open_with(&folder, &options).unwrap().tag(&text).unwrap().remove(0);
        tagged.entities.into_iter().map(|entity| entity.label.to_string()).collect::<Vec<_>>()
    };
    let all = labels(&[]);
    assert!(all.contains(&"O".to_owned()) || all.len() > 4, "{all:?}");
    let first = all[0].clone();
    let kept: Vec<String> = all.iter().filter(|label| **label != first).cloned().collect();
    assert_eq!(labels(&[&first]), kept);
    assert!(kept.len() < all.len());
}

#[test]
fn heads_of_another_kind_are_refused() {
    let error = Tagger::open(heads("classes/distilbert"), Device::Cpu).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(
        error.to_string().contains("ForSequenceClassification; a tagger is a ...ForTokenClassification"),
        "{error}"
    );
    let error = Classifier::open(heads("tokens/distilbert"), Device::Cpu).unwrap_err().to_string();
    assert!(error.contains("DistilBertForTokenClassification; a classifier"), "{error}");
}
