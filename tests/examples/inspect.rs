//! The example `inspect`: a model described as text and drawn.

use std::fs;

use crate::support::process::example;

const MODEL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/models/magika/model.onnx");

#[test]
fn a_model_is_described_and_drawn() {
    let folder = tempfile::tempdir().unwrap();
    let svg = folder.path().join("model.svg");
    let output = example("inspect").args([MODEL, "--device", "cpu", "--svg"]).arg(&svg).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let has = |line: &str| assert!(text.lines().any(|own| own.starts_with(line)), "no line `{line}` in\n{text}");
    has("outputs     target_label f32[unk__214, 214]");
    has("parameters  784519 (");
    has("nodes       95 in the file, ");
    has("batching    items run together along the first axis");
    // The two dense layers of the file are one product each, with what follows them.
    let row = |name: &str| -> Vec<String> {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        line.split_whitespace().map(str::to_owned).collect()
    };
    assert_eq!(row("MatMul ")[1..3], ["2", "0"]);
    assert_eq!(row("Softmax ")[1..3], ["0", "1"]);
    let drawing = fs::read_to_string(svg).unwrap();
    assert!(drawing.starts_with("<svg ") && drawing.ends_with("</svg>\n"));
    for word in [">bytes<", ">target_label<", ">Conv<", ">f32[unk__214, 214]<"] {
        assert!(drawing.contains(word), "no {word} in the drawing");
    }
}

#[test]
fn a_file_that_is_no_model_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("text.onnx");
    fs::write(&path, "not a model").unwrap();
    let output = example("inspect").arg(&path).output().unwrap();
    assert!(!output.status.success() && output.stdout.is_empty());
    assert!(String::from_utf8(output.stderr).unwrap().contains("text.onnx"));
}
