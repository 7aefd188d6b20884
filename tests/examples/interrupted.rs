//! Ctrl-C leaves what is done, whole and valid.

use std::{
    io::Write,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::support::{
    folder::{self, Folder, Kind, Weights},
    npy,
    process::example,
};

/// Waits for the end, and kills what does not end.
fn ended(mut child: Child) -> std::process::Output {
    let started = Instant::now();
    while child.try_wait().unwrap().is_none() {
        assert!(started.elapsed() < Duration::from_secs(20) || child.kill().is_err(), "it goes on after Ctrl-C");
        thread::sleep(Duration::from_millis(10));
    }
    child.wait_with_output().unwrap()
}

#[test]
fn embed_writes_the_vectors_that_are_done() {
    let _turn = crate::turn();
    let folder = Folder::new(Kind::Bert, Weights::F32).temporary();
    let out = folder.path().join("out.npy");
    let mut child = example("embed")
        .args(["-", "--device", "cpu", "--model"])
        .arg(folder.path())
        .arg("--out")
        .arg(&out)
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A source that has no end: more texts come as long as somebody reads them.
    let mut texts = child.stdin.take().unwrap();
    let source = thread::spawn(move || while texts.write_all(b"a word or two\n").is_ok() {});
    // Some vectors are in the file by the time that it has grown.
    let started = Instant::now();
    while !out.metadata().is_ok_and(|found| found.len() > 0) {
        assert!(started.elapsed() < Duration::from_secs(60), "nothing is written");
        thread::sleep(Duration::from_millis(20));
    }
    let told = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(told.success());
    let output = ended(child);
    source.join().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && said.contains("stopping"), "{said}");
    let (rows, columns) = npy::rows(&out);
    assert!(!rows.is_empty() && columns == folder::HIDDEN, "{} rows of {columns}", rows.len());
    assert!(said.contains(&format!("{} vectors of {columns}", rows.len())), "{said}");
    // All texts are alike.
    assert!(rows.iter().all(|row| *row == rows[0]));
}
