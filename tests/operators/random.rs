//! Models that draw random numbers: the same in each run and for each item, others for each node, and not in loops.

use gristmill::{Device, Inference as _, Model, Session, SessionOptions, Tensor, Tensors, bulk::Bulk};

use crate::support::onnx_writer::*;

fn load(draft: &Draft) -> Session {
    Model::from_bytes(&draft.bytes()).unwrap().session(&SessionOptions::on(Device::Cpu)).unwrap()
}

/// An attribute that holds a number.
fn float(name: &str, value: f32) -> Message {
    Message::new().text(1, name).int(20, 1).float(2, value)
}

/// Four draws, of which two have one seed.
fn drawing() -> Draft {
    let seeded = |name: &str| node("RandomNormalLike", name, &["x"], &[name]).message(5, &float("seed", 5.0));
    ["first", "second", "third", "fourth"].iter().fold(
        Draft::new()
            .input(value("x", FLOAT, &["n", "k"]))
            .node(node("RandomNormalLike", "first", &["x"], &["first"]))
            .node(node("RandomNormalLike", "second", &["x"], &["second"]))
            .node(seeded("third"))
            .node(seeded("fourth")),
        |draft, name| draft.output(value(name, FLOAT, &["n", "k"])),
    )
}

#[test]
fn each_node_draws_its_own_numbers_the_same_in_every_run() {
    let session = load(&drawing());
    let notes = session.describe().notes.join("\n");
    assert!(notes.contains("random numbers are the same for each item and in each run (node `first`"), "{notes}");
    let items: Vec<Tensors> = (1..5)
        .map(|k| Tensors::from([("x", Tensor::new([1, k % 3 + 1], &vec![k as f32; k % 3 + 1]).unwrap())]))
        .collect();
    let (results, _) = Bulk::new(session).chunk_size(3).workers(2).run(&items);
    let results: Vec<Tensors> = results.into_iter().map(Result::unwrap).collect();
    let of = |item: usize, name: &str| results[item].get(name).unwrap().as_slice::<f32>().unwrap().to_vec();
    assert_eq!(of(1, "first").len(), 3);
    for item in 0..4 {
        assert_eq!(of(item, "third"), of(item, "fourth"));
        assert_ne!(of(item, "first"), of(item, "second"));
        assert_ne!(of(item, "first"), of(item, "third"));
        let count = of(item, "first").len();
        assert_eq!(of(item, "first"), of(1, "first")[..count]);
    }
}

#[test]
fn draws_in_a_loop_are_refused() {
    for like in ["so_far", "constant"] {
        let error = Model::from_bytes(&repeated_draw(like).bytes()).expect_err("it is refused").to_string();
        assert!(error.contains("random numbers in a loop") && error.contains("node `draw`"), "{error}");
    }
}

/// A loop that draws numbers like a value.
fn repeated_draw(like: &str) -> Draft {
    let body = Draft::new()
        .initializer(floats("constant", &[1], &[0.0]))
        .input(value("at", INT64, &[]))
        .input(value("go", BOOL, &[]))
        .input(value("so_far", FLOAT, &["n"]))
        .node(node("Identity", "still", &["go"], &["again"]))
        .node(node("RandomUniformLike", "draw", &[like], &["drawn"]))
        .node(node("Add", "add", &["so_far", "drawn"], &["sum"]))
        .output(value("again", BOOL, &[]))
        .output(value("sum", FLOAT, &["n"]));
    let repeat = node("Loop", "repeat", &["most", "", "x"], &["y"]).message(5, &graph_attribute("body", &body.graph()));
    Draft::new().input(value("x", FLOAT, &["n"])).input(value("most", INT64, &[])).node(repeat).output(value(
        "y",
        FLOAT,
        &["n"],
    ))
}
