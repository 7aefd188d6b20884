//! What versions of the format and of the operators mean, and results that nothing uses.

use gristmill::{Device, ErrorKind, ImportOptions, Model, SessionOptions, Tensor, Tensors};

use crate::support::onnx_writer::*;

fn run_with(bytes: &[u8], options: &ImportOptions, inputs: &[(&str, Tensor)]) -> gristmill::Result<Tensors> {
    let session = Model::from_bytes_with(bytes, options)?.session(&SessionOptions::on(Device::Cpu))?;
    session.run(&inputs.iter().fold(Tensors::new(), |all, (name, tensor)| all.with(*name, tensor.clone())))
}

/// The numbers of the output `y`.
fn numbers(draft: &Draft, inputs: &[(&str, Tensor)]) -> Vec<f32> {
    let outputs = run_with(&draft.bytes(), &ImportOptions::default(), inputs).unwrap_or_else(|error| panic!("{error}"));
    outputs.get("y").unwrap().as_slice::<f32>().unwrap().to_vec()
}

fn of(shape: &[usize], values: &[f32]) -> Tensor {
    Tensor::new(shape, values).unwrap()
}

/// Eight numbers as `[2, 2, 2]`, the softmax of which tells opset 12 from 13.
fn softmax(sets: &[(&str, i64)]) -> Vec<f32> {
    let draft = Draft::new()
        .input(value("x", FLOAT, &["2", "2", "2"]))
        .node(node("Softmax", "soft", &["x"], &["y"]))
        .output(value("y", FLOAT, &["2", "2", "2"]));
    let model = sets.iter().fold(Message::new().int(1, 8).message(7, &draft.graph()), |model, (domain, version)| {
        model.message(8, &Message::new().text(1, domain).int(2, *version))
    });
    let x = of(&[2, 2, 2], &[0.0; 8]);
    let outputs = run_with(&model.0, &ImportOptions::default(), &[("x", x)]).unwrap();
    outputs.get("y").unwrap().as_slice::<f32>().unwrap().to_vec()
}

#[test]
fn the_last_of_several_versions_counts_and_the_latest_where_there_is_none() {
    let (old, new) = (vec![0.25; 8], vec![0.5; 8]);
    assert_eq!(softmax(&[("", 12)]), old);
    assert_eq!(softmax(&[("", 13)]), new);
    assert_eq!(softmax(&[("", 12), ("", 13)]), new);
    assert_eq!(softmax(&[("", 13), ("ai.onnx", 12)]), old);
    assert_eq!(softmax(&[("ai.onnx", 12), ("", 13)]), new);
    assert_eq!(softmax(&[("ai.onnx.ml", 2)]), new);
}

/// `y = OP(a, b)` with attributes, where `b` is a constant.
fn binary(op: &str, opset: i64, b: Message, attributes: &[Message]) -> Draft {
    let own = node(op, "op", &["a", "b"], &["y"]).messages(5, attributes);
    Draft::new().opset(opset).input(value("a", FLOAT, &["n", "2", "3"])).initializer(b).node(own).output(value(
        "y",
        FLOAT,
        &["", "", ""],
    ))
}

#[test]
fn operands_broadcast_by_attributes_up_to_opset_6() {
    let a = of(&[1, 2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    let pair = || floats("b", &[2], &[10.0, 20.0]);
    let attributes = [int("broadcast", 1), int("axis", 1), ints("consumed_inputs", &[0, 0])];
    let sum = numbers(&binary("Add", 1, pair(), &attributes), &[("a", a.clone())]);
    assert_eq!(sum, [11.0, 12.0, 13.0, 24.0, 25.0, 26.0]);
    let last = binary("Mul", 6, floats("b", &[3], &[1.0, 10.0, 100.0]), &[int("broadcast", 1)]);
    assert_eq!(numbers(&last, &[("a", a.clone())]), [1.0, 20.0, 300.0, 4.0, 50.0, 600.0]);
    let slopes = binary("PRelu", 6, pair(), &[]);
    let below = of(&[1, 2, 3], &[-1.0, 2.0, -3.0, -4.0, 5.0, -6.0]);
    assert_eq!(numbers(&slopes, &[("a", below)]), [-10.0, 2.0, -30.0, -80.0, 5.0, -120.0]);
    for (opset, attributes) in [(6, vec![int("broadcast", 1)]), (6, vec![]), (7, vec![int("axis", 1)])] {
        assert!(Model::from_bytes(&binary("Add", opset, pair(), &attributes).bytes()).is_err());
    }
}

#[test]
fn attributes_of_the_first_opsets_are_read() {
    let x = of(&[1, 2], &[1.5, -2.5]);
    let draft = |opset, node: Message| {
        Draft::new()
            .opset(opset)
            .input(value("x", FLOAT, &["1", "2"]))
            .initializer(integers("count", &[1], &[2]))
            .initializer(integers("axis", &[1], &[1]))
            .node(node)
            .output(value("y", FLOAT, &["", ""]))
    };
    let op = |name: &str, inputs: &[&str]| node(name, "op", inputs, &["y"]);
    let pads = op("Pad", &["x"]).message(5, &ints("paddings", &[0, 1, 0, 0]));
    assert_eq!(numbers(&draft(1, pads), &[("x", x.clone())]), [0.0, 1.5, -2.5]);
    let tiled = op("Tile", &["x", "count", "axis"]);
    assert_eq!(numbers(&draft(5, tiled), &[("x", x.clone())]), [1.5, -2.5, 1.5, -2.5]);
    let joined = op("Concat", &["x", "x"]);
    assert_eq!(numbers(&draft(3, joined), &[("x", x.clone())]), [1.5, -2.5, 1.5, -2.5]);
    let cast = op("Cast", &["x"]).message(5, &Message::new().text(1, "to").int(20, 3).text(4, "FLOAT"));
    assert_eq!(numbers(&draft(5, cast), &[("x", x.clone())]), [1.5, -2.5]);
    let shape = op("Reshape", &["x"]).message(5, &ints("shape", &[2, -1]));
    assert_eq!(numbers(&draft(4, shape), &[("x", x.clone())]), [1.5, -2.5]);
}

#[test]
fn an_absent_bound_of_clip_is_the_largest_finite_number() {
    let clip = Draft::new().input(value("x", FLOAT, &["n"])).node(node("Clip", "clip", &["x"], &["y"])).output(value(
        "y",
        FLOAT,
        &["n"],
    ));
    let x = of(&[3], &[f32::INFINITY, f32::NEG_INFINITY, 1.0]);
    assert_eq!(numbers(&clip, &[("x", x)]), [f32::MAX, f32::MIN, 1.0]);
}

#[test]
fn results_that_nothing_uses_are_not_needed() {
    let draft = |opset, node: Message| {
        Draft::new()
            .opset(opset)
            .input(value("x", FLOAT, &["n", "2", "4"]))
            .initializer(floats("ones", &[4], &[1.0; 4]))
            .node(node)
            .output(value("y", FLOAT, &["", "", ""]))
    };
    let x = of(&[1, 2, 4], &[1.0, 2.0, 3.0, 4.0, 4.0, 3.0, 2.0, 1.0]);
    let drop = || node("Dropout", "drop", &["x"], &["y", "mask"]);
    assert_eq!(numbers(&draft(12, drop()), &[("x", x.clone())]).len(), 8);
    let pool = node("MaxPool", "pool", &["x"], &["y", "where"]).message(5, &ints("kernel_shape", &[2]));
    assert_eq!(numbers(&draft(12, pool), &[("x", x.clone())]), [2.0, 3.0, 4.0, 4.0, 3.0, 2.0]);
    let norm = node("LayerNormalization", "norm", &["x", "ones"], &["y", "mean", "deviation"]);
    assert!((numbers(&draft(17, norm), &[("x", x.clone())])[0] + 1.341_635).abs() < 1e-5);
    let used = draft(7, drop()).output(value("mask", BOOL, &["", "", ""]));
    assert_eq!(Model::from_bytes(&used.bytes()).unwrap_err().kind(), ErrorKind::Unsupported);
}

#[test]
fn batch_normalization_of_several_results_is_by_the_batch() {
    let ones = |name: &str, value: f32| floats(name, &[1], &[value]);
    let draft = |results: &[&str]| {
        Draft::new()
            .opset(9)
            .input(value("x", FLOAT, &["n", "1", "2"]))
            .initializer(ones("scale", 2.0))
            .initializer(ones("bias", 1.0))
            .initializer(ones("mean", 0.0))
            .initializer(ones("variance", 4.0))
            .node(node("BatchNormalization", "norm", &["x", "scale", "bias", "mean", "variance"], results))
            .output(value("y", FLOAT, &["", "", ""]))
    };
    let x = || of(&[2, 1, 2], &[0.0, 2.0, 4.0, 6.0]);
    let given = numbers(&draft(&["y"]), &[("x", x())]);
    let batch = numbers(&draft(&["y", "m", "v", "sm", "sv"]), &[("x", x())]);
    // By the given statistics x + 1, by the batch's own 2 (x - 3) / sqrt(5) + 1.
    let wanted = |formula: fn(f32) -> f32| [0.0f32, 2.0, 4.0, 6.0].map(formula);
    for (own, wanted) in [(given, wanted(|x| x + 1.0)), (batch, wanted(|x| 2.0 * (x - 3.0) / 5f32.sqrt() + 1.0))] {
        for (own, wanted) in own.iter().zip(wanted) {
            assert!((own - wanted).abs() < 1e-4, "{own} {wanted}");
        }
    }
}

#[test]
fn an_initializer_that_is_an_input_is_a_default() {
    let draft = Draft::new()
        .input(value("x", FLOAT, &["n", "2"]))
        .input(value("w", FLOAT, &["2"]))
        .initializer(floats("w", &[2], &[1.0, 2.0]))
        .node(node("Mul", "product", &["x", "w"], &["y"]))
        .output(value("y", FLOAT, &["n", "2"]));
    let (x, w) = (of(&[1, 2], &[3.0, 4.0]), of(&[2], &[10.0, 100.0]));
    assert_eq!(numbers(&draft, &[("x", x.clone())]), [3.0, 8.0]);
    assert_eq!(Model::from_bytes(&draft.bytes()).unwrap().defaults(), ["w"]);
    let both = [("x", x.clone()), ("w", w)];
    let error = run_with(&draft.bytes(), &ImportOptions::default(), &both).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.to_string().contains("ImportOptions::no_default"), "{error}");
    let open = ImportOptions::default().no_default("w");
    let outputs = run_with(&draft.bytes(), &open, &both).unwrap();
    assert_eq!(outputs.get("y").unwrap().as_slice::<f32>().unwrap(), [30.0, 400.0]);
    assert!(run_with(&draft.bytes(), &open, &both[..1]).is_err());
    for name in ["x", "absent"] {
        let options = ImportOptions::default().no_default(name);
        assert_eq!(Model::from_bytes_with(&draft.bytes(), &options).unwrap_err().kind(), ErrorKind::InvalidInput);
    }
    // Files of format version 3 list every initializer as an input.
    let opset = Message::new().text(1, "").int(2, 8);
    let old = Message::new().int(1, 3).message(7, &draft.graph()).message(8, &opset);
    assert!(Model::from_bytes(&old.0).unwrap().defaults().is_empty());
}

#[test]
fn scale_and_bias_of_a_layer_norm_broadcast() {
    let draft = |scale: Message| {
        Draft::new()
            .input(value("x", FLOAT, &["n", "2", "2"]))
            .initializer(scale)
            .node(node("LayerNormalization", "norm", &["x", "scale"], &["y"]))
            .output(value("y", FLOAT, &["", "", ""]))
    };
    let x = || [("x", of(&[1, 2, 2], &[1.0, -1.0, 3.0, -3.0]))];
    let near =
        |own: Vec<f32>, wanted: [f32; 4]| own.iter().zip(wanted).all(|(own, wanted)| (own - wanted).abs() < 1e-4);
    assert!(near(numbers(&draft(floats("scale", &[1, 1, 2], &[2.0, 3.0])), &x()), [2.0, -3.0, 2.0, -3.0]));
    assert!(near(numbers(&draft(floats("scale", &[1, 2, 1], &[2.0, 3.0])), &x()), [2.0, -2.0, 3.0, -3.0]));
    assert!(Model::from_bytes(&draft(floats("scale", &[3], &[1.0; 3])).bytes()).is_err());
    assert!(Model::from_bytes(&draft(floats("scale", &[1, 1, 1, 2], &[1.0; 2])).bytes()).is_err());
}
