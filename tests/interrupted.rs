//! Ctrl-C leaves what is done, whole and valid.

#![cfg(all(unix, feature = "hugging-face"))]

#[path = "support/folder.rs"]
mod folder;

use std::{
    env,
    fs::File,
    io::{BufReader, Write},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use folder::{Folder, Kind, Weights};

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
    let test = env::current_exe().unwrap();
    let example = test.parent().and_then(Path::parent).unwrap().join("examples/embed");
    assert!(example.exists(), "{} is missing: cargo build --examples", example.display());
    let folder = Folder::new(Kind::Bert, Weights::F32).temporary();
    let out = folder.path().join("out.npy");
    let mut child = Command::new(example)
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
    let array = npyz::NpyFile::new(BufReader::new(File::open(&out).unwrap())).unwrap();
    let (rows, columns) = (array.shape()[0] as usize, array.shape()[1] as usize);
    let values = array.into_vec::<f32>().unwrap();
    assert!(rows > 0 && columns == folder::HIDDEN, "{rows} rows of {columns}");
    assert_eq!(values.len(), rows * columns);
    assert!(said.contains(&format!("{rows} vectors of {columns}")), "{said}");
    // All texts are alike.
    assert!(values.chunks_exact(columns).all(|row| row == &values[..columns]));
}
