//! What is read and what is written.

use std::{fs, io::Write, path::Path};

use flate2::{Compression, write::GzEncoder};
use gristmill::files::{FileJob, Format, Keep, verify_complete};
use tempfile::tempdir;

use super::{contents, job, lines, resumed, rows, run};

fn written(name: &str, content: &[u8], with: impl Fn(FileJob) -> FileJob) -> Vec<String> {
    let folder = tempdir().unwrap();
    let (input, out) = (folder.path().join(name), folder.path().join("out"));
    fs::write(&input, content).unwrap();
    let summary = run(&with(job(&input, &out))).unwrap();
    assert_eq!((summary.failed, summary.is_complete()), (0, true), "{name}");
    verify_complete(&out).unwrap();
    rows(&out)
}

#[test]
fn each_format_gives_its_columns_and_those_of_the_job() {
    let same = |job| job;
    let expected = [
        r#"{"text":"one","length":3,"vector":[3.0,0.5]}"#,
        r#"{"text":"zwölf \"2\"","length":10,"vector":[10.0,0.5]}"#,
    ];
    assert_eq!(written("a.txt", "one\nzwölf \"2\"\n".as_bytes(), same), expected);
    // A mark of UTF-8, ends of lines from another system, and no end of the last line.
    assert_eq!(written("a.txt", "\u{feff}one\r\nzwölf \"2\"".as_bytes(), same), expected);
    assert_eq!(written("a.csv", "text\none\n\"zwölf \"\"2\"\"\"\n".as_bytes(), same), expected);
    assert_eq!(written("a.tsv", "\u{feff}text\r\none\r\n\"zwölf \"\"2\"\"\"".as_bytes(), same), expected);
    let jsonl = "{\"text\":\"one\"}\n { \"text\":\"zw\u{f6}lf \\\"2\\\"\" } \n";
    assert_eq!(written("a.jsonl", jsonl.as_bytes(), same), expected);
    // Blank lines are no rows.
    let spaced = format!("\u{feff}\n{}\r\n \t\n\n", jsonl.replace('\n', "\n\n"));
    assert_eq!(written("a.jsonl", spaced.as_bytes(), same), expected);
    assert_eq!(written("a.jsonl", spaced.as_bytes(), |job| job.rows_per_shard(1)), expected);
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(jsonl.as_bytes()).unwrap();
    let mut members = gzip.finish().unwrap();
    assert_eq!(written("a.jsonl.gz", &members, same), expected);
    members.extend(members.clone());
    assert_eq!(written("a.jsonl.gz", &members, same), [expected, expected].concat());
    let zstd = zstd::encode_all(jsonl.as_bytes(), 1).unwrap();
    assert_eq!(written("a.jsonl.zst", &zstd, same), expected);
    // A frame in front that is passed over, as parallel compressors write them.
    let skipped = [&b"\x50\x2a\x4d\x18\x04\0\0\0abcd"[..], &zstd].concat();
    assert_eq!(written("a.jsonl.zst", &skipped, same), expected);
    assert_eq!(written("unnamed", jsonl.as_bytes(), |job| job.read_as(Format::Jsonl)), expected);
}

#[test]
fn columns_are_carried_as_they_are_written() {
    let line = r#"{"id": 12345678901234567890123, "text":"one","n":1.50e2,"o":{"b":[null]}}"#;
    let end = r#","length":3,"vector":[3.0,0.5]}"#;
    let keep = |keep: Keep| move |job: FileJob| job.keep(keep.clone());
    let all = format!("{}{end}", line.strip_suffix('}').unwrap());
    assert_eq!(written("a.jsonl", line.as_bytes(), keep(Keep::All)), [all]);
    let only = Keep::Only(vec!["n".to_owned(), "id".to_owned()]);
    assert_eq!(
        written("a.jsonl", line.as_bytes(), keep(only.clone())),
        [format!(r#"{{"id":12345678901234567890123,"n":1.50e2{end}"#)]
    );
    assert_eq!(written("a.jsonl", line.as_bytes(), keep(Keep::Nothing)), [r#"{"length":3,"vector":[3.0,0.5]}"#]);
    // A field over several lines, and an empty one.
    let csv = b"id,text,n\n\"a\nb\",one,\n";
    assert_eq!(written("a.csv", csv, keep(only)), [format!(r#"{{"id":"a\nb","n":""{end}"#)]);
}

/// Only a file's first bytes are a mark; a row that begins with it is the same wherever reading begins.
#[test]
fn a_mark_within_a_file_belongs_to_its_row() {
    let folder = tempdir().unwrap();
    let input = folder.path().join("a.csv");
    let text: String = (0..30).map(|row| format!("\u{feff}row {row}\n")).collect();
    fs::write(&input, format!("\u{feff}text\n{text}")).unwrap();
    let (whole, shared) = (folder.path().join("whole"), folder.path().join("shared"));
    run(&job(&input, &whole)).unwrap();
    for share in [2, 1, 0] {
        run(&resumed(&job(&input, &shared)).shard(share, 3)).unwrap();
    }
    assert_eq!(rows(&whole).len(), 30);
    assert!(rows(&whole).iter().all(|row| row.starts_with("{\"text\":\"\u{feff}row ")), "{}", rows(&whole)[0]);
    assert_eq!(rows(&shared), rows(&whole));
}

#[test]
fn numbers_of_json_are_the_nearest_that_there_are() {
    let folder = tempdir().unwrap();
    let input = folder.path().join("a.jsonl");
    // Of numbers with 17 digits, which a quicker conversion misses by one in the last place.
    let numbers = [0.373_311_931_395_042_04, 0.438_727_587_461_471_56, 1.797_693_134_862_315_7e308, 5e-324];
    let lines: String =
        numbers.iter().map(|number| format!("{{\"text\":\"{number:?}\",\"x\":{number:?}}}\n")).collect();
    fs::write(&input, lines).unwrap();
    let read = |row: &gristmill::files::Row<'_>| {
        let (text, numbers) = (row.text("text")?, row.numbers("x")?);
        match numbers == [text.parse::<f64>().unwrap()] {
            true => Ok(text),
            false => Err(gristmill::Error::invalid_input(format!("{numbers:?} of {text}"))),
        }
    };
    let summary = job(&input, &folder.path().join("out")).run(&super::model(), read, |length| Ok(super::cells(length)));
    assert_eq!(summary.unwrap().failed, 0);
}

/// A column would be written twice.
#[test]
fn columns_to_keep_are_named_once_and_are_not_the_jobs() {
    let folder = tempdir().unwrap();
    let input = folder.path().join("a.jsonl");
    fs::write(&input, "{\"text\":\"one\",\"vector\":1}\n").unwrap();
    for (names, named) in [(["text", "text"], "named twice"), (["text", "vector"], "the job writes one of that name")] {
        let keep = Keep::Only(names.map(str::to_owned).to_vec());
        let error = run(&job(&input, &folder.path().join("out")).keep(keep)).unwrap_err().to_string();
        assert!(error.contains(named), "{error}");
    }
}

#[test]
fn patterns_match_no_hidden_files() {
    let folder = tempdir().unwrap();
    for name in ["a.txt", ".b.txt", "._a.txt"] {
        fs::write(folder.path().join(name), format!("{name}\n")).unwrap();
    }
    let out = folder.path().join("out");
    run(&job(&folder.path().join("*.txt"), &out)).unwrap();
    assert_eq!(rows(&out).len(), 1);
}

#[test]
fn rows_keep_their_order_over_files_and_shards() {
    let folder = tempdir().unwrap();
    let inputs = folder.path().join("in");
    fs::create_dir_all(inputs.join("below")).unwrap();
    for (name, from) in [("below/a.txt", 0), ("b.txt.gz", 25), ("c.txt", 50)] {
        let text: String = (from..from + 25).map(|line| format!("{line}\n")).collect();
        let path = inputs.join(name);
        match name.ends_with("gz") {
            true => {
                let mut gzip = GzEncoder::new(fs::File::create(path).unwrap(), Compression::fast());
                gzip.write_all(text.as_bytes()).unwrap();
                gzip.finish().unwrap();
            }
            false => fs::write(path, text).unwrap(),
        }
    }
    fs::write(inputs.join("_SUCCESS"), "").unwrap();
    let numbers = |out: &Path| -> Vec<usize> {
        let number = |row: &String| {
            serde_json::from_str::<serde_json::Value>(row).unwrap()["text"].as_str().unwrap().parse().unwrap()
        };
        rows(out).iter().map(number).collect()
    };
    let out = folder.path().join("out");
    let summary = run(&job(&inputs, &out)).unwrap();
    assert_eq!((summary.rows, summary.parts, summary.ran), (75, 9, 75));
    let order: Vec<usize> = (25..50).chain(0..25).chain(50..75).collect();
    assert_eq!(numbers(&out), order);
    // A pattern, without the folder below.
    let out = folder.path().join("matched");
    run(&job(&inputs.join("*.txt"), &out)).unwrap();
    assert_eq!(numbers(&out), (50..75).collect::<Vec<_>>());
}

#[test]
fn vectors_are_arrays_of_numpy() {
    let folder = tempdir().unwrap();
    let (input, out) = (folder.path().join("a.txt"), folder.path().join("out"));
    fs::write(&input, "one\nfail\nthree\n").unwrap();
    let summary = run(&job(&input, &out).write_as(Format::Npy)).unwrap();
    assert_eq!((summary.rows, summary.failed), (3, 1));
    let bytes = &contents(&out)["part-00000-of-00001.npy"];
    assert!(bytes[10..].starts_with(b"{'descr': '<f4', 'fortran_order': False, 'shape': (3, 2), }"));
    let numbers: Vec<f32> = bytes[128..].chunks(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect();
    assert_eq!((&numbers[..2], &numbers[4..]), (&[3.0, 0.5][..], &[5.0, 0.5][..]));
    assert!(numbers[2].is_nan() && numbers[3].is_nan());
    assert_eq!(verify_complete(&out).unwrap().failed, 1);
    let left_out = folder.path().join("left-out");
    run(&job(&input, &left_out).write_as(Format::Npy).leave_out_failed()).unwrap();
    let bytes = &contents(&left_out)["part-00000-of-00001.npy"];
    assert!(bytes[10..].starts_with(b"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2), }"));
    verify_complete(&left_out).unwrap();
}

#[test]
fn an_empty_input_is_a_job_without_parts() {
    let folder = tempdir().unwrap();
    let out = folder.path().join("out");
    let input = lines(folder.path(), 0);
    let summary = run(&job(&input, &out)).unwrap();
    assert_eq!((summary.rows, summary.parts, summary.is_complete()), (0, 0, true));
    assert_eq!(verify_complete(&out).unwrap().rows, 0);
}
