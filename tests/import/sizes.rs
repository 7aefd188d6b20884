//! Sizes that files leave open: what runs bind, what they check, and what reading needs to know.

use gristmill::{Device, ErrorKind, ImportOptions, Inference, Model, Result, Session, SessionOptions, Tensor, Tensors};

use crate::support::onnx_writer::*;

fn open(model: &Draft) -> Session {
    open_with(model, &ImportOptions::default()).unwrap_or_else(|error| panic!("{error}"))
}

fn open_with(model: &Draft, options: &ImportOptions) -> Result<Session> {
    Model::from_bytes_with(&model.bytes(), options)?.session(&SessionOptions::on(Device::Cpu))
}

fn refused(model: &Draft) -> String {
    Model::from_bytes(&model.bytes()).expect_err("the model is refused").to_string()
}

/// A tensor of the numbers 0, 1, 2, ...
fn counting(shape: &[usize]) -> Tensor {
    let count: usize = shape.iter().product();
    Tensor::new(shape, &(0..count).map(|number| number as f32).collect::<Vec<_>>()).unwrap()
}

fn run(session: &Session, inputs: &[(&str, &[usize])]) -> Result<Tensors> {
    let mut tensors = Tensors::new();
    for (name, shape) in inputs {
        tensors.insert(*name, counting(shape));
    }
    session.run(&tensors)
}

/// The shape and numbers of output `y`.
fn y(outputs: Result<Tensors>) -> (Vec<usize>, Vec<f32>) {
    let outputs = outputs.unwrap_or_else(|error| panic!("{error}"));
    let y = outputs.get("y").unwrap();
    (y.shape().to_vec(), y.as_slice::<f32>().unwrap().to_vec())
}

fn shape(outputs: Result<Tensors>) -> Vec<usize> {
    y(outputs).0
}

fn fails(outputs: Result<Tensors>, parts: &[&str]) {
    let error = outputs.expect_err("the run fails").to_string();
    assert!(parts.iter().all(|part| error.contains(part)), "{error}: expected {parts:?}");
}

/// An output of numbers whose shape the file does not declare.
fn output(name: &str) -> Message {
    Message::new().text(1, name).message(2, &Message::new().message(1, &Message::new().int(1, FLOAT)))
}

/// One node with operand `x` of these dimensions, integer operands, and result `y`.
fn one(op: &str, dims: &[&str], integer_operands: &[&[i64]], attributes: &[Message]) -> Draft {
    let names: Vec<String> = (0..integer_operands.len()).map(|index| format!("c{index}")).collect();
    let inputs: Vec<&str> = std::iter::once("x").chain(names.iter().map(String::as_str)).collect();
    let own = attributes.iter().fold(node(op, "own", &inputs, &["y"]), |own, attribute| own.message(5, attribute));
    let draft = Draft::new().input(value("x", FLOAT, dims)).node(own).output(output("y"));
    names
        .iter()
        .zip(integer_operands)
        .fold(draft, |draft, (name, numbers)| draft.initializer(integers(name, &[numbers.len() as i64], numbers)))
}

#[test]
fn an_axis_that_is_dropped_must_be_one_in_the_run() {
    let session = open(&one("Squeeze", &["n", "m", "4"], &[&[1]], &[]));
    assert_eq!(shape(run(&session, &[("x", &[2, 1, 4])])), [2, 4]);
    fails(run(&session, &[("x", &[2, 3, 4])]), &["`own` (Squeeze)", "is of size 3 where 1 is needed"]);
    let session = open(&one("Squeeze", &["n", "4"], &[&[0]], &[]));
    assert_eq!(shape(run(&session, &[("x", &[1, 4])])), [4]);
    fails(run(&session, &[("x", &[5, 4])]), &["is of size 5 where 1 is needed"]);
    assert!(refused(&one("Squeeze", &["n", "4"], &[&[1]], &[])).contains("is of size 4 where 1 is needed"));
}

#[test]
fn axes_that_only_the_run_could_choose_are_refused() {
    let model = one("Squeeze", &["n", "1", "m"], &[], &[]);
    let text = refused(&model);
    assert!(text.contains("`axes`") && text.contains("ImportOptions::input_shape"), "{text}");
    let given = ImportOptions::default().input_shape("x", [Some(1), Some(1), Some(3)]);
    assert_eq!(shape(run(&open_with(&model, &given).unwrap(), &[("x", &[1, 1, 3])])), [3]);
}

#[test]
fn shapes_can_be_given_when_a_file_is_read() {
    let relu = node("Relu", "r", &["x"], &["y"]);
    let bare = Draft::new().input(output("x")).node(relu).output(output("y"));
    let text = refused(&bare);
    assert!(text.contains("`x`") && text.contains("ImportOptions::input_shape"), "{text}");
    let given = ImportOptions::default().input_shape("x", [None, Some(3)]);
    let session = open_with(&bare, &given).unwrap();
    assert_eq!(shape(run(&session, &[("x", &[5, 3])])), [5, 3]);
    fails(run(&session, &[("x", &[5, 4])]), &["`x`"]);
    let unknown = ImportOptions::default().input_shape("z", [Some(1)]);
    assert_eq!(open_with(&bare, &unknown).unwrap_err().kind(), ErrorKind::InvalidInput);
    let mut ranks = ImportOptions::default();
    ranks.ranks = vec![("z".into(), 1), ("x".into(), 2)];
    let session = open_with(&bare, &ranks).unwrap();
    assert_eq!(shape(run(&session, &[("x", &[5, 4])])), [5, 4]);
    fails(run(&session, &[("x", &[5, 4, 3])]), &["`x`"]);
    ranks.ranks.push(("x".into(), usize::MAX));
    assert_eq!(open_with(&bare, &ranks).unwrap_err().kind(), ErrorKind::Limit);
    // A size that is left open keeps its name.
    let named = one("Relu", &["n", "m"], &[], &[]);
    let given = ImportOptions::default().input_shape("x", [None, Some(2)]);
    let model = Model::from_bytes_with(&named.bytes(), &given).unwrap();
    assert_eq!(model.graph().symbols()[0], "n");
    // What the file declares is not replaced by a number of dimensions.
    ranks.ranks = vec![("x".into(), 3)];
    assert_eq!(shape(run(&open_with(&named, &ranks).unwrap(), &[("x", &[5, 3])])), [5, 3]);
}

#[test]
fn minus_one_and_an_empty_name_are_unknown_sizes() {
    let session = open(&one("Relu", &["-1", "3"], &[], &[]));
    assert_eq!(shape(run(&session, &[("x", &[5, 3])])), [5, 3]);
    assert!(refused(&one("Relu", &["-2", "3"], &[], &[])).contains("-2"));
    let dims = [Message::new().text(2, ""), Message::new().int(1, 3)];
    let kind = Message::new().int(1, FLOAT).message(2, &Message::new().messages(1, &dims));
    let x = Message::new().text(1, "x").message(2, &Message::new().message(1, &kind));
    let model = Draft::new().input(x).node(node("Relu", "r", &["x"], &["y"])).output(output("y"));
    assert_eq!(shape(run(&open(&model), &[("x", &[4, 3])])), [4, 3]);
}

/// `y = a + b`.
fn sum(a: &[&str], b: &[&str]) -> Draft {
    let add = node("Add", "sum", &["a", "b"], &["y"]);
    Draft::new().input(value("a", FLOAT, a)).input(value("b", FLOAT, b)).node(add).output(output("y"))
}

#[test]
fn unlike_names_meet_in_the_run() {
    for (a, b) in [(["unk__1", "unk__2"], ["unk__3", "unk__4"]), (["", ""], ["", ""])] {
        let session = open(&sum(&a, &b));
        assert!(format!("{:?}", session.graph().batching()).contains("Single"));
        for (a, b, want) in [([2, 3], [2, 3], [2, 3]), ([2, 3], [1, 3], [2, 3]), ([1, 1], [2, 0], [2, 0])] {
            assert_eq!(shape(run(&session, &[("a", &a), ("b", &b)])), want);
        }
        assert_eq!(y(run(&session, &[("a", &[1, 2]), ("b", &[2, 1])])).1, [0.0, 1.0, 1.0, 2.0]);
        fails(run(&session, &[("a", &[2, 3]), ("b", &[2, 4])]), &["`sum` (Add)", "3 and 4 cannot be broadcast"]);
    }
    // Rows are independent where the first axes are one symbol, whatever the others are.
    let session = open(&sum(&["n", "p"], &["n", "q"]));
    assert!(format!("{:?}", session.graph().batching()).contains("Rows"));
    // A third operand of a size that was met before adds nothing new.
    let more = sum(&["p"], &["q"]).node(node("Mul", "more", &["y", "a"], &["z"])).output(output("z"));
    let model = Model::from_bytes(&more.bytes()).unwrap();
    let outputs = model.graph().outputs();
    assert_eq!(model.graph().fact(outputs[0]).shape, model.graph().fact(outputs[1]).shape);
}

#[test]
fn constant_scales_tell_the_number_of_channels() {
    let names = ["scale", "bias", "mean", "variance"];
    for (op, operands) in [("BatchNormalization", 4), ("InstanceNormalization", 2)] {
        let inputs: Vec<&str> = std::iter::once("x").chain(names[..operands].iter().copied()).collect();
        let draft = Draft::new().input(value("x", FLOAT, &["n", "c", ""])).node(node(op, "norm", &inputs, &["y"]));
        let model = names[..operands]
            .iter()
            .fold(draft.output(output("y")), |draft, name| draft.initializer(floats(name, &[3], &[1.0, 2.0, 3.0])));
        let session = open(&model);
        assert_eq!(shape(run(&session, &[("x", &[2, 3, 4])])), [2, 3, 4]);
        fails(run(&session, &[("x", &[2, 4, 4])]), &[op, "where 4 is needed"]);
    }
}

#[test]
fn a_chain_of_pads_is_followed_through_a_transposition() {
    // As the exporter of PyTorch writes reflection pads.
    let own = |message: Message, attribute: Message| message.message(5, &attribute);
    let model = Draft::new()
        .opset(11)
        .input(value("x", FLOAT, &["n", "c", "h"]))
        .initializer(integers("pads", &[2], &[1, 2]))
        .initializer(integers("count", &[1], &[4]))
        .initializer(integers("pairs", &[2], &[-1, 2]))
        .initializer(integers("all", &[1], &[-1]))
        .initializer(integers("end", &[1], &[i64::MIN]))
        .initializer(integers("axis", &[1], &[0]))
        .node(own(
            node("ConstantOfShape", "z", &["count"], &["z"]),
            tensor_attribute("value", &integers("v", &[1], &[0])),
        ))
        .node(own(node("Concat", "c", &["pads", "z"], &["c"]), int("axis", 0)))
        .node(node("Reshape", "r", &["c", "pairs"], &["r"]))
        .node(node("Slice", "s", &["r", "all", "end", "axis", "all"], &["s"]))
        .node(own(node("Transpose", "t", &["s"], &["t"]), ints("perm", &[1, 0])))
        .node(node("Reshape", "q", &["t", "all"], &["q"]))
        .node(own(node("Cast", "k", &["q"], &["k"]), int("to", INT64)))
        .node(node("Pad", "pad", &["x", "k"], &["y"]))
        .output(output("y"));
    let (shape, numbers) = y(run(&open(&model), &[("x", &[1, 1, 3])]));
    assert_eq!((shape, numbers), (vec![1, 1, 6], vec![0.0, 0.0, 1.0, 2.0, 0.0, 0.0]));
}

#[test]
fn reversed_parts_of_an_axis_begin_at_its_last_element() {
    let session = open(&one("Slice", &["n", "m"], &[&[10], &[-100], &[1], &[-2]], &[]));
    for (size, want) in [(5, vec![4.0, 2.0, 0.0]), (4, vec![3.0, 1.0]), (1, vec![0.0])] {
        assert_eq!(y(run(&session, &[("x", &[1, size])])), (vec![1, want.len()], want));
    }
}

#[test]
fn the_largest_end_means_the_first_element_of_a_reversed_part() {
    for end in [i64::MAX, i64::from(i32::MAX), i64::MIN] {
        let session = open(&one("Slice", &["n", "m"], &[&[-1], &[end], &[1], &[-1]], &[]));
        assert_eq!(y(run(&session, &[("x", &[1, 3])])), (vec![1, 3], vec![2.0, 1.0, 0.0]));
    }
}

#[test]
fn added_axes_take_no_size_from_their_neighbours() {
    let add = node("Unsqueeze", "add", &["s", "zero"], &["y"]);
    let cut = node("Slice", "cut", &["x", "three", "nine", "one"], &["s"]);
    let mut model = Draft::new().input(value("x", FLOAT, &["", "m", ""])).node(cut).node(add).output(output("y"));
    for (name, number) in [("zero", 0), ("one", 1), ("three", 3), ("nine", 9)] {
        model = model.initializer(integers(name, &[1], &[number]));
    }
    let session = open(&model);
    assert_eq!(shape(run(&session, &[("x", &[2, 4, 5])])), [1, 2, 1, 5]);
    assert_eq!(shape(run(&session, &[("x", &[2, 3, 5])])), [1, 2, 0, 5]);
}

/// `y` has the shape of `x` after nodes that compute a shape.
fn shape_only(model: Draft) -> Draft {
    model.node(node("Shape", "shape", &["y"], &["s"])).node(node("ConstantOfShape", "zeros", &["s"], &["o"]))
}

#[test]
fn parts_whose_elements_nothing_reads_have_the_right_size() {
    let mut reversed = shape_only(one("Slice", &["n"], &[&[-1], &[-8], &[0], &[-1]], &[]));
    reversed.outputs = vec![output("o")];
    let own = run(&open(&reversed), &[("x", &[6])]).unwrap();
    assert_eq!(own.get("o").unwrap().shape(), [6]);
    let mut computed = Draft::new()
        .input(value("x", FLOAT, &["n"]))
        .initializer(integers("two", &[1], &[2]))
        .initializer(integers("zero", &[1], &[0]))
        .node(node("Shape", "sh", &["x"], &["sh"]))
        .node(node("Mul", "e", &["sh", "two"], &["e"]))
        .node(node("Slice", "slice", &["x", "zero", "e", "zero"], &["y"]));
    computed = shape_only(computed).output(output("o"));
    let own = run(&open(&computed), &[("x", &[4])]).unwrap();
    assert_eq!(own.get("o").unwrap().shape(), [4]);
}

#[test]
fn equal_parts_must_be_equal_before_opset_18() {
    let model = |opset: i64, dims: &[&str]| {
        let split = node("Split", "cut", &["x"], &["y", "z"]).message(5, &int("axis", 1));
        let split = if opset < 18 { split } else { split.message(5, &int("num_outputs", 2)) };
        Draft::new().opset(opset).input(value("x", FLOAT, dims)).node(split).output(output("y")).output(output("z"))
    };
    let session = open(&model(13, &["n", "m"]));
    assert_eq!(shape(run(&session, &[("x", &[2, 6])])), [2, 3]);
    fails(run(&session, &[("x", &[2, 5])]), &["`cut` (Split)", "is of size 4 where 5 is needed"]);
    assert!(refused(&model(13, &["n", "5"])).contains("cannot be cut"));
    let session = open(&model(18, &["n", "m"]));
    let outputs = run(&session, &[("x", &[2, 5])]).unwrap();
    assert_eq!(outputs.get("z").unwrap().shape(), [2, 2]);
    assert_eq!(y(Ok(outputs)), (vec![2, 3], vec![0.0, 1.0, 2.0, 5.0, 6.0, 7.0]));
}

#[test]
fn a_window_larger_than_the_padded_input_is_an_error() {
    let conv = |dims: &[&str]| {
        let own = node("Conv", "conv", &["x", "w"], &["y"]);
        let weights = floats("w", &[1, 1, 3], &[1.0, 1.0, 1.0]);
        Draft::new().input(value("x", FLOAT, dims)).initializer(weights).node(own).output(output("y"))
    };
    let pool = |op: &str, dims: &[&str]| one(op, dims, &[], &[ints("kernel_shape", &[3])]);
    for model in [&conv as &dyn Fn(&[&str]) -> Draft, &|dims| pool("MaxPool", dims), &|dims| pool("AveragePool", dims)]
    {
        let session = open(&model(&["n", "1", "l"]));
        assert_eq!(shape(run(&session, &[("x", &[1, 1, 3])])), [1, 1, 1]);
        fails(run(&session, &[("x", &[1, 1, 2])]), &["is of size 2 where at least 3 is needed"]);
        assert!(refused(&model(&["n", "1", "2"])).contains("is of size 2 where at least 3 is needed"));
    }
}

#[test]
fn a_computed_zero_copies_the_dimension() {
    let model = Draft::new()
        .input(value("x", FLOAT, &["n", "7", "l"]))
        .initializer(integers("two", &[1], &[2]))
        .initializer(integers("seven", &[1], &[7]))
        .initializer(integers("rest", &[1], &[-1]))
        .node(node("Shape", "sh", &["x"], &["sh"]))
        .node(node("Gather", "d", &["sh", "two"], &["d"]))
        .node(node("Mul", "e", &["d", "seven"], &["e"]))
        .node(node("Concat", "t", &["rest", "e"], &["t"]).message(5, &int("axis", 0)))
        .node(node("Reshape", "y", &["x", "t"], &["y"]))
        .output(output("y"));
    let session = open(&model);
    assert_eq!(shape(run(&session, &[("x", &[3, 7, 0])])), [0, 7]);
    assert_eq!(shape(run(&session, &[("x", &[3, 7, 2])])), [3, 14]);
}

#[test]
fn constants_that_need_a_runs_sizes_are_computed_in_the_run() {
    let model = Draft::new()
        .input(value("x", FLOAT, &["n", "1"]))
        .initializer(floats("c", &[4, 1], &[1.0, 2.0, 3.0, 4.0]))
        .node(node("Shape", "sh", &["x"], &["sh"]))
        .node(node("Expand", "wide", &["c", "sh"], &["y"]))
        .output(output("y"));
    let session = open(&model);
    assert_eq!(y(run(&session, &[("x", &[1, 1])])), (vec![4, 1], vec![1.0, 2.0, 3.0, 4.0]));
    fails(run(&session, &[("x", &[3, 1])]), &["`wide` (Expand)", "cannot be broadcast"]);
}

#[test]
fn a_quotient_of_rows_that_are_not_read_may_not_exist() {
    let model = Draft::new()
        .input(value("x", INT64, &["n"]))
        .initializer(integers("table", &[3], &[0, 5, 2]))
        .initializer(integers("ten", &[], &[10]))
        .node(node("Gather", "look", &["table", "x"], &["g"]))
        .node(node("Div", "quotient", &["ten", "g"], &["y"]))
        .output(value("y", INT64, &["n"]));
    let session = open(&model);
    let outputs = session.run(&Tensors::from([("x", Tensor::new([3], &[1i64, 2, 1]).unwrap())])).unwrap();
    assert_eq!(outputs.get("y").unwrap().as_slice::<i64>().unwrap(), [2, 5, 2]);
    assert!(session.run(&Tensors::from([("x", Tensor::new([1], &[0i64]).unwrap())])).is_err());
}

#[test]
fn a_removed_node_leaves_its_condition() {
    // The expansion changes nothing where the sizes fit, so that it is removed.
    let model = Draft::new()
        .input(value("x", FLOAT, &["n", "5"]))
        .input(value("m", FLOAT, &["k"]))
        .initializer(integers("five", &[1], &[5]))
        .node(node("Shape", "sh", &["m"], &["sh"]))
        .node(node("Concat", "t", &["sh", "five"], &["t"]).message(5, &int("axis", 0)))
        .node(node("Reshape", "view", &["x", "t"], &["v"]))
        .node(node("Shape", "of", &["x"], &["of"]))
        .node(node("Reshape", "back", &["v", "of"], &["y"]))
        .output(output("y"));
    let session = open(&model);
    assert_eq!(shape(run(&session, &[("x", &[2, 5]), ("m", &[2])])), [2, 5]);
    fails(run(&session, &[("x", &[2, 5]), ("m", &[3])]), &["(Reshape): the new shape is of size"]);
}

#[test]
fn fixed_dimensions_reach_what_was_decoded_with_their_symbols() {
    let model = Draft::new()
        .input(value("x", FLOAT, &["n", "t", "2"]))
        .initializer(integers("axis", &[1], &[1]))
        .initializer(integers("rest", &[1], &[-1]))
        .node(node("Shape", "sh", &["x"], &["sh"]))
        .node(node("Gather", "d", &["sh", "axis"], &["d"]))
        .node(node("Concat", "t", &["rest", "d"], &["t"]).message(5, &int("axis", 0)))
        .node(node("Reshape", "y", &["x", "t"], &["y"]))
        .output(output("y"));
    let session =
        Model::from_bytes(&model.bytes()).unwrap().session(&SessionOptions::on(Device::Cpu).dimension("t", 3)).unwrap();
    assert_eq!(shape(run(&session, &[("x", &[2, 3, 2])])), [4, 3]);
    let mut given = Model::from_bytes(&model.bytes()).unwrap();
    given.set_input_shape("x", &[2, 3, 2]).unwrap();
    let session = given.session(&SessionOptions::on(Device::Cpu)).unwrap();
    assert_eq!(shape(run(&session, &[("x", &[2, 3, 2])])), [4, 3]);
}

#[test]
fn a_mark_of_unknown_sizes_is_no_name() {
    for mark in ["?", "-1", "*", "None"] {
        let model = Draft::new().input(value("x", FLOAT, &[mark, mark])).node(node("Neg", "own", &["x"], &["y"]));
        let session = open(&model.output(output("y")));
        assert_eq!(shape(run(&session, &[("x", &[2, 3])])), [2, 3], "{mark}");
    }
    let named = Draft::new().input(value("x", FLOAT, &["n", "n"])).node(node("Neg", "own", &["x"], &["y"]));
    fails(run(&open(&named.output(output("y"))), &[("x", &[2, 3])]), &["`x`", "3"]);
}

#[test]
fn an_empty_list_of_axes_is_none() {
    let session = open(&one("Squeeze", &["1", "4", "1"], &[&[]], &[]));
    assert_eq!(shape(run(&session, &[("x", &[1, 4, 1])])), [4]);
    let session = open(&one("Squeeze", &["1", "4", "1"], &[], &[ints("axes", &[])]));
    assert_eq!(shape(run(&session, &[("x", &[1, 4, 1])])), [4]);
    assert!(refused(&one("Squeeze", &["n", "4"], &[&[]], &[])).contains("without `axes`"));
    // Axes of unknown size may all be kept.
    let session = open(&squeezed(&["n", "4"], &["n", "4"]));
    assert_eq!(shape(run(&session, &[("x", &[3, 4])])), [3, 4]);
    fails(run(&session, &[("x", &[1, 4])]), &["is of size 1 where at least 2 is needed"]);
}

/// `x` of `dims` without its axes of size 1, declared with as many dimensions as `declared`.
fn squeezed(dims: &[&str], declared: &[&str]) -> Draft {
    let own = node("Squeeze", "own", &["x"], &["y"]);
    Draft::new().input(value("x", FLOAT, dims)).node(own).output(value("y", FLOAT, declared))
}

#[test]
fn the_declared_result_tells_which_axes_a_squeeze_without_axes_drops() {
    let session = open(&squeezed(&["n", "1", "4"], &["m"]));
    assert_eq!(shape(run(&session, &[("x", &[1, 1, 4])])), [4]);
    fails(run(&session, &[("x", &[2, 1, 4])]), &["`own` (Squeeze)", "is of size 2 where 1 is needed"]);
    let session = open(&squeezed(&["n", "1", "4"], &["n", "4"]));
    assert_eq!(shape(run(&session, &[("x", &[2, 1, 4])])), [2, 4]);
    fails(run(&session, &[("x", &[1, 1, 4])]), &["`own` (Squeeze)", "is of size 1 where at least 2 is needed"]);
    let session = open(&squeezed(&["n", "1", "k"], &["k"]));
    assert_eq!(shape(run(&session, &[("x", &[1, 1, 3])])), [3]);
    assert!(refused(&squeezed(&["n", "1", "4"], &["", "", "", ""])).contains("without `axes`"));
}

/// The rows of `x`, whose axis 1 goes where it is 1, as PyTorch writes `squeeze(1)`.
fn squeezed_by_if(compared: [&str; 2], declared: &[&str]) -> Draft {
    let graph = |own: Message| Message::new().messages(1, &[own]).text(2, "branch").message(12, &output("branch"));
    let then = graph(node("Squeeze", "drop", &["x", "axis"], &["branch"]));
    let other = graph(node("Identity", "keep", &["x"], &["branch"]));
    let choice = node("If", "choice", &["alone"], &["y"]);
    let choice = choice.message(5, &graph_attribute("then_branch", &then));
    Draft::new()
        .input(value("x", FLOAT, &["n", "k"]))
        .initializer(integers("axis", &[1], &[1]))
        .initializer(integers("one", &[], &[1]))
        .node(node("Shape", "sizes", &["x"], &["sizes"]))
        .node(node("Gather", "size", &["sizes", "one"], &["size"]))
        .node(node("Equal", "compare", &compared, &["alone"]))
        .node(choice.message(5, &graph_attribute("else_branch", &other)))
        .output(value("y", FLOAT, declared))
}

#[test]
fn the_declared_result_tells_which_graph_a_comparison_of_sizes_takes() {
    for compared in [["size", "one"], ["one", "size"]] {
        let session = open(&squeezed_by_if(compared, &["n"]));
        assert_eq!(shape(run(&session, &[("x", &[3, 1])])), [3]);
        fails(run(&session, &[("x", &[3, 2])]), &["`choice` (If)", "is of size 2 where 1 is needed"]);
        let session = open(&squeezed_by_if(compared, &["n", "k"]));
        assert_eq!(shape(run(&session, &[("x", &[3, 2])])), [3, 2]);
        fails(run(&session, &[("x", &[3, 1])]), &["`choice` (If)", "is of size 1 where any but 1 is needed"]);
    }
}

/// So many sums of a value and of its maxima over pairs of elements, each repeated: of an even size, which the expression of
/// the sum's size has twice.
fn repeated(times: usize) -> Draft {
    let mut draft = Draft::new()
        .input(value("x", FLOAT, &["1", "1", "n"]))
        .initializer(floats("twice", &[3], &[1.0, 1.0, 2.0]))
        .output(value(&format!("y{times}"), FLOAT, &["", "", ""]));
    let mut from = "x".to_owned();
    for number in 1..=times {
        let names = ["half", "whole", "y"].map(|part| format!("{part}{number}"));
        let [half, whole, sum] = names.each_ref().map(String::as_str);
        let pool = [ints("kernel_shape", &[2]), ints("strides", &[2])];
        draft = draft
            .node(node("MaxPool", half, &[&from], &[half]).messages(5, &pool))
            .node(node("Resize", whole, &[half, "", "twice"], &[whole]))
            .node(node("Add", sum, &[&from, whole], &[sum]));
        from = sum.to_owned();
    }
    draft
}

#[test]
fn sizes_whose_expressions_are_too_long_are_measured() {
    let mut measured = 0;
    for times in 1..20 {
        let session = open(&repeated(times));
        let sums = run(&session, &[("x", &[1, 1, 6])]).unwrap();
        let mut want: Vec<f32> = counting(&[6]).as_slice().unwrap().to_vec();
        for _ in 0..times {
            want = (0..6).map(|at| want[at] + want[at & !1].max(want[at | 1])).collect();
        }
        assert_eq!(sums.get(&format!("y{times}")).unwrap(), &Tensor::new([1, 1, 6], &want).unwrap(), "{times}");
        fails(run(&session, &[("x", &[1, 1, 7])]), &["broadcast"]);
        measured += usize::from(session.describe().notes.join(" ").contains("(Measured)"));
    }
    assert!(measured > 5, "{measured}");
}

#[test]
fn an_output_that_is_declared_twice_is_given_once() {
    let negated = node("Neg", "n", &["x"], &["y"]);
    let model = Draft::new().input(value("x", FLOAT, &["n"])).node(negated).output(output("y")).output(output("y"));
    let session = open(&model);
    assert_eq!(session.outputs().count(), 1);
    assert_eq!(y(run(&session, &[("x", &[2])])).1, [0.0, -1.0]);
    assert!(session.describe().notes.iter().any(|note| note.contains("`y`, which the file declares twice")));
}
