//! Inputs and folders that are damaged or want to harm.

use std::{fs, io::Write, path::Path};

use flate2::{Compression, write::GzEncoder};
use gristmill::files::{Start, verify_complete};
use tempfile::tempdir;

use super::{contents, job, lines, model, resumed, rows, run, run_by};

fn refused(folder: &Path, name: &str, bytes: &[u8]) -> String {
    let input = folder.join(name);
    fs::write(&input, bytes).unwrap();
    let error = run(&job(&input, &folder.join(format!("out-{name}")))).unwrap_err().to_string();
    assert!(error.contains(name), "{error}");
    error
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(bytes).unwrap();
    gzip.finish().unwrap()
}

#[test]
fn damaged_inputs_end_the_job() {
    let folder = tempdir().unwrap();
    let text: String = (0..5000).map(|line| format!("line {line}\n")).collect();
    let whole = gzip(text.as_bytes());
    refused(folder.path(), "cut.txt.gz", &whole[..whole.len() / 2]);
    let mut changed = whole.clone();
    changed[whole.len() / 2] ^= 0x55;
    refused(folder.path(), "changed.txt.gz", &changed);
    let whole = zstd::encode_all(text.as_bytes(), 1).unwrap();
    refused(folder.path(), "cut.txt.zst", &whole[..whole.len() / 2]);
    assert!(refused(folder.path(), "empty.csv", b"").contains("the line of names at the start is missing"));
    assert!(refused(folder.path(), "twice.csv", b"a,b,a\n1,2,3\n").contains("the name `a` twice"));
    let wide = vec!["x,"; 5000].concat();
    assert!(refused(folder.path(), "wide.csv", wide.as_bytes()).contains("more than 4096 fields"));
    assert!(refused(folder.path(), "picture.png", b"").contains("tells no format"));
    fs::create_dir(folder.path().join("mixed")).unwrap();
    fs::write(folder.path().join("mixed/a.txt"), "one\n").unwrap();
    fs::write(folder.path().join("mixed/b.csv"), "text\none\n").unwrap();
    let error = run(&job(&folder.path().join("mixed"), &folder.path().join("out"))).unwrap_err().to_string();
    assert!(error.contains("a.txt is lines, b.csv is csv"), "{error}");
}

#[test]
fn long_and_deep_rows_are_bounded() {
    let folder = tempdir().unwrap();
    let (input, out) = (folder.path().join("in.jsonl.gz"), folder.path().join("out"));
    // A few bytes that become many: one line of 60 MB.
    let bomb = gzip(&vec![b'x'; 60 << 20]);
    let deep = format!("\n{{\"text\":\"a\",\"deep\":{}{}}}\n", "[".repeat(100_000), "]".repeat(100_000));
    let fields: String = (0..10_000).map(|field| format!("\"f{field}\":0,")).collect();
    let fields = format!("{{{fields}\"text\":\"a\"}}\n{{\"text\":\"a\",\"text\":\"b\"}}\n{{\"text\":\"last\"}}\n");
    fs::write(&input, [bomb, gzip(deep.as_bytes()), gzip(fields.as_bytes())].concat()).unwrap();
    let summary = run(&job(&input, &out).longest_row(1 << 20)).unwrap();
    assert_eq!((summary.rows, summary.failed), (5, 4));
    let letters = String::from_utf8(contents(&out)["part-00000-of-00001.errors.jsonl"].clone()).unwrap();
    for cause in
        ["62914560 bytes; the limit is 1048576", "deeper than 128", "more than 4096 fields", "`text` occurs twice"]
    {
        assert!(letters.contains(cause), "{letters}");
    }
    assert!(rows(&out)[4].starts_with(r#"{"text":"last","length":4"#));
    // A field that never ends takes the rest of the file, and no memory.
    let (input, out) = (folder.path().join("in.csv.gz"), folder.path().join("csv"));
    fs::write(&input, [gzip(b"text\nfirst\n\""), gzip(&vec![b'x'; 60 << 20])].concat()).unwrap();
    let summary = run(&job(&input, &out).longest_row(1 << 20)).unwrap();
    assert_eq!((summary.rows, summary.failed), (2, 1));
    let letters = |out: &Path| String::from_utf8(contents(out)["part-00000-of-00001.errors.jsonl"].clone()).unwrap();
    assert!(letters(&out).contains("never closed takes the rest of the file, 62914560 bytes"), "{}", letters(&out));
    let (input, out) = (folder.path().join("open.csv"), folder.path().join("open"));
    fs::write(&input, "n,text\n1,first\n2,\"second\n3,third\n").unwrap();
    let summary = run(&job(&input, &out)).unwrap();
    assert_eq!((summary.rows, summary.failed), (2, 1));
    assert!(letters(&out).contains("never closed takes the rest of the file, 16 bytes"), "{}", letters(&out));
    // Quotes within a field that does not begin with one are its text, and one that is closed at the end is closed.
    for last in ["2,5\" pipe", "2,\"5 pipes\"", "2,\"5\"\" pipe\"", "2,"] {
        fs::write(&input, format!("n,text\n1,first\n{last}")).unwrap();
        fs::remove_dir_all(&out).unwrap();
        let summary = run(&job(&input, &out)).unwrap();
        assert_eq!((summary.rows, summary.failed), (2, 0), "{last}");
    }
}

#[test]
fn a_damaged_plan_or_manifest_is_refused() {
    let folder = tempdir().unwrap();
    let input = lines(folder.path(), 30);
    let out = folder.path().join("out");
    run(&job(&input, &out)).unwrap();
    let sound = contents(&out);
    let text = |name: &str| String::from_utf8(sound[name].clone()).unwrap();
    let (plan, manifest) = ("_gristmill/plan.json", "_gristmill/manifest.jsonl");
    let damages = [
        (plan, text(plan)[..200].to_owned(), "is damaged"),
        (plan, text(plan).replace("part-00001-of-00003.jsonl", "../../stolen.jsonl"), "shard 1 is not one"),
        (plan, text(plan).replace("\"input\":0,\"first\":10", "\"input\":9,\"first\":10"), "shard 1 is not one"),
        (plan, text(plan).replace("\"layout\":1", "\"layout\":7"), "layout 7"),
        (manifest, text(manifest).replacen("\"rows\":10", "\"rows\":ten", 1), "is damaged"),
    ];
    for (name, damage, fault) in damages {
        fs::write(out.join(name), damage).unwrap();
        for error in [run(&resumed(&job(&input, &out))).map(drop), verify_complete(&out).map(drop)] {
            let error = error.unwrap_err().to_string();
            assert!(error.contains(fault), "{error}");
        }
        fs::write(out.join(name), &sound[name]).unwrap();
    }
    verify_complete(&out).unwrap();
}

#[test]
fn inputs_that_vanish_or_change_end_the_job_and_keep_what_is_done() {
    for vanishes in [true, false] {
        let folder = tempdir().unwrap();
        let input = lines(folder.path(), 6000);
        let (out, path) = (folder.path().join("out"), input.clone());
        let change = move |summary: &gristmill::files::Summary| {
            if summary.finished_parts == 1 {
                match vanishes {
                    true => fs::remove_file(&path).unwrap(),
                    false => fs::write(&path, "line 0\n").unwrap(),
                }
            }
        };
        // With few rows in flight most are unread when the first part is finished.
        let (bulk, job_of) = (model().window(100), || job(&input, &out).rows_per_shard(100));
        let error = run_by(&job_of().progress(change), &bulk).unwrap_err().to_string();
        assert!(error.contains("texts.txt"), "{error}");
        lines(folder.path(), 6000);
        let summary = run(&job_of().start(Start::Resume)).unwrap();
        assert!(summary.is_complete() && summary.ran < 6000, "{summary:?}");
    }
}
