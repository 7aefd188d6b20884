//! The examples for newcomers: images, a table, and a model of one's own.

use std::{path::Path, process::Output};

use crate::support::process::example;

/// Runs an example; returns whether it succeeded, its output and its messages.
fn run(name: &str, arguments: &[&Path]) -> (bool, String, String) {
    let Output { status, stdout, stderr } =
        example(name).args(arguments).env_remove("RUST_BACKTRACE").output().unwrap();
    (status.success(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

#[test]
fn a_model_of_ones_own_reports_the_line_that_fails() {
    let (success, out, messages) = run("own_model", &[]);
    assert!(success, "{messages}");
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines.len(), 4, "{out}");
    assert!(
        lines[0].starts_with("English") && lines[1].starts_with("German") && lines[3].starts_with("French"),
        "{out}"
    );
    assert!(lines[2].starts_with("line 3 failed in run"), "{out}");
    assert!(messages.contains("4 items"), "{messages}");
}

#[cfg(feature = "onnx")]
mod with_models {
    use std::fs;

    use super::run;
    use crate::support::onnx_writer::{Draft, FLOAT, floats, int, node, value};

    #[test]
    fn rows_of_a_table_are_scored_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let [model, table] = ["model.onnx", "table.csv"].map(|name| folder.path().join(name));
        let draft = Draft::new()
            .input(value("x", FLOAT, &["n", "2"]))
            .initializer(floats("w", &[2, 1], &[1.0, 10.0]))
            .node(node("MatMul", "sum", &["x", "w"], &["y"]))
            .output(value("y", FLOAT, &["n", "1"]));
        fs::write(&model, draft.bytes()).unwrap();
        fs::write(&table, "a,b\n1,2\n3, 4\n5,none\n6\n7,8\n").unwrap();
        let (success, out, messages) = run("score_table", &[&model, &table]);
        assert!(!success);
        assert_eq!(out, "21\n43\n\n\n87\n", "{messages}");
        for message in ["row 3: failed in prepare: `none` is not a number", "row 4: failed in prepare: 1 fields"] {
            assert!(messages.contains(message), "{messages}");
        }
    }

    #[test]
    fn the_best_class_of_an_image_is_printed() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        // The classes are the channels: the scores are their means.
        let draft = Draft::new()
            .input(value("image", FLOAT, &["n", "3", "4", "4"]))
            .node(node("GlobalAveragePool", "mean", &["image"], &["means"]))
            .node(node("Flatten", "flat", &["means"], &["scores"]).message(5, &int("axis", 1)))
            .output(value("scores", FLOAT, &["n", "3"]));
        fs::write(path("model.onnx"), draft.bytes()).unwrap();
        let image = |name: &str, colour: [u8; 3]| {
            let mut bytes = b"P6 # two by three\n2 3\n255\n".to_vec();
            bytes.extend(colour.repeat(6));
            fs::write(path(name), bytes).unwrap();
        };
        image("red.ppm", [255, 0, 0]);
        image("blue.ppm", [0, 0, 255]);
        fs::write(path("text.ppm"), "no image").unwrap();
        let names = ["model.onnx", "red.ppm", "text.ppm", "blue.ppm"].map(path);
        let (success, out, messages) = run("classify_images", &names.each_ref().map(|path| path.as_path()));
        assert!(success, "{messages}");
        let lines: Vec<&str> = out.lines().collect();
        assert!(lines[0].contains("red.ppm: class 0") && lines[2].contains("blue.ppm: class 2"), "{out}");
        assert!(lines[1].contains("text.ppm: failed in prepare: not a binary PPM file"), "{out}");
    }
}
