//! Ctrl-C leaves what is done, whole and valid.

use std::{io::Write, process::Stdio, thread, time::Duration};

use crate::{
    ends::{await_part, ended, part, signal},
    support::{
        folder::{self, Folder, Kind, Weights},
        npy,
        process::example,
    },
};

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
    // Behind the header, of 128 bytes, are vectors.
    await_part(folder.path(), 129);
    signal(&child, "INT");
    let output = ended(child, Duration::from_secs(20));
    source.join().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(130) && said.contains("stopping"), "{said}");
    let (rows, columns) = npy::rows(&out);
    assert!(!rows.is_empty() && columns == folder::HIDDEN, "{} rows of {columns}", rows.len());
    assert!(said.contains(&format!("{} vectors of {columns}", rows.len())), "{said}");
    // All texts are alike.
    assert!(rows.iter().all(|row| *row == rows[0]));
    assert!(part(folder.path()).is_none());
}
