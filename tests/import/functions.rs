//! Functions of the file: inlined where nodes call them, and bounded.

use gristmill::{Device, ErrorKind, ImportOptions, Model, SessionOptions, Tensor, Tensors};

use crate::support::onnx_writer::*;

/// A `FunctionProto` of the domain `own`.
fn function(name: &str, inputs: &[&str], outputs: &[&str], nodes: &[Message]) -> Message {
    let own = Message::new().text(1, name).text(10, "own").message(9, &Message::new().text(1, "").int(2, 17));
    let own = inputs.iter().fold(own, |own, input| own.text(4, input));
    outputs.iter().fold(own, |own, output| own.text(5, output)).messages(7, nodes)
}

fn call(name: &str, inputs: &[&str], outputs: &[&str]) -> Message {
    node(name, "call", inputs, outputs).text(7, "own")
}

/// A reference to the attribute `of` of the call.
fn reference(name: &str, kind: i64, of: &str) -> Message {
    Message::new().text(1, name).int(20, kind).text(21, of)
}

fn with(draft: &Draft, functions: &[Message]) -> Vec<u8> {
    Message(draft.bytes()).messages(25, functions).0
}

/// `y = f(x)` of `[n, 2]`, where `nodes` make `y`.
fn draft(nodes: &[Message]) -> Draft {
    let draft = Draft::new().input(value("x", FLOAT, &["n", "2"])).output(value("y", FLOAT, &["", ""]));
    nodes.iter().fold(draft, |draft, node| draft.node(node.clone()))
}

fn run(bytes: &[u8]) -> Vec<f32> {
    let model = Model::from_bytes(bytes).unwrap_or_else(|error| panic!("{error}"));
    let session = model.session(&SessionOptions::on(Device::Cpu)).unwrap();
    let x = Tensor::new([1, 2], &[1f32, 2.0]).unwrap();
    session.run(&Tensors::from([("x", x)])).unwrap().get("y").unwrap().as_slice::<f32>().unwrap().to_vec()
}

fn refuse(bytes: &[u8]) -> (ErrorKind, String) {
    let error = Model::from_bytes(bytes).expect_err("the model is refused");
    (error.kind(), error.to_string())
}

#[test]
fn names_of_a_function_are_its_own() {
    // The function's `x` and `y` are not the graph's.
    let twice = function("Twice", &["y"], &["x"], &[node("Add", "sum", &["y", "y"], &["x"])]);
    let nodes = [call("Twice", &["x"], &["a"]), call("Twice", &["a"], &["y"])];
    assert_eq!(run(&with(&draft(&nodes), &[twice])), [4.0, 8.0]);
}

#[test]
fn functions_call_functions_in_any_order() {
    let twice = function("Twice", &["a"], &["b"], &[node("Add", "sum", &["a", "a"], &["b"])]);
    let inner = [call("Twice", &["m"], &["b"]), call("Twice", &["a"], &["m"])];
    let four = function("Four", &["a"], &["b"], &inner);
    assert_eq!(run(&with(&draft(&[call("Four", &["x"], &["y"])]), &[four, twice])), [4.0, 8.0]);
}

#[test]
fn attributes_of_the_call_reach_the_nodes() {
    let elu = node("Elu", "elu", &["m"], &["b"]).message(5, &reference("alpha", 1, "slope"));
    let body = [node("Neg", "minus", &["a"], &["m"]), elu];
    let plain = || function("Bent", &["a"], &["b"], &body);
    let named = plain().text(6, "slope");
    let default = plain().message(11, &Message::new().text(1, "slope").int(20, 1).float(2, 10.0));
    let plainly = || call("Bent", &["x"], &["y"]);
    let given = plainly().message(5, &Message::new().text(1, "slope").int(20, 1).float(2, 100.0));
    let first = |bytes: &[u8]| run(bytes)[0];
    let one = (-1f32).exp() - 1.0;
    for (nodes, function, slope) in [
        (plainly(), named.clone(), 1.0),
        (plainly(), default.clone(), 10.0),
        (given.clone(), named, 100.0),
        (given.clone(), default, 100.0),
    ] {
        let own = first(&with(&draft(&[nodes]), &[function]));
        assert!((own - slope * one).abs() < 1e-4, "{own} {slope}");
    }
    let (kind, text) = refuse(&with(&draft(&[given]), &[plain()]));
    assert_eq!(kind, ErrorKind::InvalidModel);
    assert!(text.contains("no attribute `slope`"), "{text}");
}

#[test]
fn operands_that_a_call_leaves_out_are_absent() {
    let clip = [node("Clip", "clip", &["a", "low", "high"], &["b"])];
    let function = function("Clipped", &["a", "low", "high"], &["b"], &clip);
    let nodes = [call("Clipped", &["x", "", "most"], &["y"])];
    let draft = draft(&nodes).initializer(floats("most", &[], &[1.5]));
    assert_eq!(run(&with(&draft, &[function])), [1.0, 1.5]);
}

#[test]
fn the_overload_belongs_to_the_name() {
    let overload =
        |name: &str, op: &str| function("F", &["a"], &["b"], &[node(op, "n", &["a"], &["b"])]).text(13, name);
    let functions = [overload("", "Neg"), overload("root", "Sqrt")];
    let negative = draft(&[call("F", &["x"], &["y"])]);
    assert_eq!(run(&with(&negative, &functions))[0], -1.0);
    let root = draft(&[call("F", &["x"], &["y"]).text(8, "root")]);
    assert_eq!(run(&with(&root, &functions))[0], 1.0);
}

#[test]
fn a_function_may_pass_an_operand_through() {
    let pass = function("Pass", &["a"], &["a"], &[]);
    let nodes = [call("Pass", &["x"], &["m"]), node("Neg", "minus", &["m"], &["y"])];
    let bytes = with(&draft(&nodes), &[pass]);
    assert_eq!(run(&bytes), [-1.0, -2.0]);
}

#[test]
fn a_missing_operator_of_a_function_is_named() {
    let odd = function("Odd", &["a"], &["b"], &[node("Frob", "f", &["a"], &["b"])]);
    let unused = function("Unused", &["a"], &["b"], &[node("Twist", "t", &["a"], &["b"])]);
    let (kind, text) = refuse(&with(&draft(&[call("Odd", &["x"], &["y"])]), &[odd, unused]));
    assert_eq!(kind, ErrorKind::Unsupported);
    assert!(text.contains("Frob (node `f`)") && !text.contains("Twist"), "{text}");
}

#[test]
fn functions_that_do_not_add_up_are_refused() {
    let one = |nodes: &[Message]| function("F", &["a"], &["b"], nodes);
    let minus = || node("Neg", "n", &["a"], &["b"]);
    let plainly = || draft(&[call("F", &["x"], &["y"])]);
    let bad = [
        ("calls itself", plainly(), vec![one(&[call("F", &["a"], &["b"])])]),
        ("given twice", plainly(), vec![one(&[minus()]), one(&[minus()])]),
        ("which nothing makes", plainly(), vec![one(&[node("Neg", "n", &["x"], &["b"])])]),
        ("nothing makes the function's output", plainly(), vec![one(&[])]),
        ("made twice", plainly(), vec![one(&[minus(), node("Neg", "m", &["b"], &["a"])])]),
        ("operands are given", draft(&[call("F", &["x", "x"], &["y"])]), vec![one(&[minus()])]),
        ("outputs are asked for", draft(&[call("F", &["x"], &["y", "z"])]), vec![one(&[minus()])]),
        ("opset 99", plainly(), vec![one(&[minus()]).message(9, &Message::new().int(2, 99))]),
        ("declares the input", draft(&[call("F", &["x", "x"], &["y"])]), vec![one(&[minus()]).text(4, "a")]),
    ];
    for (part, draft, functions) in bad {
        let (kind, text) = refuse(&with(&draft, &functions));
        assert!(text.contains(part), "expected {part:?} in: {text}");
        assert!(!matches!(kind, ErrorKind::Internal | ErrorKind::Panic), "{text}");
    }
}

#[test]
fn functions_that_call_each_other_in_a_circle_or_too_deep_are_refused() {
    let name = |index: usize| format!("F{index}");
    let chain = |length: usize, last: Message| {
        let mut functions: Vec<Message> = (0..length)
            .map(|index| function(&name(index), &["a"], &["b"], &[call(&name(index + 1), &["a"], &["b"])]))
            .collect();
        functions.push(function(&name(length), &["a"], &["b"], &[last]));
        with(&draft(&[call("F0", &["x"], &["y"])]), &functions)
    };
    let minus = || node("Neg", "n", &["a"], &["b"]);
    assert_eq!(run(&chain(63, minus())), [-1.0, -2.0]);
    assert_eq!(refuse(&chain(64, minus())).0, ErrorKind::Limit);
    assert_eq!(refuse(&chain(100_000, minus())).0, ErrorKind::Limit);
    assert!(refuse(&chain(5, call("F2", &["a"], &["b"]))).1.contains("calls itself"));
}

#[test]
fn functions_that_multiply_are_refused() {
    // Each of 40 functions calls the next one twice: 2^40 nodes.
    let name = |index: usize| format!("F{index}");
    let mut functions: Vec<Message> = (0..40)
        .map(|index| {
            let next = name(index + 1);
            function(&name(index), &["a"], &["b"], &[call(&next, &["a"], &["m"]), call(&next, &["m"], &["b"])])
        })
        .collect();
    functions.push(function(&name(40), &["a"], &["b"], &[node("Neg", "n", &["a"], &["b"])]));
    let bytes = with(&draft(&[call("F0", &["x"], &["y"])]), &functions);
    let error = Model::from_bytes_with(&bytes, &ImportOptions::default().max_items(10_000)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit);
    assert_eq!(refuse(&bytes).0, ErrorKind::Limit);
}
