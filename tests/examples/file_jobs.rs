//! Jobs over files as commands: killed, stopped, shared, split and proven.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::{
    ends::{ended, signal},
    support::{onnx_writer, process::example},
};

const MODEL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/goldens/words/model2vec");

/// A folder with an input of so many rows.
struct Place(TempDir);

impl Place {
    fn new(rows: usize) -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        let row = |row: usize| format!("{{\"id\":{row},\"text\":\"one word and {row} more\"}}\n");
        fs::write(place.path("in.jsonl"), (0..rows).map(row).collect::<String>()).unwrap();
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn embed(&self, out: &str) -> Command {
        let mut command = example("embed");
        command.args(["--device", "cpu", "--model", MODEL, "--rows", "250", "--workers", "2"]);
        command.arg(self.path("in.jsonl")).arg("--out-dir").arg(self.path(out)).stderr(Stdio::piped());
        command
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout)
}

fn done(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    said(&output)
}

/// All files of a folder with their bytes.
fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let (mut files, mut folders) = (BTreeMap::new(), vec![folder.to_owned()]);
    while let Some(below) = folders.pop() {
        for entry in fs::read_dir(below).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => folders.push(path),
                false => drop(files.insert(path.strip_prefix(folder).unwrap().to_owned(), fs::read(&path).unwrap())),
            }
        }
    }
    files
}

fn assert_same(a: &Path, b: &Path) {
    let (a, b) = (contents(a), contents(b));
    let differ: Vec<_> = a.keys().chain(b.keys()).filter(|name| a.get(*name) != b.get(*name)).collect();
    assert!(differ.is_empty(), "{differ:?} differ");
}

fn verified(folder: &Path) -> String {
    done(example("verify_job").arg("--complete").arg(folder))
}

fn full() -> bool {
    std::env::var_os("GRISTMILL_FULL").is_some()
}

/// Numbers in 0..1, the same every time.
fn random(state: &mut u64) -> f64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*state >> 11) as f64 / (1u64 << 53) as f64
}

fn finished(out: &Path) -> usize {
    fs::read(out.join("_gristmill/manifest.jsonl")).map_or(0, |text| text.iter().filter(|&&byte| byte == b'\n').count())
}

fn kill(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_job_that_is_killed_at_any_moment_ends_with_the_same_bytes() {
    let _turn = crate::turn();
    let place = Place::new(if full() { 100_000 } else { 5000 });
    let started = Instant::now();
    done(&mut place.embed("whole"));
    let whole = started.elapsed();
    is_the_same_after_kills(&place, whole, &[]);
}

/// The same for tables, which are compressed and whose parts have footers.
#[test]
#[cfg(feature = "parquet")]
fn a_job_over_tables_that_is_killed_ends_with_the_same_bytes() {
    let _turn = crate::turn();
    let place = Place::new(if full() { 100_000 } else { 5000 });
    let form = ["--to", "parquet", "--keep", "id,text"];
    done(place.embed("table").args(form).args(["--rows", "1700"]));
    // The parts of the one job are the input of the other.
    fs::remove_file(place.path("in.jsonl")).unwrap();
    fs::rename(place.path("table"), place.path("in.jsonl")).unwrap();
    let form = ["--keep", "id,text", "--column", "text"];
    let started = Instant::now();
    done(place.embed("whole").args(form));
    is_the_same_after_kills(&place, started.elapsed(), &form);
}

/// Kills a job again and again, and compares what it ends with.
fn is_the_same_after_kills(place: &Place, whole: Duration, form: &[&str]) {
    let (mut state, kills) = (14, if full() { 20 } else { 3 });
    let out = place.path("killed");
    for _ in 0..kills {
        let child = place.embed("killed").args(form).arg("--resume").spawn().unwrap();
        // Shares of what is left, so that each is killed at its work.
        thread::sleep(whole.mul_f64(random(&mut state) * 1.5 / f64::from(kills)) + Duration::from_millis(20));
        kill(child);
    }
    let before = finished(&out);
    let said = done(place.embed("killed").args(form).arg("--resume"));
    assert!(said.contains(&format!("{} rows, 0 failed", if full() { 100_000 } else { 5000 })), "{before}: {said}");
    assert_same(&place.path("whole"), &out);
    assert!(verified(&out).contains("complete: "));
    done(example("verify_job").arg(place.path("whole")).arg(&out));
}

#[test]
fn shares_of_a_job_are_put_together() {
    let _turn = crate::turn();
    let place = Place::new(3000);
    done(&mut place.embed("whole"));
    let share = |index: usize| {
        let shard = format!("{index}/4");
        place.embed(&shard.replace('/', "-")).args(["--shard", &shard]).spawn().unwrap()
    };
    let shares: Vec<Child> = (1..=4).map(share).collect();
    for child in shares {
        let output = ended(child, Duration::from_secs(60));
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    }
    let mut merge = example("verify_job");
    merge.arg("--merge").arg(place.path("merged")).args((1..=4).map(|index| place.path(&format!("{index}-4"))));
    done(&mut merge);
    assert_same(&place.path("whole"), &place.path("merged"));
    let partial = example("verify_job").arg("--complete").arg(place.path("1-4")).output().unwrap();
    assert!(partial.status.code() == Some(1) && said(&partial).contains("is not finished"), "{}", said(&partial));
}

#[test]
fn processes_share_a_folder_though_some_are_killed() {
    let _turn = crate::turn();
    let (rows, processes, kills) = if full() { (100_000, 8, 20) } else { (3000, 3, 2) };
    let place = Place::new(rows);
    done(&mut place.embed("whole"));
    let out = place.path("shared");
    let start = || place.embed("shared").arg("--resume").spawn().unwrap();
    let mut running: Vec<Child> = (0..processes).map(|_| start()).collect();
    let mut state = 41;
    for _ in 0..kills {
        thread::sleep(Duration::from_millis(20) + Duration::from_millis(300).mul_f64(random(&mut state)));
        let victim = (random(&mut state) * running.len() as f64) as usize;
        kill(running.swap_remove(victim));
        if running.len() < 2 {
            running.push(start());
        }
    }
    for child in running {
        let output = ended(child, Duration::from_secs(if full() { 600 } else { 60 }));
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    }
    assert_same(&place.path("whole"), &out);
}

#[test]
fn signals_leave_a_folder_that_goes_on() {
    let _turn = crate::turn();
    let place = Place::new(40_000);
    let out = place.path("out");
    for (name, code) in [("TERM", 143), ("INT", 130)] {
        let before = finished(&out);
        let child = place.embed("out").arg("--resume").spawn().unwrap();
        let started = Instant::now();
        while finished(&out) <= before {
            assert!(started.elapsed() < Duration::from_secs(60), "no part is finished");
            thread::sleep(Duration::from_millis(2));
        }
        signal(&child, name);
        let asked = Instant::now();
        let output = ended(child, Duration::from_secs(20));
        assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
        let said = said(&output);
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(said.contains("can be resumed: --resume") && finished(&out) < 160, "{said}");
    }
    done(place.embed("out").arg("--resume"));
    assert!(verified(&out).contains("160 parts, 40000 rows, 0 failed"));
}

#[test]
fn a_command_ends_by_what_became_of_its_rows() {
    let place = Place::new(10);
    let code = |command: &mut Command| {
        let output = command.output().unwrap();
        (output.status.code().unwrap(), said(&output))
    };
    fs::write(place.path("in.jsonl"), "{\"text\":\"a\"}\n{\"text\":7}\n{\"text\":\"b\"}\n").unwrap();
    let (status, said) = code(&mut place.embed("out"));
    assert!(status == 3 && said.contains("1 of 1 parts, 3 of 3 rows, 1 failed"), "{said}");
    let part = fs::read_to_string(place.path("out/part-00000-of-00001.jsonl")).unwrap();
    let lines: Vec<&str> = part.lines().collect();
    assert!(
        lines[0].starts_with("{\"text\":\"a\",\"vector\":[") && lines[0].ends_with("\"truncated\":false}"),
        "{part}"
    );
    assert_eq!(lines[1], "{\"text\":7,\"vector\":null,\"tokens\":null,\"truncated\":null}");
    // Nothing is left to run, and the failed row still counts.
    assert_eq!(code(place.embed("out").arg("--resume")).0, 3);
    let (status, said) = code(&mut place.embed("out"));
    assert!(status == 1 && said.contains("holds a job already; resume it"), "{said}");
    let (status, said) = code(place.embed("out").args(["--resume", "--output", "f16"]));
    assert!(status == 1 && said.contains("option output was `F32`, is `F16`"), "{said}");
    let (status, said) = code(place.embed("strict").args(["--max-errors", "0"]));
    assert!(status == 1 && said.contains("more than 0 rows failed, the last one row 1 in read"), "{said}");
    for wrong in
        [&["--shard", "0/4"][..], &["--shard", "5/4"], &["--to", "xlsx"], &["--out", "x.npy"], &["--facts", "f"]]
    {
        let (status, said) = code(place.embed("new").args(wrong));
        assert!(status == 2, "{wrong:?}: {said}");
    }
    let mut plain = example("embed");
    let (status, said) = code(plain.args(["--model", MODEL, "a", "--out", "b.npy", "--resume"]));
    assert!(status == 2 && said.contains("--resume is for jobs over files"), "{said}");
    let (status, said) = code(example("embed").args(["--model", MODEL, "a", "b", "--out", "b.npy"]));
    assert!(status == 2 && said.contains("unexpected argument \"b\""), "{said}");
    let (status, _) = code(place.embed("arrays").args(["--to", "npy", "--output", "f16", "--skip-failed"]));
    assert_eq!(status, 3);
    let array = fs::read(place.path("arrays/part-00000-of-00001.npy")).unwrap();
    assert!(array[10..].starts_with(b"{'descr': '<f2', 'fortran_order': False, 'shape': (2, "));
}

#[test]
fn a_folder_that_cannot_be_written_is_a_clear_end() {
    let place = Place::new(2000);
    // A limit on the size of files stands for a full disk.
    let command = place.embed("full");
    let arguments: Vec<_> = command.get_args().map(|argument| argument.to_str().unwrap().to_owned()).collect();
    let limited = format!("ulimit -f 40; exec '{}' {}", command.get_program().to_str().unwrap(), arguments.join(" "));
    let output = Command::new("sh").args(["-c", &limited]).output().unwrap();
    let said = said(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("writing") && said.contains("finished parts stay valid"), "{said}");
    done(place.embed("full").arg("--resume"));
    verified(&place.path("full"));
}

/// What a file of lines of JSON holds.
fn rows(path: &Path) -> Vec<serde_json::Value> {
    fs::read_to_string(path).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn every_command_runs_over_tables() {
    let place = Place::new(1);
    let goldens = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/heads");
    let first = |kind: &str| {
        let mut folders: Vec<_> =
            fs::read_dir(goldens.join(kind)).unwrap().map(|entry| entry.unwrap().path()).collect();
        folders.sort();
        folders.into_iter().find(|folder| folder.join("config.json").exists()).unwrap()
    };
    fs::write(place.path("texts.csv"), "n,text,other\n1,a word,another\n2,\"two, words\",more\n").unwrap();
    let run = |name: &str, command: &mut Command| {
        done(command.arg(place.path("texts.csv")).args(["--device", "cpu", "--out-dir"]).arg(place.path(name)));
        let rows = rows(&place.path(name).join("part-00000-of-00001.jsonl"));
        assert_eq!((rows.len(), &rows[1]["n"], &rows[1]["text"]), (2, &"2".into(), &"two, words".into()), "{name}");
        rows
    };
    let classes = run("classes", example("classify").arg("--model").arg(first("classes")));
    assert!(classes[0]["label"].is_string() && classes[0]["scores"].is_object(), "{}", classes[0]);
    let mut pairs = example("classify");
    pairs.arg("--model").arg(first("pair-classes")).args(["--column", "text", "--second", "other"]);
    assert!(run("pair-classes", &mut pairs)[0]["scores"]["entailment"].is_number());
    let tags = run("tags", example("tag").arg("--model").arg(first("tokens")));
    assert!(tags[1]["entities"].is_array() && tags[1]["truncated"] == false, "{}", tags[1]);
    let mut rerank = example("rerank");
    rerank.arg("--model").arg(first("pairs")).args(["--query", "text", "--document", "other"]);
    assert!(run("pairs", &mut rerank)[0]["score"].is_number());
    // The same scores as by the old form.
    fs::write(place.path("pairs.tsv"), "a word\tanother\n").unwrap();
    let old = example("rerank")
        .arg("--model")
        .arg(first("pairs"))
        .args(["--device", "cpu"])
        .arg(place.path("pairs.tsv"))
        .output();
    let old: serde_json::Value = serde_json::from_slice(&old.unwrap().stdout).unwrap();
    let score = |row: &serde_json::Value| row["score"].as_f64().unwrap() as f32;
    assert_eq!(score(&rows(&place.path("pairs/part-00000-of-00001.jsonl"))[0]), score(&old));

    let paths = format!("{}\nabsent\n", place.path("texts.csv").display());
    fs::write(place.path("paths.txt"), paths).unwrap();
    let mut identify = example("identify");
    let output = identify.arg(place.path("paths.txt")).arg("--out-dir").arg(place.path("labels")).output().unwrap();
    assert_eq!(output.status.code(), Some(3), "{}", said(&output));
    let labels = rows(&place.path("labels/part-00000-of-00001.jsonl"));
    assert!(labels[0]["label"] == "csv" && labels[1]["label"].is_null(), "{labels:?}");

    let model = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/models/magika/model.onnx");
    let row = |size: usize| serde_json::json!({ "id": size, "bytes": vec![65; size] }).to_string();
    fs::write(place.path("bytes.jsonl"), format!("{}\n{}\n", row(2048), row(7))).unwrap();
    let mut run = example("run");
    run.arg(model).arg(place.path("bytes.jsonl")).args(["--keep", "id", "--device", "cpu", "--out-dir"]);
    let output = run.arg(place.path("scores")).output().unwrap();
    assert_eq!(output.status.code(), Some(3), "{}", said(&output));
    let scores = rows(&place.path("scores/part-00000-of-00001.jsonl"));
    let sum: f64 = scores[0]["target_label"].as_array().unwrap().iter().map(|score| score.as_f64().unwrap()).sum();
    assert!((sum - 1.0).abs() < 1e-4 && scores[1]["target_label"].is_null(), "{sum}");
    let letter = &rows(&place.path("scores/part-00000-of-00001.errors.jsonl"))[0];
    assert!(letter["error"].as_str().unwrap().contains("the column `bytes` has 7 numbers"), "{letter}");
}

/// A model of one node, over rows of its input.
fn run_cast(place: &Place, [from, to]: [i64; 2], rows_in: &str) -> (Vec<serde_json::Value>, String) {
    let attribute = onnx_writer::int("to", to);
    let model = onnx_writer::Draft::new()
        .node(onnx_writer::node("Cast", "cast", &["x"], &["y"]).message(5, &attribute))
        .input(onnx_writer::value("x", from, &["n", "k"]))
        .output(onnx_writer::value("y", to, &["n", "k"]));
    fs::write(place.path("model.onnx"), model.bytes()).unwrap();
    fs::write(place.path("rows.jsonl"), rows_in).unwrap();
    let out = place.path(&format!("cast-{from}-{to}"));
    let mut run = example("run");
    run.arg(place.path("model.onnx")).arg(place.path("rows.jsonl")).args(["--device", "cpu", "--keep", "none"]);
    let output = run.arg("--out-dir").arg(&out).output().unwrap();
    let letters = fs::read_to_string(out.join("part-00000-of-00001.errors.jsonl")).unwrap_or_default();
    assert_eq!(output.status.code(), Some(if letters.is_empty() { 0 } else { 3 }), "{}", said(&output));
    (rows(&out.join("part-00000-of-00001.jsonl")), letters)
}

#[test]
fn tables_keep_the_numbers_of_each_type() {
    let place = Place::new(1);
    let [f32, i64, bool, f16, f64, u64, bf16] = [1, 7, 9, 10, 11, 13, 16];
    for (types, given, expected) in [
        ([f16, f16], "[1.5,-2]", "[1.5,-2.0]"),
        ([f32, bf16], "[1.5,-2]", "[1.5,-2.0]"),
        ([bf16, f64], "[1.5,-2]", "[1.5,-2.0]"),
        ([f32, bool], "[1.5,0]", "[true,false]"),
        ([f64, f64], "[0.1,1e300]", "[0.1,1e+300]"),
        ([f64, u64], "[9223372036854775808,3]", "[9223372036854775808,3]"),
        ([i64, i64], "[9007199254740991,-9007199254740991]", "[9007199254740991,-9007199254740991]"),
    ] {
        let (rows, letters) = run_cast(&place, types, &format!("{{\"x\":{given}}}\n"));
        assert_eq!(rows[0]["y"].to_string(), expected, "{types:?} {letters}");
    }
    // What a number of JSON, or of 64 bits, is not: the row fails.
    for (types, given, cause) in [
        ([f64, f32], "[1e300,1]", "`y` has the number inf, which JSON has not"),
        ([i64, f32], "[1,9007199254740993]", "or one of 2^53 or more"),
        ([i64, u64], "[1.5,2]", "has a number that i64 has not"),
    ] {
        let (rows, letters) = run_cast(&place, types, &format!("{{\"x\":{given}}}\n{{\"x\":[1,2]}}\n"));
        assert!(letters.contains(cause), "{types:?} {letters}");
        assert!(rows[0]["y"].is_null() && rows[1]["y"].is_array(), "{types:?} {rows:?}");
    }
}
