//! Models with graphs within nodes, and with values that are no tensors.

use gristmill::{Device, Error, ErrorKind, Model, Session, SessionOptions, Tensor, Tensors, Value};

use crate::support::onnx_writer::*;

fn load(draft: &Draft) -> Session {
    Model::from_bytes(&draft.bytes()).unwrap().session(&SessionOptions::on(Device::Cpu)).unwrap()
}

fn refused(draft: &Draft) -> Error {
    Model::from_bytes(&draft.bytes()).expect_err("the model is refused")
}

fn flag(value: bool) -> Tensor {
    Tensor::from_bools([], &[value]).unwrap()
}

/// A branch that applies an operator to `x` and `w` of the graph around it.
fn branch(op: &str, result: &str) -> Message {
    Draft::new().node(node(op, "inner", &["x", "w"], &[result])).output(value(result, FLOAT, &["", ""])).graph()
}

/// `y` is the product of `x` and `w` if `condition`, otherwise their sum.
fn branching() -> Draft {
    let choose = node("If", "choose", &["condition"], &["y"])
        .message(5, &graph_attribute("then_branch", &branch("MatMul", "inside")))
        .message(5, &graph_attribute("else_branch", &branch("Add", "inside")));
    Draft::new()
        .input(value("x", FLOAT, &["n", "2"]))
        .initializer(floats("w", &[2, 2], &[0.0, 1.0, 2.0, 0.0]))
        .node(choose)
        .output(value("y", FLOAT, &["n", "2"]))
}

#[test]
fn a_condition_chooses_in_each_run() {
    let session = load(&branching().input(value("condition", BOOL, &[])));
    let x = Tensor::new([2, 2], &[1f32, 2.0, 3.0, 4.0]).unwrap();
    let run = |condition: bool| {
        let outputs = session.run(&Tensors::from([("x", x.clone()), ("condition", flag(condition))])).unwrap();
        outputs.get("y").unwrap().as_slice::<f32>().unwrap().to_vec()
    };
    assert_eq!(run(true), [4.0, 1.0, 8.0, 3.0]);
    assert_eq!(run(false), [1.0, 3.0, 5.0, 4.0]);
    assert_eq!(run(true), [4.0, 1.0, 8.0, 3.0]);
}

#[test]
fn a_known_condition_leaves_one_branch() {
    let draft = branching().initializer(tensor("condition", BOOL, &[]).bytes(9, [1u8]));
    let model = Model::from_bytes(&draft.bytes()).unwrap();
    let names: Vec<_> = model.graph().nodes().iter().map(|node| node.op.def().name).collect();
    assert_eq!(names, ["MatMul"]);
    let x = Tensor::new([1, 2], &[1f32, 2.0]).unwrap();
    let outputs = load(&draft).run(&Tensors::from([("x", x)])).unwrap();
    assert_eq!(outputs.get("y").unwrap().as_slice::<f32>().unwrap(), [4.0, 1.0]);
}

/// A loop whose body appends `x` to what it carries, at most `most` times.
fn growing() -> Draft {
    let body = Draft::new()
        .input(value("at", INT64, &[]))
        .input(value("go", BOOL, &[]))
        .input(value("so_far", FLOAT, &[""]))
        .node(node("Concat", "join", &["so_far", "x"], &["more"]).message(5, &int("axis", 0)))
        .node(node("Identity", "still", &["go"], &["again"]))
        .node(node("ReduceSum", "add", &["more"], &["sum"]).message(5, &int("keepdims", 0)))
        .output(value("again", BOOL, &[]))
        .output(value("more", FLOAT, &[""]))
        .output(value("sum", FLOAT, &[]));
    let repeat = node("Loop", "grow", &["most", "go_on", "start"], &["all", "sums"])
        .message(5, &graph_attribute("body", &body.graph()));
    Draft::new()
        .input(value("x", FLOAT, &["n"]))
        .input(value("most", INT64, &[]))
        .input(value("go_on", BOOL, &[]))
        .initializer(floats("start", &[1], &[0.5]))
        .node(repeat)
        .output(value("all", FLOAT, &[""]))
        .output(value("sums", FLOAT, &[""]))
}

#[test]
fn a_carried_value_may_grow() {
    let session = load(&growing());
    let run = |most: i64, go_on: bool| {
        let x = Tensor::new([2], &[1f32, 2.0]).unwrap();
        let inputs = Tensors::from([("x", x), ("most", Tensor::scalar(most)), ("go_on", flag(go_on))]);
        let outputs = session.run(&inputs).unwrap();
        let of = |name: &str| outputs.get(name).unwrap().as_slice::<f32>().unwrap().to_vec();
        (of("all"), of("sums"))
    };
    assert_eq!(run(2, true), (vec![0.5, 1.0, 2.0, 1.0, 2.0], vec![3.5, 6.5]));
    assert_eq!(run(0, true), (vec![0.5], vec![]));
    assert_eq!(run(5, false), (vec![0.5], vec![]));
}

#[test]
fn a_loop_without_end_is_an_error() {
    let body = Draft::new()
        .input(value("at", INT64, &[]))
        .input(value("go", BOOL, &[]))
        .input(value("so_far", FLOAT, &["n"]))
        .node(node("Identity", "still", &["go"], &["again"]))
        .node(node("Neg", "turn", &["so_far"], &["turned"]))
        .output(value("again", BOOL, &[]))
        .output(value("turned", FLOAT, &["n"]));
    let repeat =
        node("Loop", "forever", &["", "go_on", "x"], &["y"]).message(5, &graph_attribute("body", &body.graph()));
    let draft = Draft::new()
        .input(value("x", FLOAT, &["n"]))
        .input(value("go_on", BOOL, &[]))
        .node(repeat)
        .output(value("y", FLOAT, &["n"]));
    let options = SessionOptions::on(Device::Cpu).max_iterations(1000);
    let session = Model::from_bytes(&draft.bytes()).unwrap().session(&options).unwrap();
    let run = |go_on: bool| {
        let x = Tensor::new([1], &[1f32]).unwrap();
        session.run(&Tensors::from([("x", x), ("go_on", flag(go_on))]))
    };
    for _ in 0..2 {
        let error = run(true).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Limit);
        let text = error.to_string();
        assert!(text.contains("forever") && text.contains("max_iterations") && text.contains("1000"), "{text}");
    }
    assert_eq!(run(false).unwrap().get("y").unwrap().as_slice::<f32>().unwrap(), [1.0]);
}

#[test]
fn a_sequence_is_filled_in_a_loop() {
    let body = Draft::new()
        .input(value("at", INT64, &[]))
        .input(value("go", BOOL, &[]))
        .input(Message::new().text(1, "so_far"))
        .node(node("Identity", "still", &["go"], &["again"]))
        .node(node("SequenceInsert", "add", &["so_far", "x"], &["more"]))
        .output(value("again", BOOL, &[]))
        .output(Message::new().text(1, "more"));
    let draft = Draft::new()
        .input(value("x", FLOAT, &["1", "n"]))
        .initializer(integers("most", &[], &[3]))
        .node(node("SequenceEmpty", "none", &[], &["empty"]))
        .node(
            node("Loop", "fill", &["most", "", "empty"], &["all"]).message(5, &graph_attribute("body", &body.graph())),
        )
        .node(node("ConcatFromSequence", "join", &["all"], &["y"]).message(5, &int("axis", 0)))
        .node(node("SequenceLength", "count", &["all"], &["count"]))
        .output(value("y", FLOAT, &["", "n"]))
        .output(value("count", INT64, &[]))
        .output(Message::new().text(1, "all"));
    let outputs = load(&draft).run(&Tensors::from([("x", Tensor::new([1, 2], &[7f32, 8.0]).unwrap())])).unwrap();
    assert_eq!(outputs.get("y").unwrap(), &Tensor::new([3, 2], &[7f32, 8.0, 7.0, 8.0, 7.0, 8.0]).unwrap());
    assert_eq!(outputs.get("count").unwrap(), &Tensor::scalar(3i64));
    let Some(Value::Sequence(all)) = outputs.get_value("all") else { panic!("no sequence") };
    assert_eq!(all.len(), 3);
}

#[test]
fn graphs_nested_without_end_are_an_error() {
    let mut inner = Draft::new().node(node("Neg", "n", &["x"], &["y"])).output(value("y", FLOAT, &["n"])).graph();
    for _ in 0..10_000 {
        inner = Message::new()
            .message(
                1,
                &node("If", "", &["c"], &["y"])
                    .message(5, &graph_attribute("then_branch", &inner))
                    .message(5, &graph_attribute("else_branch", &Message::new())),
            )
            .message(12, &Message::new().text(1, "y"));
    }
    for known in [false, true] {
        let choose = node("If", "outermost", &["c"], &["y"])
            .message(5, &graph_attribute("then_branch", &inner))
            .message(5, &graph_attribute("else_branch", &inner));
        let draft = Draft::new().input(value("x", FLOAT, &["n"])).node(choose).output(value("y", FLOAT, &["n"]));
        let draft = match known {
            false => draft.input(value("c", BOOL, &[])),
            true => draft.initializer(tensor("c", BOOL, &[]).bytes(9, [1u8])),
        };
        let error = refused(&draft);
        assert_eq!(error.kind(), ErrorKind::Limit, "{error}");
        assert!(error.to_string().contains("nested"), "{error}");
    }
}

#[test]
fn a_captured_name_that_nothing_makes_is_named() {
    let lost = Draft::new().node(node("Neg", "n", &["nowhere"], &["z"])).output(value("z", FLOAT, &["n"])).graph();
    let choose = node("If", "choose", &["c"], &["y"])
        .message(5, &graph_attribute("then_branch", &lost))
        .message(5, &graph_attribute("else_branch", &lost));
    let draft = Draft::new().input(value("c", BOOL, &[])).node(choose).output(value("y", FLOAT, &["n"]));
    let error = refused(&draft);
    assert_eq!(error.kind(), ErrorKind::InvalidModel);
    assert!(error.to_string().contains("`nowhere`"), "{error}");
}

#[test]
fn tensors_where_sequences_belong_are_refused() {
    let draft = Draft::new()
        .input(value("x", FLOAT, &["n"]))
        .node(node("SequenceConstruct", "pack", &["x"], &["s"]))
        .node(node("Neg", "turn", &["s"], &["y"]))
        .output(value("y", FLOAT, &["n"]));
    let error = refused(&draft).to_string();
    assert!(error.contains("turn") && error.contains("a sequence of tensors of f32"), "{error}");
    let draft = Draft::new()
        .input(value("x", FLOAT, &["n"]))
        .node(node("SequenceLength", "count", &["x"], &["y"]))
        .output(value("y", INT64, &[]));
    assert!(refused(&draft).to_string().contains("expected a sequence"));
}

#[test]
fn strings_of_graphs_within_are_those_of_the_run() {
    const STRING: i64 = 8;
    let strings = |name: &str, dims: &[i64], texts: &[&str]| {
        texts.iter().fold(tensor(name, STRING, dims), |own, text| own.text(6, text))
    };
    let branch = |mark: &str| {
        let join = node("StringConcat", "join", &["s", "mark"], &["inside"]);
        Draft::new()
            .initializer(strings("mark", &[], &[mark]))
            .node(join)
            .output(value("inside", STRING, &["n"]))
            .graph()
    };
    let choose = node("If", "choose", &["condition"], &["chosen"])
        .message(5, &graph_attribute("then_branch", &branch("!")))
        .message(5, &graph_attribute("else_branch", &branch("?")));
    let body = Draft::new()
        .input(value("at", INT64, &[]))
        .input(value("go", BOOL, &[]))
        .input(value("so_far", STRING, &["n"]))
        .initializer(strings("dot", &[], &["."]))
        .node(node("Identity", "still", &["go"], &["again"]))
        .node(node("StringConcat", "add", &["so_far", "dot"], &["more"]))
        .node(node("Identity", "show", &["more"], &["each"]))
        .output(value("again", BOOL, &[]))
        .output(value("more", STRING, &["n"]))
        .output(value("each", STRING, &["n"]));
    let repeat = node("Loop", "repeat", &["most", "", "chosen"], &["all", "steps"])
        .message(5, &graph_attribute("body", &body.graph()));
    let draft = Draft::new()
        .opset(20)
        .input(value("s", STRING, &["n"]))
        .input(value("condition", BOOL, &[]))
        .input(value("most", INT64, &[]))
        .initializer(strings("known", &[2], &["a!", "b?"]))
        .node(choose)
        .node(node("Equal", "compare", &["chosen", "known"], &["same"]))
        .node(repeat)
        .output(value("same", BOOL, &["n"]))
        .output(value("all", STRING, &["n"]))
        .output(value("steps", STRING, &["", "n"]));
    let session = load(&draft);
    let run = |condition: bool, most: i64| {
        let s = Tensor::from_strings([2], &["a", "b"]).unwrap();
        let inputs = Tensors::from([("s", s), ("condition", flag(condition)), ("most", Tensor::scalar(most))]);
        session.run(&inputs).unwrap()
    };
    let outputs = run(true, 2);
    assert_eq!(outputs.get("same").unwrap(), &Tensor::from_bools([2], &[true, false]).unwrap());
    assert_eq!(outputs.get("all").unwrap(), &Tensor::from_strings([2], &["a!..", "b!.."]).unwrap());
    let steps = Tensor::from_strings([2, 2], &["a!.", "b!.", "a!..", "b!.."]).unwrap();
    assert_eq!(outputs.get("steps").unwrap(), &steps);
    let outputs = run(false, 1);
    assert_eq!(outputs.get("same").unwrap(), &Tensor::from_bools([2], &[false, true]).unwrap());
    assert_eq!(outputs.get("all").unwrap(), &Tensor::from_strings([2], &["a?.", "b?."]).unwrap());
    assert_eq!(run(false, 0).get("steps").unwrap().shape(), [0, 2]);
}

#[test]
fn sequences_hold_strings() {
    const STRING: i64 = 8;
    let dims = Message::new().message(1, &Message::new());
    let tensors = Message::new().message(1, &Message::new().int(1, STRING).message(2, &dims));
    let sequence = |name: &str| {
        Message::new().text(1, name).message(2, &Message::new().message(4, &Message::new().message(1, &tensors)))
    };
    let draft = Draft::new()
        .opset(20)
        .input(sequence("given"))
        .input(value("s", STRING, &["n"]))
        .initializer(tensor("mark", STRING, &[]).text(6, "!"))
        .initializer(integers("first", &[], &[0]))
        .node(node("StringConcat", "join", &["s", "mark"], &["marked"]))
        .node(node("SequenceInsert", "insert", &["given", "marked", "first"], &["more"]))
        .node(node("ConcatFromSequence", "all", &["more"], &["joined"]).message(5, &int("axis", 0)))
        .node(node("SequenceAt", "last", &["more", "second"], &["taken"]))
        .initializer(integers("second", &[], &[1]))
        .output(sequence("more"))
        .output(value("joined", STRING, &[""]))
        .output(value("taken", STRING, &[""]));
    let session = load(&draft);
    let texts = |all: &[&str]| Tensor::from_strings([all.len()], all).unwrap();
    for seed in 0..2 {
        let given = Value::Sequence(vec![texts(&["x", "a!"]).into(), texts(&["y"]).into()]);
        let mut inputs = Tensors::from([("s", texts(&[["a", "b"][seed]]))]);
        inputs.insert_value("given", given);
        let outputs = session.run(&inputs).unwrap();
        let marked = ["a!", "b!"][seed];
        assert_eq!(outputs.get("joined").unwrap(), &texts(&[marked, "x", "a!", "y"]));
        assert_eq!(outputs.get("taken").unwrap(), &texts(&["x", "a!"]));
        let want = Value::Sequence(vec![texts(&[marked]).into(), texts(&["x", "a!"]).into(), texts(&["y"]).into()]);
        assert_eq!(outputs.get_value("more").unwrap(), want);
    }
}

/// As Paddle's exporter writes loops: a scalar counter that becomes a list of one, and a scalar that nothing reads.
#[test]
fn a_scalar_takes_the_dimensions_of_what_replaces_it() {
    let body = Draft::new()
        .input(value("at", INT64, &[]))
        .input(value("go", BOOL, &[]))
        .input(value("count", FLOAT, &[]))
        .input(value("unread", FLOAT, &[]))
        .initializer(floats("step", &[1], &[2.0]))
        .node(node("Identity", "still", &["go"], &["again"]))
        .node(node("Add", "add", &["count", "step"], &["next"]))
        .node(node("Mul", "scale", &["x", "next"], &["scaled"]))
        .output(value("again", BOOL, &[]))
        .output(value("next", FLOAT, &["1"]))
        .output(value("scaled", FLOAT, &["", ""]));
    let repeat = node("Loop", "repeat", &["most", "", "zero", "zero"], &["last", "y"])
        .message(5, &graph_attribute("body", &body.graph()));
    let draft = Draft::new()
        .input(value("x", FLOAT, &["n", "2"]))
        .input(value("most", INT64, &[]))
        .initializer(floats("zero", &[], &[0.5]))
        .node(repeat)
        .output(value("last", FLOAT, &[""]))
        .output(value("y", FLOAT, &["", ""]));
    let model = Model::from_bytes(&draft.bytes()).unwrap();
    assert!(model.notes().iter().any(|note| note.contains("as what replaces it has")), "{:?}", model.notes());
    let session = load(&draft);
    let run = |most: i64| {
        let x = Tensor::new([2, 2], &[1f32, 2.0, 3.0, 4.0]).unwrap();
        session.run(&Tensors::from([("x", x), ("most", Tensor::scalar(most))])).unwrap()
    };
    let outputs = run(3);
    assert_eq!(outputs.get("last").unwrap(), &Tensor::new([1], &[6.5f32]).unwrap());
    assert_eq!(outputs.get("y").unwrap(), &Tensor::new([2, 2], &[6.5f32, 13.0, 19.5, 26.0]).unwrap());
    assert_eq!(run(0).get("y").unwrap().as_slice::<f32>().unwrap(), [0.5]);
    // One that is read keeps its dimensions, or broadcasting would differ.
    let body = Draft::new()
        .input(value("at", INT64, &[]))
        .input(value("go", BOOL, &[]))
        .input(value("so_far", FLOAT, &[]))
        .node(node("Identity", "still", &["go"], &["again"]))
        .node(node("Mul", "scale", &["x", "so_far"], &["scaled"]))
        .output(value("again", BOOL, &[]))
        .output(value("scaled", FLOAT, &["", ""]));
    let repeat =
        node("Loop", "repeat", &["most", "", "zero"], &["y"]).message(5, &graph_attribute("body", &body.graph()));
    let error = refused(&Draft { nodes: vec![repeat], outputs: vec![value("y", FLOAT, &["", ""])], ..draft });
    assert!(error.to_string().contains("a value of f32[] is replaced by one of f32["), "{error}");
}

#[test]
fn a_scalar_result_becomes_a_list_of_one_as_the_other_graphs() {
    let graph = |own: Draft| own.output(value("inside", FLOAT, &[])).graph();
    let scalar =
        graph(Draft::new().node(node("ReduceSum", "sum", &["x"], &["inside"]).message(5, &int("keepdims", 0))));
    let list = graph(Draft::new().node(node("Identity", "same", &["w"], &["inside"])));
    for (then, other) in [(&scalar, &list), (&list, &scalar)] {
        let choose = node("If", "choose", &["condition"], &["y"])
            .message(5, &graph_attribute("then_branch", then))
            .message(5, &graph_attribute("else_branch", other));
        let draft = Draft::new()
            .input(value("x", FLOAT, &["n"]))
            .input(value("condition", BOOL, &[]))
            .initializer(floats("w", &[1], &[7.0]))
            .node(choose)
            .output(value("y", FLOAT, &[""]));
        let session = load(&draft);
        let x = Tensor::new([2], &[1f32, 2.0]).unwrap();
        let run = |condition: bool| {
            let outputs = session.run(&Tensors::from([("x", x.clone()), ("condition", flag(condition))])).unwrap();
            outputs.get("y").unwrap().clone()
        };
        let mut results = [run(true), run(false)].map(|tensor| tensor.as_slice::<f32>().unwrap().to_vec());
        results.sort_by(|a, b| a.partial_cmp(b).unwrap());
        assert_eq!(results, [[3.0], [7.0]]);
        assert_eq!(run(true).shape(), [1]);
    }
}
