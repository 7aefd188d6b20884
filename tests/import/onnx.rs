//! ONNX files: what is read, and how it comes out as a graph.

use std::fs;

use gristmill::{
    DType, Device, ErrorKind, ImportOptions, Inference, Model, SessionOptions, SmallType, Tensor, Tensors, bulk::Bulk,
    testing::import::onnx,
};

use crate::support::onnx_writer::*;

fn open(model: &Draft) -> Model {
    Model::from_bytes(&model.bytes()).unwrap_or_else(|error| panic!("{error}"))
}

fn refuse(model: &Draft) -> (ErrorKind, String) {
    let error = Model::from_bytes(&model.bytes()).expect_err("the model is refused");
    (error.kind(), error.to_string())
}

fn run(model: Model, inputs: Tensors) -> Tensors {
    let session = model.session(&SessionOptions::on(Device::Cpu)).unwrap_or_else(|error| panic!("{error}"));
    session.run(&inputs).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn a_small_model_runs() {
    let x = Tensor::new([2, 3], &[1f32, 2.0, 3.0, 4.0, 5.0, 6.0]).unwrap();
    let outputs = run(open(&small()), Tensors::from([("x", x)]));
    let names: Vec<_> = outputs.iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["y", "z"]);
    assert_eq!(outputs.get("y").unwrap(), &Tensor::new([3, 2], &[1f32, 4.0, 2.0, 5.0, 3.0, 6.0]).unwrap());
    assert_eq!(outputs.get("z").unwrap(), &Tensor::new([4], &[1f32, 2.0, 3.0, 4.0]).unwrap());
}

#[test]
fn dimensions_keep_their_names() {
    let model = small().input(value("u", FLOAT, &["n", "", "u.1"])).output(value("u", FLOAT, &["n", "", ""]));
    let model = open(&model);
    let symbols: Vec<&str> = model.graph().symbols().iter().map(String::as_str).collect();
    assert_eq!(symbols, ["n", "u.1", "u.1'"]);
}

#[test]
fn dimensions_can_be_overridden() {
    let mut model = open(&small());
    model.graph_mut().fix_symbol("n", 5).unwrap();
    let output = model.graph().outputs()[0];
    assert_eq!(model.graph().fact(output).shape.as_fixed(), Some(vec![3, 5]));
}

#[test]
fn inputs_can_be_given_for_good() {
    let reshaping = node("Reshape", "r", &["x", "to"], &["r"]);
    let model = transposing().input(value("to", INT64, &["2"])).node(reshaping).output(value("r", FLOAT, &["", ""]));
    let to = Tensor::new([2], &[3i64, -1]).unwrap();
    let x = Tensor::new([2, 3], &[1f32, 2.0, 3.0, 4.0, 5.0, 6.0]).unwrap();
    let outputs = run(open(&model), Tensors::from([("x", x.clone()), ("to", to.clone())]));
    assert_eq!(outputs.get("r").unwrap(), &x.clone().reshape([3, 2]).unwrap());
    let options = ImportOptions::default().constant("to", to.clone());
    let outputs = run(Model::from_bytes_with(&model.bytes(), &options).unwrap(), Tensors::from([("x", x.clone())]));
    assert_eq!(outputs.get("r").unwrap(), &x.reshape([3, 2]).unwrap());
    for name in ["absent", "y"] {
        let options = ImportOptions::default().constant(name, to.clone());
        assert_eq!(Model::from_bytes_with(&model.bytes(), &options).unwrap_err().kind(), ErrorKind::InvalidInput);
    }
}

#[test]
fn every_missing_operator_is_named_at_once() {
    let model = small()
        .node(node("Frob", "a", &["x"], &["a"]))
        .node(node("Frob", "b", &["x"], &["b"]))
        .node(node("Twist", "", &["x"], &["c"]).text(7, "com.example"));
    let (kind, text) = refuse(&model);
    assert_eq!(kind, ErrorKind::Unsupported);
    for part in ["Frob (2 nodes, first `a`)", "com.example.Twist (node `c`)"] {
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn layouts_of_one_processor_are_refused_with_what_to_do() {
    let model = small().node(node("Conv", "blocked", &["x"], &["c"]).text(7, "com.microsoft.nchwc"));
    let (kind, text) = refuse(&model);
    assert_eq!(kind, ErrorKind::Unsupported);
    assert!(text.contains("ORT_ENABLE_EXTENDED"), "{text}");
}

#[test]
fn an_unread_attribute_names_node_and_operator() {
    let (kind, text) =
        refuse(&small().node(node("Transpose", "turn again", &["y"], &["q"]).message(5, &int("sideways", 1))));
    assert_eq!(kind, ErrorKind::Unsupported);
    assert!(text.contains("`turn again` (Transpose)") && text.contains("sideways"), "{text}");
}

#[test]
fn opsets_out_of_range_are_refused() {
    for opset in [0, 29, i64::MAX, -1] {
        let (kind, text) = refuse(&small().opset(opset));
        assert_eq!(kind, ErrorKind::Unsupported);
        assert!(text.contains("1 to 28"), "{text}");
    }
    for opset in [1, 8, 22, 28] {
        open(&transposing().opset(opset));
    }
}

#[test]
fn nodes_may_come_in_any_order() {
    let mut model =
        small().node(node("Transpose", "back", &["y"], &["again"])).output(value("again", FLOAT, &["n", "3"]));
    model.nodes.reverse();
    let x = Tensor::new([1, 3], &[1f32, 2.0, 3.0]).unwrap();
    let outputs = run(open(&model), Tensors::from([("x", x.clone())]));
    assert_eq!(outputs.get("again").unwrap(), &x);
}

#[test]
fn constants_come_in_every_form() {
    let constant = |name: &str, attribute: Message| node("Constant", "", &[], &[name]).message(5, &attribute);
    let attribute = |name: &str, kind: i64| Message::new().text(1, name).int(20, kind);
    let model = transposing()
        .node(constant("a", tensor_attribute("value", &tensor("", INT32, &[2]).packed(5, &[-7, 9]))))
        .node(constant("b", attribute("value_float", 1).float(2, 1.5)))
        .node(constant("c", attribute("value_int", 2).int(3, -3)))
        .node(constant("d", attribute("value_floats", 6).float(7, 0.5).bytes(7, 2f32.to_le_bytes())))
        .node(constant("e", attribute("value_ints", 7).int(8, 1).packed(8, &[2, -3])));
    let model = ["a", "b", "c", "d", "e"].iter().fold(model, |model, name| model.output(Message::new().text(1, name)));
    let outputs = run(open(&model), Tensors::from([("x", Tensor::zeros(DType::F32, [1, 3]).unwrap())]));
    assert_eq!(outputs.get("a").unwrap(), &Tensor::new([2], &[-7i32, 9]).unwrap());
    assert_eq!(outputs.get("b").unwrap(), &Tensor::scalar(1.5f32));
    assert_eq!(outputs.get("c").unwrap(), &Tensor::scalar(-3i64));
    assert_eq!(outputs.get("d").unwrap(), &Tensor::new([2], &[0.5f32, 2.0]).unwrap());
    assert_eq!(outputs.get("e").unwrap(), &Tensor::new([3], &[1i64, 2, -3]).unwrap());
}

#[test]
fn typed_data_of_every_type() {
    let one = |code: i64, field: u64, value: i64| tensor("t", code, &[1]).packed(field, &[value]);
    let cases = [
        (one(2, 5, 200), Tensor::new([1], &[200u8]).unwrap()),
        (one(3, 5, -100), Tensor::new([1], &[-100i8]).unwrap()),
        (one(4, 5, 60_000), Tensor::new([1], &[60_000u16]).unwrap()),
        (one(5, 5, -30_000), Tensor::new([1], &[-30_000i16]).unwrap()),
        (one(6, 5, i64::from(i32::MIN)), Tensor::new([1], &[i32::MIN]).unwrap()),
        (one(7, 7, i64::MIN), Tensor::new([1], &[i64::MIN]).unwrap()),
        (one(9, 5, 1), Tensor::from_bools([1], &[true]).unwrap()),
        (one(12, 11, 4_000_000_000), Tensor::new([1], &[4_000_000_000u32]).unwrap()),
        (one(13, 11, -1), Tensor::new([1], &[u64::MAX]).unwrap()),
        (tensor("t", 1, &[2]).float(4, 1.5).bytes(4, 2.5f32.to_le_bytes()), Tensor::new([2], &[1.5f32, 2.5]).unwrap()),
        (tensor("t", 11, &[1]).bytes(10, 0.1f64.to_le_bytes()), Tensor::new([1], &[0.1f64]).unwrap()),
        (tensor("t", 1, &[0, 7]), Tensor::zeros(DType::F32, [0, 7]).unwrap()),
    ];
    for (proto, want) in cases {
        let (name, tensor) = onnx::read_tensor(&proto.0).unwrap_or_else(|error| panic!("{want:?}: {error}"));
        assert_eq!((name.as_str(), &tensor), ("t", &want));
    }
    // A half is its bits.
    assert_eq!(onnx::read_tensor(&one(10, 5, 0x3c00).0).unwrap().1.bytes(), 0x3c00u16.to_ne_bytes());
}

/// A type's number and the type, the number of elements, their packed bytes, their bytes one by one.
type PackedCase<'a> = (i64, SmallType, i64, &'a [u8], &'a [u8]);

#[test]
fn elements_of_few_bits_share_bytes() {
    use SmallType::*;
    // Bits past the last element do not count.
    let cases: [PackedCase<'_>; 7] = [
        (22, I4, 3, &[0x8f, 0xf7], &[0xff, 0xf8, 7]),
        (21, U4, 4, &[0x8f, 0x17], &[15, 8, 7, 1]),
        (26, I2, 5, &[0b11_10_01_00, 0xfe], &[0, 1, 0xfe, 0xff, 0xfe]),
        (25, U2, 3, &[0b00_10_01_11], &[3, 1, 2]),
        (23, F4E2M1, 1, &[0x2f], &[15]),
        (27, F6E2M3, 5, &[0x41, 0xf0, 0x83, 0xff], &[1, 1, 0x3f, 0x20, 0x3f]),
        (17, F8E4M3FN, 2, &[0x7e, 0xff], &[0x7e, 0xff]),
    ];
    for (code, small, count, packed, elements) in cases {
        let want = Tensor::from_bytes(DType::Small(small), [count as usize], elements).unwrap();
        let raw = tensor("t", code, &[count]).bytes(9, packed);
        assert_eq!(onnx::read_tensor(&raw.0).unwrap().1.bytes(), want.bytes(), "{small}");
        let numbers: Vec<i64> =
            if small.bits() == 6 { elements } else { packed }.iter().map(|&byte| byte.into()).collect();
        assert_eq!(onnx::read_tensor(&tensor("t", code, &[count]).packed(5, &numbers).0).unwrap().1, want, "{small}");
    }
    assert!(Tensor::from_bytes(DType::Small(I4), [1], &[8]).is_err());
    let folder = tempfile::tempdir().unwrap();
    let weights = external("q", 22, &[3], &[("location", "w.bin"), ("offset", "1"), ("length", "2")]);
    let cast = node("Cast", "cast", &["q"], &["c"]).message(5, &int("to", FLOAT));
    let model = small().initializer(weights).node(cast).output(value("c", FLOAT, &["3"]));
    std::fs::write(folder.path().join("model.onnx"), model.bytes()).unwrap();
    std::fs::write(folder.path().join("w.bin"), [0, 0x8f, 0xf7]).unwrap();
    let outputs = run(
        Model::open(folder.path().join("model.onnx")).unwrap(),
        Tensors::from([("x", Tensor::zeros(DType::F32, [1, 3]).unwrap())]),
    );
    assert_eq!(outputs.get("c").unwrap(), &Tensor::new([3], &[-1f32, -8.0, 7.0]).unwrap());
}

#[test]
fn elements_of_few_bits_are_moved_and_not_computed_with() {
    let weights = tensor("w", 22, &[2, 2]).bytes(9, [0x8f, 0x17]);
    let turned = Draft::new()
        .opset(21)
        .input(value("x", FLOAT, &["2"]))
        .initializer(weights)
        .node(node("Transpose", "turn", &["w"], &["t"]))
        .node(node("CastLike", "cast", &["t", "x"], &["y"]))
        .output(value("y", FLOAT, &["2", "2"]))
        .output(value("t", 22, &["2", "2"]));
    let outputs = run(open(&turned), Tensors::from([("x", Tensor::zeros(DType::F32, [2]).unwrap())]));
    assert_eq!(outputs.get("y").unwrap(), &Tensor::new([2, 2], &[-1f32, 7.0, -8.0, 1.0]).unwrap());
    assert_eq!(outputs.get("t").unwrap().bytes(), [0xff, 7, 0xf8, 1]);
    for op in ["Add", "Equal", "MatMul", "Max"] {
        let (kind, error) =
            refuse(&turned.clone().node(node(op, "bad", &["w", "w"], &["z"])).output(value("z", 22, &[])));
        assert_eq!(kind, ErrorKind::Unsupported);
        assert!(error.contains("`bad`") && error.contains("i4[2, 2]"), "{error}");
    }
    for op in ["NonZero", "Relu", "ReduceMax", "Trilu"] {
        let (kind, error) = refuse(&turned.clone().node(node(op, "bad", &["w"], &["z"])).output(value("z", 22, &[])));
        assert_eq!(kind, ErrorKind::Unsupported);
        assert!(error.contains("`bad`"), "{error}");
    }
}

#[test]
fn tensors_that_do_not_add_up_are_refused() {
    let bad = [
        tensor("too few", FLOAT, &[2]).float(4, 1.0),
        tensor("too many", FLOAT, &[1]).float(4, 1.0).float(4, 1.0),
        tensor("no data", FLOAT, &[1]),
        tensor("raw too short", FLOAT, &[1]).bytes(9, [0; 3]),
        tensor("raw too long", FLOAT, &[1]).bytes(9, [0; 5]),
        tensor("other field", FLOAT, &[1]).packed(7, &[1]),
        tensor("two fields", INT64, &[1]).packed(7, &[1]).packed(5, &[]),
        tensor("raw and typed", INT64, &[1]).packed(7, &[1]).bytes(9, [0; 8]),
        tensor("out of range", 2, &[1]).packed(5, &[256]),
        tensor("negative", 12, &[1]).packed(11, &[-1]),
        tensor("not a boolean", BOOL, &[1]).packed(5, &[2]),
        tensor("not a boolean, raw", BOOL, &[1]).bytes(9, [2]),
        tensor("negative size", FLOAT, &[-1]).bytes(9, []),
        tensor("size overflows", FLOAT, &[1 << 31, 1 << 31, 4]).bytes(9, []),
        tensor("huge", FLOAT, &[1 << 41]).bytes(9, []),
        tensor("rank", FLOAT, &[1; 33]).float(4, 1.0),
        tensor("type twice", FLOAT, &[1]).int(2, INT64).float(4, 1.0),
        tensor("no such type", 99, &[1]).float(4, 1.0),
        tensor("no type", 0, &[1]).float(4, 1.0),
        tensor("strings", 8, &[2]).text(6, "a"),
        tensor("segments", FLOAT, &[1]).float(4, 1.0).message(3, &Message::new().int(1, 0)),
        tensor("unknown field", FLOAT, &[1]).float(4, 1.0).int(99, 0),
        tensor("no such place", FLOAT, &[1]).float(4, 1.0).int(14, 2),
        tensor("external data inside", FLOAT, &[1]).float(4, 1.0).message(13, &Message::new().text(1, "location")),
        tensor("int4, too few", 22, &[3]).bytes(9, [0x21]),
        tensor("int4, too many", 22, &[2]).bytes(9, [0x21, 0]),
        tensor("uint2, too many numbers", 25, &[4]).packed(5, &[0x1b, 0]),
        tensor("int4, no byte", 22, &[2]).packed(5, &[256]),
        tensor("int4, other field", 22, &[2]).packed(7, &[1]),
        tensor("int4, huge", 22, &[1 << 41]).bytes(9, []),
        tensor("float6, no element", 27, &[1]).packed(5, &[64]),
        tensor("float8, out of range", 17, &[1]).packed(5, &[256]),
        external("external, as bytes", FLOAT, &[1], &[("location", "w")]),
    ];
    for proto in bad {
        let name = String::from_utf8_lossy(&proto.0[2..2 + usize::from(proto.0[1])]).into_owned();
        let error = onnx::read_tensor(&proto.0).map(|_| name.clone()).expect_err(&name);
        assert!(!matches!(error.kind(), ErrorKind::Internal | ErrorKind::Panic), "{name}: {error}");
        refuse(&small().initializer(proto));
    }
}

#[test]
fn wrong_sizes_that_a_file_declares_of_results_are_noted() {
    for (dims, declared) in [(&["5"][..], "declared as [5]"), (&["1", "1"], "declared as [1, 1]")] {
        let file = small().node(node("Transpose", "t", &["shape"], &["q"])).output(value("q", INT64, dims));
        let model = Model::from_bytes(&file.bytes()).unwrap();
        let said = |note: &String| note.contains("output `q`") && note.contains(declared);
        assert!(model.notes().iter().any(said), "{:?}", model.notes());
    }
}

#[test]
fn graphs_that_do_not_add_up_are_refused() {
    let s = small;
    let graph_attribute = Message::new().text(1, "body").int(20, 5).message(6, &Message::new());
    let reference = Message::new().text(1, "perm").int(20, 7).text(21, "outer");
    let bad = [
        ("declared twice", s().input(value("x", FLOAT, &["n", "3"]))),
        ("given twice", s().initializer(floats("w", &[1], &[1.0]))),
        ("made twice", s().node(node("Transpose", "t", &["x"], &["y"]))),
        ("made twice", s().node(node("Transpose", "t", &["x"], &["w"]))),
        ("made twice", s().node(node("Transpose", "t", &["x"], &["x"]))),
        ("which nothing makes", s().node(node("Transpose", "t", &["absent"], &["q"]))),
        (
            "its own result",
            s().node(node("Transpose", "a", &["p"], &["q"])).node(node("Transpose", "b", &["q"], &["p"])),
        ),
        ("its own result", s().node(node("Transpose", "a", &["q"], &["q"]))),
        ("nothing makes the output", s().output(value("absent", FLOAT, &[]))),
        ("declared as f32", s().node(node("Transpose", "t", &["shape"], &["q"])).output(value("q", FLOAT, &["1"]))),
        ("declared as [7, 2]", s().input(value("w", FLOAT, &["7", "2"]))),
        ("operator", s().node(node("", "t", &["x"], &["q"]))),
        ("outputs are asked for", {
            let turn = node("Transpose", "t", &["x"], &["q", "r"]);
            s().node(turn).output(value("r", FLOAT, &["3", "n"]))
        }),
        ("has no name", s().initializer(floats("", &[1], &[1.0]))),
        (
            "its type is missing",
            s().input(Message::new().text(1, "q").message(2, &Message::new().message(4, &Message::new()))),
        ),
        ("a map", s().input(Message::new().text(1, "q").message(2, &Message::new().message(5, &Message::new())))),
        ("number of dimensions", {
            let kind = Message::new().message(1, &Message::new().int(1, FLOAT));
            s().input(Message::new().text(1, "q").message(2, &kind))
        }),
        ("type is missing", s().input(Message::new().text(1, "q"))),
        ("a dimension is -2", s().input(value("q", FLOAT, &["-2"]))),
        ("larger than", s().input(value("q", FLOAT, &["4611686018427387904", "4"]))),
        ("larger than", s().input(value("q", FLOAT, &["1099511627777"]))),
        ("given twice", {
            let perm = ints("perm", &[1, 0]);
            s().node(node("Transpose", "t", &["x"], &["q"]).message(5, &perm).message(5, &perm))
        }),
        ("another type", {
            let both = ints("perm", &[1, 0]).int(3, 1);
            s().node(node("Transpose", "t", &["x"], &["q"]).message(5, &both))
        }),
        ("not understood", s().node(node("Transpose", "t", &["x"], &["q"]).message(5, &graph_attribute))),
        ("of a function", s().node(node("Transpose", "t", &["x"], &["q"]).message(5, &reference))),
        ("a constant with 0", s().node(node("Constant", "c", &[], &["q"]))),
    ];
    for (part, model) in bad {
        let (kind, text) = refuse(&model);
        assert!(text.contains(part), "expected {part:?} in: {text}");
        assert!(!matches!(kind, ErrorKind::Internal | ErrorKind::Panic), "{text}");
    }
}

#[test]
fn models_that_do_not_add_up_are_refused() {
    let graph = small().graph();
    let opset = Message::new().int(2, 17);
    let sound = || Message::new().int(1, 8).message(7, &graph).message(8, &opset);
    Model::from_bytes(&sound().0).unwrap();
    let bad = [
        ("format version", Message::new()),
        ("format version", Message::new().message(7, &graph).message(8, &opset)),
        ("format version 2", Message::new().int(1, 2).message(7, &graph).message(8, &opset)),
        ("no graph", Message::new().int(1, 8).message(8, &opset)),
        ("no operator set", Message::new().int(1, 8).message(7, &graph)),
        ("opset 99", sound().message(8, &Message::new().text(1, "ai.onnx").int(2, 99))),
        ("twice", sound().message(7, &graph)),
        ("not known here", sound().int(77, 1)),
        ("sparse", {
            let graph = Message(graph.0.clone()).message(15, &Message::new());
            Message::new().int(1, 8).message(7, &graph).message(8, &opset)
        }),
    ];
    for (part, model) in bad {
        let error = Model::from_bytes(&model.0).expect_err(part);
        assert!(error.to_string().contains(part), "expected {part:?} in: {error}");
    }
}

#[test]
fn optional_outputs_and_inputs_may_be_absent() {
    let model = small().node(node("Transpose", "t", &["x", ""], &["q", ""])).output(value("q", FLOAT, &["3", "n"]));
    open(&model);
}

#[test]
fn the_bundled_model_opens() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/models/magika/model.onnx");
    let model = Model::open(path).unwrap();
    let name = |id| model.graph().value(id).name.as_str();
    assert_eq!(model.graph().inputs().iter().map(|&id| name(id)).collect::<Vec<_>>(), ["bytes"]);
    assert_eq!(model.graph().outputs().iter().map(|&id| name(id)).collect::<Vec<_>>(), ["target_label"]);
    assert_eq!(model.fingerprint().len(), 64);
}

#[test]
fn the_fingerprint_follows_the_files_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.onnx");
    fs::write(&path, small().bytes()).unwrap();
    let model = Model::open(&path).unwrap();
    let name = model.fingerprint();
    assert_eq!(name, Model::from_bytes(&small().bytes()).unwrap().fingerprint());
    assert_ne!(name, Model::from_bytes(&small().opset(16).bytes()).unwrap().fingerprint());
    fs::write(&path, small().opset(16).node(node("Transpose", "more", &["x"], &["more"])).bytes()).unwrap();
    assert!(model.fingerprint().starts_with("unknown"), "{}", model.fingerprint());
}

#[test]
fn what_is_no_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let error = Model::open(folder.path().join("absent")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
    for part in ["absent: ", "an ONNX file or a Hugging Face folder", "hf download ", "No such file"] {
        assert_eq!(error.to_string().matches(part).count(), 1, "{error}");
    }
    assert!(Model::open(folder.path()).is_err());
    let path = folder.path().join("model.onnx");
    fs::write(&path, small().bytes()).unwrap();
    let error = Model::open_with(&path, &ImportOptions::default().max_file_bytes(10)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit);
    assert!(error.to_string().contains("model.onnx"), "{error}");
}

#[test]
fn not_a_number_is_noted_and_may_be_an_error() {
    let logarithm = Draft::new()
        .input(value("x", FLOAT, &["n", "3"]))
        .initializer(floats("w", &[3], &[1.0, f32::INFINITY, 1.0]))
        .initializer(floats("bound", &[], &[f32::INFINITY]))
        .node(node("Log", "log", &["x"], &["y"]))
        .node(node("Add", "add", &["x", "w"], &["z"]))
        .node(node("Min", "min", &["z", "bound"], &["least"]))
        .output(value("y", FLOAT, &["n", "3"]))
        .output(value("least", FLOAT, &["n", "3"]));
    let open = |options: SessionOptions| Model::from_bytes(&logarithm.bytes()).unwrap().session(&options).unwrap();
    let rows = |values: [f32; 6]| Tensors::new().with("x", Tensor::new([2, 3], &values).unwrap());
    let items = [
        rows([1.0; 6]),
        rows([1.0, 1.0, 1.0, 1.0, 1.0, -1.0]),
        rows([1.0, f32::NAN, 1.0, 1.0, 1.0, 1.0]),
        rows([-1.0, 1.0, 1.0, 1.0, 1.0, 1.0]),
    ];
    let place = "in output `y` at [1, 2]";
    let session = open(SessionOptions::on(Device::Cpu));
    let notes = session.describe().notes.join("\n");
    assert!(notes.contains("weights hold NaN or infinity: `w` at [1]") && !notes.contains("bound"), "{notes}");
    assert!(!notes.contains("gave NaN"), "{notes}");
    // One worker takes the items in order, so that the first place is that of the second item.
    let (results, report) = Bulk::new(session).workers(1).run(&items);
    assert!(results.iter().all(Result::is_ok));
    let note = report.notes.iter().find(|note| note.contains("gave NaN")).expect("a note");
    assert!(note.starts_with("2 items of finite inputs") && note.contains(place), "{note}");
    let (results, report) = Bulk::new(open(SessionOptions::on(Device::Cpu).fail_on_nan())).run(&items);
    let failed: Vec<usize> =
        results.iter().filter_map(|result| result.as_ref().err()).map(|error| error.index).collect();
    assert_eq!((failed, report.errors), (vec![1, 3], 2));
    assert!(results[1].as_ref().unwrap_err().to_string().contains(place));
}

/// Nobody asked for a graphics adapter, unless an adapter is named.
#[test]
#[cfg(not(feature = "gpu"))]
fn a_build_without_a_gpu_is_noted_where_one_was_asked_for() {
    let notes = |options: SessionOptions| open(&small()).session(&options).unwrap().describe().notes;
    assert!(notes(SessionOptions::default()).is_empty(), "{:?}", notes(SessionOptions::default()));
    let notes = notes(SessionOptions::default().gpu(gristmill::GpuOptions::adapter("some card")));
    assert!(notes.iter().any(|note| note.contains("this build has no gpu backend")), "{notes:?}");
    assert!(open(&small()).session(&SessionOptions::on(Device::Gpu)).is_err());
}

/// The result `y` of one node on these operands, all of them inputs.
fn one_node(node: Message, operands: &[Tensor]) -> Tensor {
    let code = |dtype: DType| match dtype {
        DType::F64 => 11,
        DType::F32 => FLOAT,
        DType::I64 => INT64,
        _ => BOOL,
    };
    let mut draft = Draft::new().opset(24);
    let mut inputs = Tensors::new();
    for (index, tensor) in operands.iter().enumerate() {
        let dims: Vec<String> = tensor.shape().iter().map(ToString::to_string).collect();
        let dims: Vec<&str> = dims.iter().map(String::as_str).collect();
        draft = draft.input(value(&format!("x{index}"), code(tensor.dtype()), &dims));
        inputs.insert(format!("x{index}"), tensor.clone());
    }
    let session = open(&draft.node(node).output(value("y", code(operands[0].dtype()), &[])));
    run(session, inputs).get("y").unwrap().clone()
}

#[test]
fn products_and_norms_of_doubles_are_computed_in_doubles() {
    let doubles = |shape: &[usize], values: &[f64]| Tensor::new(shape, values).unwrap();
    let numbers = |tensor: Tensor| tensor.as_slice::<f64>().unwrap().to_vec();
    let names = ["x0", "x1", "x2", "x3", "x4"];
    let of =
        |op: &str, operands: &[Tensor]| numbers(one_node(node(op, "n", &names[..operands.len()], &["y"]), operands));
    let near = |got: Vec<f64>, want: &[f64]| {
        assert!(
            got.len() == want.len() && got.iter().zip(want).all(|(a, b)| (a - b).abs() < 1e-13),
            "{got:?} {want:?}"
        );
    };
    let (row, column) = (doubles(&[1, 2], &[1.0, 1e-12]), doubles(&[2, 1], &[1.0, 3.0]));
    assert_eq!(of("MatMul", &[row.clone(), column.clone()]), [1.0 + 3e-12]);
    assert_eq!(of("MatMul", &[doubles(&[2], &[1.0, 1e-12]), doubles(&[3, 2, 1], &[1.0; 6])]), [1.0 + 1e-12; 3]);
    let gemm =
        node("Gemm", "n", &["x0", "x1", "x2"], &["y"]).message(5, &int("transA", 1)).message(5, &int("transB", 1));
    let operands = [column, row, doubles(&[1], &[1e-12])];
    // Column 0 of the first times row 0 of the second: 1 * 1 + 3e-12, and what is added.
    near(numbers(one_node(gemm, &operands)), &[1.0 + 4e-12]);
    let large = doubles(&[1, 1, 3], &[1e8 + 1.0, 1e8 + 2.0, 1e8 + 3.0]);
    let ones = doubles(&[1], &[1.0]);
    let zeros = doubles(&[1], &[0.0]);
    let deviation = (2.0 / 3.0 + f64::from(1e-5f32)).sqrt();
    let want = [-1.0 / deviation, 0.0, 1.0 / deviation];
    near(of("LayerNormalization", &[large.clone(), ones.clone(), zeros.clone()]), &want);
    near(of("InstanceNormalization", &[large.clone(), ones.clone(), zeros.clone()]), &want);
    let centre = doubles(&[1], &[1e8 + 2.0]);
    let operands = [large.clone(), ones.clone(), zeros, centre, doubles(&[1], &[2.0 / 3.0])];
    near(of("BatchNormalization", &operands), &want);
    near(
        of("RMSNormalization", &[doubles(&[1, 2], &[3.0, 4.0]), ones]),
        &[3.0, 4.0].map(|x| x / (12.5 + f64::from(1e-5f32)).sqrt()),
    );
    assert_eq!(of("GlobalAveragePool", std::slice::from_ref(&large)), [1e8 + 2.0]);
    assert_eq!(of("GlobalMaxPool", &[large]), [1e8 + 3.0]);
}

#[test]
fn products_of_integers_are_exact() {
    let a = Tensor::new([2, 2], &[1i64 << 40, 1, 2, 3]).unwrap();
    let b = Tensor::new([2, 1], &[3i64, 5]).unwrap();
    let product = one_node(node("MatMul", "n", &["x0", "x1"], &["y"]), &[a, b]);
    assert_eq!(product, Tensor::new([2, 1], &[3 * (1i64 << 40) + 5, 21]).unwrap());
    // A single row is not repeated, as an Einsum would.
    let names = [value("x0", INT64, &["2", "2"]), value("x1", INT64, &["1", "2"])];
    let draft = names.into_iter().fold(Draft::new(), Draft::input).node(node("MatMul", "n", &["x0", "x1"], &["y"]));
    let (kind, error) = refuse(&draft.output(value("y", INT64, &[])));
    assert!(kind == ErrorKind::InvalidModel && error.contains("do not fit"), "{error}");
}

#[test]
fn a_run_that_would_drop_elements_at_random_is_refused() {
    let draft = Draft::new()
        .opset(22)
        .input(value("x", FLOAT, &["n"]))
        .input(value("ratio", FLOAT, &[]))
        .input(value("trains", BOOL, &[]))
        .node(node("Dropout", "drop", &["x", "ratio", "trains"], &["y", "mask"]))
        .output(value("y", FLOAT, &["n"]))
        .output(value("mask", BOOL, &["n"]));
    let session = open(&draft).session(&SessionOptions::on(Device::Cpu)).unwrap();
    let x = Tensor::new([2], &[1f32, -2.0]).unwrap();
    let run = |ratio: f32, trains: bool| {
        let trains = Tensor::from_bools([], &[trains]).unwrap();
        session.run(&Tensors::from([("x", x.clone()), ("ratio", Tensor::scalar(ratio)), ("trains", trains)]))
    };
    for (ratio, trains) in [(0.5, false), (0.0, true), (0.0, false)] {
        let outputs = run(ratio, trains).unwrap();
        assert_eq!(outputs.get("y").unwrap(), &x);
        assert_eq!(outputs.get("mask").unwrap(), &Tensor::from_bools([2], &[true, true]).unwrap());
    }
    let error = run(0.5, true).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("drop") && error.to_string().contains("at random"), "{error}");
}
