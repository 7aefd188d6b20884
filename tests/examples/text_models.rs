//! Text models as commands: classes, entities, scores of pairs, and the forms of vectors.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::Value;

use crate::support::process::example;

const TEXTS: &str = "the quick brown fox\n\n東京は日本の首都です。\n";

fn goldens(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens").join(name)
}

/// A folder with texts, pairs and a file that is not all UTF-8.
fn place() -> tempfile::TempDir {
    let place = tempfile::tempdir().unwrap();
    fs::write(place.path().join("texts.txt"), TEXTS).unwrap();
    fs::write(place.path().join("pairs.tsv"), "a fox\tthe lazy dog\nno tab\na fox\tword word\n").unwrap();
    fs::write(place.path().join("broken.txt"), b"one\n\xff\nthree\n").unwrap();
    place
}

fn run(command: &mut Command) -> (i32, String, String) {
    let Output { status, stdout, stderr } = command.output().unwrap();
    (status.code().unwrap(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

fn command(name: &str, model: &str, texts: &Path) -> Command {
    let mut command = example(name);
    command.args(["--device", "cpu", "--model"]).arg(goldens(model)).arg(texts);
    command
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn near(value: &Value, expected: f64) -> bool {
    (value.as_f64().unwrap() - expected).abs() <= 2e-5
}

#[test]
fn classes_entities_and_scores_are_lines_of_json() {
    let place = place();
    let path = |name: &str| place.path().join(name);
    let golden: Value =
        serde_json::from_str(&fs::read_to_string(goldens("heads/classes/distilbert/golden.json")).unwrap()).unwrap();
    let (code, out, said) = run(&mut command("classify", "heads/classes/distilbert", &path("texts.txt")));
    let classes = lines(&out);
    assert_eq!((code, classes.len()), (0, 3), "{said}");
    for (line, text) in [(0, 0), (1, 1), (2, 6)] {
        let (own, scores) = (&classes[line], &golden["scores"][text]);
        assert_eq!(own["line"], line + 1);
        for (index, label) in golden["labels"].as_array().unwrap().iter().enumerate() {
            assert!(near(&own["scores"][label.as_str().unwrap()], scores[index].as_f64().unwrap()), "{own}");
        }
        assert_eq!(own["scores"][own["label"].as_str().unwrap()], own["score"]);
        assert_eq!(own["truncated"], false);
    }

    let out = path("out.jsonl");
    let mut tag = command("tag", "heads/tokens/distilbert", &path("texts.txt"));
    let (code, printed, said) = run(tag.arg("--out").arg(&out).args(["--aggregation", "simple", "--overlap", "3"]));
    assert_eq!((code, printed.as_str()), (0, ""), "{said}");
    let tagged = lines(&fs::read_to_string(&out).unwrap());
    let entity = &tagged[0]["entities"][0];
    assert_eq!((&entity["label"], &entity["word"]), (&"LOC".into(), &"the quick brown fox".into()), "{entity}");
    assert!(near(&entity["score"], 0.6239836), "{entity}");
    let places = |entity: &Value| ["start", "end", "start_byte", "end_byte"].map(|name| entity[name].as_u64().unwrap());
    assert_eq!(places(&tagged[2]["entities"][1]), [6, 7, 18, 21]);
    assert_eq!(tagged[1]["entities"], Value::Array(Vec::new()));

    let (code, out, said) = run(&mut command("rerank", "heads/pairs/bert", &path("pairs.tsv")));
    let scores = lines(&out);
    assert_eq!((code, scores.len()), (3, 3), "{said}");
    assert!(said.contains("line 2: read: no tab"), "{said}");
    assert!(scores[1]["error"].as_str().unwrap().contains("no tab"), "{out}");
    fs::write(path("pairs.jsonl"), "{\"q\": \"a fox\", \"document\": \"the lazy dog\"}\n").unwrap();
    let mut json = command("rerank", "heads/pairs/bert", &path("pairs.jsonl"));
    let (code, out, said) = run(json.args(["--query", "q"]));
    assert_eq!((code, &lines(&out)[0]["score"]), (0, &scores[0]["score"]), "{said}");

    let of_pairs = |file: &str, flags: &[&str]| {
        let (_, out, said) = run(command("classify", "heads/pair-classes/bert", &path(file)).args(flags));
        (lines(&out), said)
    };
    let (classes, said) = of_pairs("pairs.tsv", &["--pairs"]);
    assert!(classes[0]["scores"]["entailment"].is_number() && classes[0]["tokens"] == scores[0]["tokens"], "{said}");
    assert!(classes[1]["error"].as_str().unwrap().contains("no tab"), "{said}");
    let (same, said) = of_pairs("pairs.jsonl", &["--field", "q", "--second", "document"]);
    assert_eq!(same[0]["scores"], classes[0]["scores"], "{said}");
}

#[test]
fn failures_are_told_and_nothing_is_overwritten() {
    let place = place();
    let path = |name: &str| place.path().join(name);
    let (code, out, said) = run(&mut command("tag", "heads/tokens/distilbert", &path("broken.txt")));
    assert_eq!((code, lines(&out).len()), (3, 3), "{said}");
    assert!(said.contains("line 2: read: not UTF-8") && lines(&out)[1]["error"].is_string(), "{said}");
    for (mut command, code, named) in [
        (example("classify"), 2, "--model DIR is missing"),
        (command("rerank", "heads/pairs/bert", &path("absent")), 1, "absent"),
        (command("classify", "heads/tokens/distilbert", &path("texts.txt")), 1, "ForTokenClassification"),
        (
            {
                let mut own = command("tag", "heads/tokens/distilbert", &path("texts.txt"));
                own.args(["--aggregation", "most"]);
                own
            },
            2,
            "no aggregation `most`",
        ),
        (
            {
                let mut own = command("tag", "heads/tokens/distilbert", &path("texts.txt"));
                own.arg("--out").arg(path("texts.txt"));
                own
            },
            1,
            "texts.txt",
        ),
    ] {
        let (own, _, said) = run(&mut command);
        assert!(own == code && said.contains(named), "{own}: {said}");
    }
    assert_eq!(fs::read_to_string(path("texts.txt")).unwrap(), TEXTS);
}

/// The shape that a `.npy` file tells, and its bytes behind the header.
fn npy(path: &Path) -> (String, Vec<u8>) {
    let bytes = fs::read(path).unwrap();
    let header = String::from_utf8(bytes[10..128].to_vec()).unwrap();
    (header.trim().to_owned(), bytes[128..].to_vec())
}

#[test]
fn vectors_have_the_form_that_is_asked_for() {
    let place = place();
    let path = |name: &str| place.path().join(name);
    let embed = |texts: &str, out: &str, flags: &[&str]| {
        let mut own = command("embed", "encoders/bert", &path(texts));
        let (code, _, said) = run(own.arg("--out").arg(path(out)).args(flags));
        (code, said)
    };
    assert_eq!(embed("texts.txt", "f32.npy", &[]).0, 0);
    let (header, plain) = npy(&path("f32.npy"));
    assert!(header.contains("'<f4'") && header.contains("(3, 32)"), "{header}");
    let plain: Vec<f32> = plain.chunks(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect();
    let rows: Vec<&[f32]> = plain.chunks(32).collect();

    assert_eq!(embed("texts.txt", "f16.npy", &["--output", "f16", "--dimensions", "8"]).0, 0);
    let (header, halves) = npy(&path("f16.npy"));
    assert!(header.contains("'<f2'") && header.contains("(3, 8)"), "{header}");
    let first = half::f16::from_le_bytes([halves[0], halves[1]]);
    assert_eq!(first, half::f16::from_f32(plain[0]));

    assert_eq!(embed("texts.txt", "bits.npy", &["--output", "ubinary"]).0, 0);
    let (header, bits) = npy(&path("bits.npy"));
    assert!(header.contains("'|u1'") && header.contains("(3, 4)"), "{header}");
    let bit = |place: usize| bits[place / 8] >> (7 - place % 8) & 1 == 1;
    assert!(plain.iter().enumerate().all(|(place, number)| bit(place) == (*number > 0.0)));

    // The ranges are those of all vectors, found in a second pass.
    let ranges = path("ranges.npy").display().to_string();
    assert_eq!(embed("texts.txt", "int8.npy", &["--output", "int8", "--write-ranges", &ranges]).0, 0);
    let (header, bytes) = npy(&path("int8.npy"));
    assert!(header.contains("'|i1'") && header.contains("(3, 32)"), "{header}");
    for column in 0..32 {
        let numbers: Vec<f32> = rows.iter().map(|row| row[column]).collect();
        let least = numbers.iter().copied().fold(f32::INFINITY, f32::min);
        let most = numbers.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        for (row, number) in numbers.iter().enumerate() {
            let place = ((number - least) / ((most - least) / 255.0)).floor().clamp(0.0, 255.0) - 128.0;
            assert_eq!(f32::from(bytes[row * 32 + column] as i8), place, "row {row}, column {column}");
        }
    }
    assert_eq!(embed("texts.txt", "again.npy", &["--output", "int8", "--ranges", &ranges]).0, 0);
    assert_eq!(npy(&path("again.npy")), npy(&path("int8.npy")));

    // A failed line has a row too.
    let facts = path("facts.jsonl").display().to_string();
    let (code, said) = embed("broken.txt", "broken.npy", &["--output", "uint8", "--facts", &facts]);
    assert!(code == 3 && said.contains("line 2: read: not UTF-8") && said.contains("all zero"), "{code}: {said}");
    let (header, bytes) = npy(&path("broken.npy"));
    assert!(header.contains("(3, 32)") && bytes[32..64].iter().all(|byte| *byte == 0), "{header}");
    let facts = lines(&fs::read_to_string(facts).unwrap());
    assert_eq!((&facts[0]["tokens"], &facts[0]["truncated"]), (&3.into(), &false.into()));
    assert!(facts[1]["error"].is_string());

    for (flags, code, named) in [
        (&["--output", "int4"][..], 2, "not int4"),
        (&["--ranges", "x"], 2, "int8 or uint8"),
        (&["--prompt", "query"], 1, "no prompt \"query\"; it has none"),
        (&["--output", "int8", "--ranges", &ranges, "--dimensions", "8"], 1, "(2, 8)"),
        (&["--dimensions", "33"], 1, "32 numbers"),
    ] {
        let (own, said) = embed("texts.txt", "refused.npy", flags);
        assert!(own == code && said.contains(named), "{own}: {said}");
    }
    assert!(!path("refused.npy").exists());
    // A prompt stands before each text.
    fs::write(path("prompted.txt"), "a the quick brown fox\n").unwrap();
    assert_eq!(embed("prompted.txt", "written.npy", &[]).0, 0);
    assert_eq!(embed("texts.txt", "prompted.npy", &["--prompt-text", "a "]).0, 0);
    assert_eq!(npy(&path("prompted.npy")).1[..128], npy(&path("written.npy")).1[..]);
}

#[cfg(feature = "vision")]
#[test]
fn images_of_a_list_become_rows() {
    let place = tempfile::tempdir().unwrap();
    let (list, out) = (place.path().join("paths.txt"), place.path().join("out.npy"));
    let image = |name: &str| goldens("vision/images").join(name).display().to_string();
    fs::write(&list, [image("rgb.png"), image("absent.png"), image("half.jpg")].join("\n")).unwrap();
    let (code, _, said) = run(command("embed_images", "vision/clip", &list).arg("--normalize").arg("--out").arg(&out));
    assert_eq!(code, 3, "{said}");
    assert!(said.contains("line 2") && said.contains("absent.png"), "{said}");
    let (rows, columns) = crate::support::npy::rows(&out);
    assert_eq!((rows.len(), columns), (3, 20));
    let length = |row: &[f32]| row.iter().map(|number| number * number).sum::<f32>();
    assert!((length(&rows[0]) - 1.0).abs() < 1e-5 && rows[1].iter().all(|number| number.is_nan()), "{rows:?}");
}
