//! Rows that fail: dead letters, limits, second tries, and proofs that find damage.

use std::fs;

use gristmill::files::{Start, compare, verify_complete};
use serde_json::{Value, json};
use tempfile::tempdir;

use super::{assert_same, contents, job, rows, run};

const BROKEN: &[u8] = b"{\"id\":\"a\",\"text\":\"one\"}\n{\"id\":\"b\",\"text\":null}\n{\"id\":\"c\",\"text\":\"\xff\"}\n\
    {\"id\":\"d\",\"text\":\"fail\"}\nno JSON\n{\"id\":\"f\",\"text\":[1]}\n{\"id\":\"g\"}\n{\"id\":\"h\",\"text\":\"two\"}\n";

#[test]
fn broken_rows_are_dead_letters_and_harm_no_others() {
    let folder = tempdir().unwrap();
    let (input, out) = (folder.path().join("in.jsonl"), folder.path().join("out"));
    let long = format!("{{\"id\":\"i\",\"text\":\"{}\"}}\n", "x".repeat(2000));
    fs::write(&input, [BROKEN, long.as_bytes()].concat()).unwrap();
    let summary = run(&job(&input, &out).id("id").longest_row(1500).leave_out_failed()).unwrap();
    assert_eq!((summary.rows, summary.failed), (9, 7));
    let sound = folder.path().join("sound.jsonl");
    fs::write(&sound, "{\"id\":\"a\",\"text\":\"one\"}\n{\"id\":\"h\",\"text\":\"two\"}\n").unwrap();
    run(&job(&sound, &folder.path().join("sound"))).unwrap();
    assert_eq!(rows(&out), rows(&folder.path().join("sound")));

    let letters = contents(&out)["part-00000-of-00001.errors.jsonl"].clone();
    let letters: Vec<Value> =
        str::from_utf8(&letters).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |row: u64| letters.iter().find(|letter| letter["row"] == row).unwrap();
    assert_eq!(letters.len(), 7);
    assert_eq!(
        *of(1),
        json!({"file": "in.jsonl", "row": 1, "id": "b", "stage": "read", "kind": "invalid_input",
            "error": "the field `text` is null, not a text", "input": {"id": "b", "text": null}})
    );
    assert_eq!(of(2)["input_base16"], "7b226964223a2263222c2274657874223a22ff227d");
    assert!(of(2)["error"].as_str().unwrap().contains("not UTF-8, at byte 18"), "{}", of(2));
    assert_eq!((&of(3)["stage"], &of(3)["error"]), (&json!("run"), &json!("the text says so")));
    assert_eq!(of(4)["input"], "no JSON");
    assert_eq!(of(5)["error"], "the field `text` is an array, not a text");
    assert_eq!(of(6)["error"], "no field `text`");
    assert_eq!((&of(8)["kind"], of(8)["input"].as_str().unwrap().len()), (&json!("limit"), 1024));
    verify_complete(&out).unwrap();

    // With nulls every row keeps its place.
    let nulls = folder.path().join("nulls");
    run(&job(&input, &nulls)).unwrap();
    let nulls = rows(&nulls);
    assert_eq!((nulls.len(), nulls[3].as_str()), (9, r#"{"id":"d","text":"fail","length":null,"vector":null}"#));
    assert_eq!(nulls[4], r#"{"length":null,"vector":null}"#);
}

#[test]
fn fields_that_do_not_fit_are_dead_letters() {
    let folder = tempdir().unwrap();
    let (input, out) = (folder.path().join("in.csv"), folder.path().join("out"));
    let long = "x".repeat(5000);
    let text = format!("text,n\none,1\ntwo\nthree,3,3\n\"{long}\",4\nfour,4\n\"open\n");
    fs::write(&input, text).unwrap();
    let summary = run(&job(&input, &out).longest_row(3000)).unwrap();
    assert_eq!((summary.rows, summary.failed), (6, 4));
    let letters = String::from_utf8(contents(&out)["part-00000-of-00001.errors.jsonl"].clone()).unwrap();
    for cause in ["1 fields, not 2", "the row has 5001 bytes; the limit is 3000"] {
        assert!(letters.contains(cause), "{letters}");
    }
    let sound: Vec<_> = rows(&out).into_iter().filter(|row| !row.contains("null")).collect();
    assert_eq!(sound.len(), 2);
    assert!(sound[1].starts_with(r#"{"text":"four","n":"4""#));
}

#[test]
fn too_many_failures_end_the_job() {
    let folder = tempdir().unwrap();
    let (input, out) = (folder.path().join("in.txt"), folder.path().join("out"));
    let text: String =
        (0..60).map(|line| if line % 20 == 5 { "fail\n".to_owned() } else { format!("{line}\n") }).collect();
    fs::write(&input, text).unwrap();
    let error = run(&job(&input, &out).max_errors(1)).unwrap_err().to_string();
    assert!(error.contains("more than 1 rows failed, the last one row 25 in run: the text says so"), "{error}");
    // What was finished stays, and the same limit holds when the job goes on.
    assert!(out.join("part-00001-of-00006.jsonl").exists());
    let resume = || job(&input, &out).start(Start::Resume);
    assert!(run(&resume().max_errors(1)).is_err());
    assert_eq!(run(&resume().max_errors(3)).unwrap().failed, 3);
}

#[test]
fn repaired_rows_are_run_alone() {
    let folder = tempdir().unwrap();
    let input = folder.path().join("in.txt");
    let text: String =
        (0..45).map(|line| if line % 10 == 5 { format!("fail {line}\n") } else { format!("{line}\n") }).collect();
    let repaired = text.replace("fail 1", "mended 1").replace("fail 5", "mended 5");
    for leaves_out in [false, true] {
        fs::write(&input, &text).unwrap();
        let out = folder.path().join(format!("out-{leaves_out}"));
        let job = |out: &std::path::Path| match leaves_out {
            true => job(&input, out).leave_out_failed(),
            false => job(&input, out),
        };
        let retry = || job(&out).start(Start::RetryErrors);
        assert_eq!(run(&job(&out)).unwrap().failed, 4);
        let before = contents(&out);
        // Nothing was repaired.
        let summary = run(&retry()).unwrap();
        assert_eq!((summary.ran, summary.failed), (4, 4));
        assert_same(&contents(&out), &before);
        fs::write(&input, &repaired).unwrap();
        assert!(run(&job(&out).start(Start::Resume)).unwrap_err().to_string().contains("other inputs"));
        let summary = run(&retry()).unwrap();
        assert_eq!((summary.ran, summary.failed, summary.is_complete()), (4, 2, true));
        let fresh = folder.path().join(format!("fresh-{leaves_out}"));
        run(&job(&fresh)).unwrap();
        assert_same(&contents(&out), &contents(&fresh));
        verify_complete(&out).unwrap();
        // Rows that had not failed must be as they were.
        fs::write(&input, repaired.replace("44", "45")).unwrap();
        let error = run(&retry()).unwrap_err().to_string();
        assert!(error.contains("changed in rows of part-00004-of-00005.jsonl that had not failed"), "{error}");
        fs::write(&input, repaired.replace("fail 25\n", "")).unwrap();
        let error = run(&retry()).unwrap_err().to_string();
        assert!(error.contains("have other rows than before: 45 and 44"), "{error}");
        assert_same(&contents(&out), &contents(&fresh));
    }
}

#[test]
fn a_proof_finds_every_damage() {
    let folder = tempdir().unwrap();
    let (input, out, copy) = (folder.path().join("in.txt"), folder.path().join("out"), folder.path().join("copy"));
    let text: String = (0..20).map(|line| format!("{}{line}\n", if line == 3 { "fail" } else { "" })).collect();
    fs::write(&input, text).unwrap();
    run(&job(&input, &out)).unwrap();
    run(&job(&input, &copy)).unwrap();
    let sound = contents(&out);
    let part = "part-00001-of-00002.jsonl";
    let letters = "part-00000-of-00002.errors.jsonl";
    let changed = |name: &str| String::from_utf8(sound[name].clone()).unwrap().replacen("te", "ta", 1);
    let damages: [(&str, Option<String>, &str); 6] = [
        (part, Some(changed(part)), "its size or its hash"),
        (part, None, "part-00001"),
        (letters, Some(changed(letters)), "its dead letters"),
        (letters, Some(String::new()), "its dead letters"),
        (letters, None, "errors.jsonl"),
        ("part-00001-of-00002.errors.jsonl", Some("{}\n".to_owned()), "dead letters"),
    ];
    for (name, damage, fault) in damages {
        match damage {
            Some(text) => fs::write(out.join(name), text).unwrap(),
            None => fs::remove_file(out.join(name)).unwrap(),
        }
        let error = verify_complete(&out).unwrap_err().to_string();
        assert!(error.contains(fault), "{name}: {error}");
        match sound.get(name) {
            Some(bytes) => fs::write(out.join(name), bytes).unwrap(),
            None => fs::remove_file(out.join(name)).unwrap(),
        }
        assert_eq!(verify_complete(&out).unwrap().failed, 1);
    }
    fs::write(out.join("part-00002-of-00003.jsonl"), "").unwrap();
    assert!(verify_complete(&out).unwrap_err().to_string().contains("belongs to no shard"));
    fs::remove_file(out.join("part-00002-of-00003.jsonl")).unwrap();
    compare(&out, &copy).unwrap();
    fs::write(&input, fs::read_to_string(&input).unwrap() + "more\n").unwrap();
    let more = folder.path().join("more");
    run(&job(&input, &more)).unwrap();
    let error = compare(&out, &more).unwrap_err().to_string();
    assert!(error.contains("the input in.txt had") && error.contains("is finished in"), "{error}");
}
