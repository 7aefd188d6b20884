//! Corners of the format and of sizes that random graphs brought to light, with ONNX Runtime's results.

use gristmill::{Batching, Device, Model, Session, SessionOptions, Tensor, Tensors, bulk::Bulk};
use half::f16;

use crate::support::onnx_writer::*;

const DOUBLE: i64 = 11;
const HALF: i64 = 10;

fn load(draft: &Draft) -> Session {
    Model::from_bytes(&draft.bytes()).unwrap().session(&SessionOptions::on(Device::Cpu)).unwrap()
}

fn run(draft: &Draft, inputs: &[(&str, Tensor)]) -> Tensors {
    let inputs = inputs.iter().fold(Tensors::new(), |all, (name, tensor)| all.with(*name, tensor.clone()));
    load(draft).run(&inputs).unwrap()
}

fn f32s(shape: &[usize], values: &[f32]) -> Tensor {
    Tensor::new(shape, values).unwrap()
}

#[test]
fn a_part_that_nothing_uses_counts_in_a_split() {
    // The third part is named and unused, or not named.
    for last in ["c", ""] {
        let draft = Draft::new()
            .input(value("x", FLOAT, &["6"]))
            .node(node("Split", "cut", &["x"], &["a", "b", last]))
            .output(value("a", FLOAT, &["2"]))
            .output(value("b", FLOAT, &["2"]));
        let results = run(&draft, &[("x", f32s(&[6], &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]))]);
        assert_eq!(results.get("a").unwrap(), &f32s(&[2], &[0.0, 1.0]), "{last}");
        assert_eq!(results.get("b").unwrap(), &f32s(&[2], &[2.0, 3.0]), "{last}");
    }
}

/// `y` is `made` of a graph of one node on `x`, which stands in both branches of an `If` whose condition is known.
fn inlined(made: &Message, result: &str) -> Message {
    let branch = Draft::new().node(made.clone()).output(value(result, FLOAT, &["n"])).graph();
    let branches = ["then_branch", "else_branch"].map(|name| graph_attribute(name, &branch));
    node("If", "choose", &["yes"], &["y"]).messages(5, &branches)
}

#[test]
fn one_value_under_two_names_is_two_outputs() {
    let yes = tensor("yes", BOOL, &[]).bytes(9, [1u8]);
    let draft = Draft::new()
        .input(value("x", FLOAT, &["n"]))
        .initializer(yes)
        .initializer(floats("two", &[1], &[2.0]))
        .node(node("Neg", "minus", &["x"], &["z"]));
    // What an inlined graph hands on: another value of the file, an input, a constant.
    for (source, want) in [("z", [-1.0, -5.0]), ("x", [1.0, 5.0])] {
        // The graph hands its value on as it is.
        let branch = Draft::new().output(value(source, FLOAT, &["n"])).graph();
        let branches = ["then_branch", "else_branch"].map(|name| graph_attribute(name, &branch));
        let choose = node("If", "choose", &["yes"], &["y"]).messages(5, &branches);
        let draft = draft.clone().node(choose).output(value("y", FLOAT, &["n"])).output(value("z", FLOAT, &["n"]));
        let results = run(&draft, &[("x", f32s(&[2], &[1.0, 5.0]))]);
        assert_eq!(results.get("y").unwrap(), &f32s(&[2], &want), "{source}");
        assert_eq!(results.get("z").unwrap(), &f32s(&[2], &[-1.0, -5.0]), "{source}");
    }
    let same = inlined(&node("Identity", "same", &["two"], &["again"]), "again");
    let draft = draft.node(same).output(value("y", FLOAT, &["1"])).output(value("two", FLOAT, &["1"]));
    let results = run(&draft, &[("x", f32s(&[2], &[1.0, 5.0]))]);
    assert_eq!(results.get("y").unwrap(), &f32s(&[1], &[2.0]));
    assert_eq!(results.get("two").unwrap(), &f32s(&[1], &[2.0]));
}

#[test]
fn items_whose_other_sizes_follow_their_number_run_alone() {
    let draft = Draft::new()
        .input(value("x", FLOAT, &["n", "n"]))
        .node(node("Relu", "rectify", &["x"], &["y"]))
        .output(value("y", FLOAT, &["n", "n"]));
    let session = load(&draft);
    assert!(matches!(session.batching(), Batching::Single { .. }), "{:?}", session.batching());
    let x = f32s(&[2, 2], &[-1.0, 2.0, 3.0, -4.0]);
    let items: Vec<Tensors> = (0..3).map(|_| Tensors::from([("x", x.clone())])).collect();
    for result in Bulk::new(session).chunk_size(3).run(&items).0 {
        assert_eq!(result.unwrap().get("y").unwrap(), &f32s(&[2, 2], &[0.0, 2.0, 3.0, 0.0]));
    }
}

#[test]
fn what_measures_a_size_runs_though_its_elements_are_unused() {
    let draft = Draft::new()
        .input(value("x", FLOAT, &["n"]))
        .input(value("keep", BOOL, &["n"]))
        .node(node("Compress", "pick", &["x", "keep"], &["some"]))
        .node(node("Shape", "count", &["some"], &["size"]))
        .node(node("ConstantOfShape", "fill", &["size"], &["y"]))
        .output(value("y", FLOAT, &[""]));
    let keep = Tensor::from_bools([3], &[true, false, true]).unwrap();
    let results = run(&draft, &[("x", f32s(&[3], &[1.0, 2.0, 3.0])), ("keep", keep)]);
    assert_eq!(results.get("y").unwrap(), &f32s(&[2], &[0.0, 0.0]));
}

#[test]
fn a_measured_size_may_be_zero_where_it_is_cut() {
    let cut = node("Slice", "cut", &["some", "from", "to"], &["y"]);
    let draft = Draft::new()
        .input(value("x", FLOAT, &["n"]))
        .input(value("keep", BOOL, &["n"]))
        .initializer(integers("from", &[1], &[-2]))
        .initializer(integers("to", &[1], &[-1]))
        .node(node("Compress", "pick", &["x", "keep"], &["some"]))
        .node(cut)
        .output(value("y", FLOAT, &[""]));
    for (keep, want) in [([false; 3], vec![]), ([true, false, false], vec![]), ([true; 3], vec![2.0])] {
        let keep = Tensor::from_bools([3], &keep).unwrap();
        let results = run(&draft, &[("x", f32s(&[3], &[1.0, 2.0, 3.0])), ("keep", keep)]);
        assert_eq!(results.get("y").unwrap(), &f32s(&[want.len()], &want));
    }
}

#[test]
fn halves_are_reduced_along_axes_that_a_run_gives() {
    let draft = Draft::new()
        .opset(18)
        .input(value("x", HALF, &["2", "3"]))
        .input(value("axes", INT64, &["1"]))
        .node(node("ReduceSum", "sum", &["x", "axes"], &["y"]).message(5, &int("keepdims", 0)))
        .output(value("y", HALF, &[""]));
    let halves = |values: &[f32]| values.iter().map(|&x| f16::from_f32(x)).collect::<Vec<_>>();
    let x = Tensor::new([2, 3], &halves(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0])).unwrap();
    for (axis, want) in [(0i64, vec![5.0, 7.0, 9.0]), (-1, vec![6.0, 15.0])] {
        let results = run(&draft, &[("x", x.clone()), ("axes", Tensor::new([1], &[axis]).unwrap())]);
        assert_eq!(results.get("y").unwrap(), &Tensor::new([want.len()], &halves(&want)).unwrap());
    }
}

#[test]
fn doubles_are_padded_with_an_attribute() {
    let draft = Draft::new()
        .opset(10)
        .input(value("x", DOUBLE, &["2"]))
        .node(
            node("Pad", "pad", &["x"], &["y"])
                .message(5, &ints("pads", &[1, 0]))
                .message(5, &Message::new().text(1, "value").int(20, 1).float(2, 1.5)),
        )
        .output(value("y", DOUBLE, &["3"]));
    let results = run(&draft, &[("x", Tensor::new([2], &[0.1f64, 0.2]).unwrap())]);
    assert_eq!(results.get("y").unwrap(), &Tensor::new([3], &[1.5f64, 0.1, 0.2]).unwrap());
}

#[test]
fn doubles_are_pooled_and_normalized_as_they_are() {
    let pooled = |op: &str| {
        let pool = node(op, "pool", &["x"], &["y"]).message(5, &ints("kernel_shape", &[2]));
        Draft::new().input(value("x", DOUBLE, &["1", "1", "n"])).node(pool).output(value("y", DOUBLE, &["1", "1", ""]))
    };
    // Floats would not tell the elements apart.
    let x = Tensor::new([1, 1, 3], &[1.0f64, 1.0 + 1e-12, 1.0 + 3e-12]).unwrap();
    let results = run(&pooled("MaxPool"), &[("x", x.clone())]);
    assert_eq!(results.get("y").unwrap(), &Tensor::new([1, 1, 2], &[1.0 + 1e-12, 1.0 + 3e-12]).unwrap());
    let results = run(&pooled("AveragePool"), &[("x", x.clone())]);
    let means = results.get("y").unwrap().as_slice::<f64>().unwrap();
    assert!((means[0] - (1.0 + 0.5e-12)).abs() < 1e-15 && (means[1] - (1.0 + 2e-12)).abs() < 1e-15, "{means:?}");
    let draft = Draft::new()
        .input(value("x", DOUBLE, &["1", "1", "n"]))
        .node(node("LpNormalization", "norm", &["x"], &["y"]).message(5, &int("p", 1)))
        .output(value("y", DOUBLE, &["1", "1", "n"]));
    let results = run(&draft, &[("x", Tensor::new([1, 1, 2], &[1.0f64, -3.0]).unwrap())]);
    assert_eq!(results.get("y").unwrap(), &Tensor::new([1, 1, 2], &[0.25f64, -0.75]).unwrap());
}

#[test]
fn cubic_samples_outside_run_on_over_the_border() {
    let text = |name: &str, text: &str| Message::new().text(1, name).int(20, 3).text(4, text);
    let sample = node("GridSample", "sample", &["x", "grid"], &["y"])
        .message(5, &text("mode", "cubic"))
        .message(5, &text("padding_mode", "border"))
        .message(5, &int("align_corners", 1));
    // The items of both are one number by unlike names.
    let draft = Draft::new()
        .opset(20)
        .input(value("x", FLOAT, &["n", "1", "4", "4"]))
        .input(value("grid", FLOAT, &["m", "1", "k", ""]))
        .node(sample)
        .output(value("y", FLOAT, &["", "", "", ""]));
    let squares: Vec<f32> = (0..16).map(|at| (at * at) as f32).collect();
    let grid = f32s(&[1, 1, 2, 2], &[1.25, 0.5, -1.25, -1.5]);
    let results = run(&draft, &[("x", f32s(&[1, 1, 4, 4], &squares)), ("grid", grid)]);
    let y = results.get("y").unwrap().as_slice::<f32>().unwrap();
    assert!((y[0] - 154.7552).abs() < 1e-3 && (y[1] + 0.641464).abs() < 1e-3, "{y:?}");
}

#[test]
fn samples_at_unknown_positions_are_unknown_or_at_the_front() {
    let nan = f32::NAN;
    let grid = f32s(&[1, 1, 5, 2], &[nan, nan, nan, 0.0, 0.0, 0.0, f32::INFINITY, 0.0, 0.0, f32::NEG_INFINITY]);
    let text = |name: &str, text: &str| Message::new().text(1, name).int(20, 3).text(4, text);
    let cases = [
        ("linear", "zeros", [nan, nan, 2.5, nan, nan]),
        ("linear", "border", [1.0, 2.0, 2.5, 3.0, 1.5]),
        ("linear", "reflection", [1.0, 2.0, 2.5, 2.0, 1.5]),
        ("nearest", "zeros", [nan, nan, 1.0, 0.0, 0.0]),
        ("nearest", "border", [1.0, 1.0, 1.0, 2.0, 1.0]),
        ("cubic", "zeros", [nan, nan, 3.525_390_6, nan, nan]),
    ];
    for (mode, outside, want) in cases {
        let sample = node("GridSample", "sample", &["x", "grid"], &["y"])
            .message(5, &text("mode", mode))
            .message(5, &text("padding_mode", outside));
        let draft = Draft::new()
            .opset(20)
            .input(value("x", FLOAT, &["n", "1", "2", "2"]))
            .input(value("grid", FLOAT, &["n", "1", "k", "2"]))
            .node(sample)
            .output(value("y", FLOAT, &["n", "1", "1", "k"]));
        let x = f32s(&[1, 1, 2, 2], &[1.0, 2.0, 3.0, 4.0]);
        let results = run(&draft, &[("x", x), ("grid", grid.clone())]);
        let y = results.get("y").unwrap().as_slice::<f32>().unwrap();
        let same = |(got, want): (&f32, &f32)| got == want || (got.is_nan() && want.is_nan());
        assert!(y.iter().zip(&want).all(same), "{mode}, {outside}: {y:?}");
    }
}

#[test]
fn the_largest_number_normalizes_with_its_sign() {
    let domain = Message::new().text(1, "ai.onnx.ml").int(2, 3);
    let norm = node("Normalizer", "norm", &["x"], &["y"]).text(7, "ai.onnx.ml");
    let draft = Draft::new().input(value("x", FLOAT, &["n", "2"])).node(norm).output(value("y", FLOAT, &["n", "2"]));
    let mut bytes = draft.bytes();
    bytes.extend(Message::new().message(8, &domain).0);
    let session = Model::from_bytes(&bytes).unwrap().session(&SessionOptions::on(Device::Cpu)).unwrap();
    let results = session.run(&Tensors::from([("x", f32s(&[2, 2], &[2.0, -8.0, -4.0, -1.0]))])).unwrap();
    assert_eq!(results.get("y").unwrap(), &f32s(&[2, 2], &[1.0, -4.0, 4.0, 1.0]));
}

#[test]
fn weights_and_lists_of_sizes_without_number_fit_in_a_run() {
    let one_hot = Draft::new()
        .input(value("x", INT64, &["n"]))
        .input(value("values", FLOAT, &["m"]))
        .initializer(integers("depth", &[1], &[2]))
        .node(node("OneHot", "hot", &["x", "depth", "values"], &["y"]))
        .output(value("y", FLOAT, &["n", "2"]));
    let x = Tensor::new([2], &[1i64, 0]).unwrap();
    let results = run(&one_hot, &[("x", x.clone()), ("values", f32s(&[2], &[5.0, 7.0]))]);
    assert_eq!(results.get("y").unwrap(), &f32s(&[2, 2], &[5.0, 7.0, 7.0, 5.0]));
    let wrong = Tensors::from([("x", x), ("values", f32s(&[3], &[5.0, 7.0, 9.0]))]);
    let error = load(&one_hot).run(&wrong).unwrap_err().to_string();
    assert!(error.contains("of off and on") && error.contains("hot"), "{error}");

    let transposed = Draft::new()
        .input(value("x", FLOAT, &["1", "1", "2"]))
        .input(value("bias", FLOAT, &["m"]))
        .initializer(floats("w", &[1, 1, 1], &[2.0]))
        .node(node("ConvTranspose", "spread", &["x", "w", "bias"], &["y"]))
        .output(value("y", FLOAT, &["1", "1", ""]));
    let inputs = [("x", f32s(&[1, 1, 2], &[1.0, 3.0])), ("bias", f32s(&[1], &[0.5]))];
    assert_eq!(run(&transposed, &inputs).get("y").unwrap(), &f32s(&[1, 1, 2], &[2.5, 6.5]));
}

/// A classifier of one image, as exporters fix it.
fn of_one_image(target: &[i64]) -> Draft {
    Draft::new()
        .input(value("x", FLOAT, &["1", "2", "3", "3"]))
        .initializer(integers("target", &[target.len() as i64], target))
        .initializer(floats("w", &[2, 2], &[1.0, -2.0, 0.5, 3.0]))
        .node(node("GlobalAveragePool", "pool", &["x"], &["mean"]))
        .node(node("Reshape", "flat", &["mean", "target"], &["row"]))
        .node(node("MatMul", "product", &["row", "w"], &["y"]))
        .output(value("y", FLOAT, &["1", "2"]))
}

#[test]
fn a_batch_that_the_file_fixes_without_need_is_opened() {
    for target in [[1, -1], [1, 2], [-1, 2], [0, 2]] {
        let session = load(&of_one_image(&target));
        assert!(matches!(session.batching(), Batching::Rows { .. }), "{target:?}: {:?}", session.batching());
        let notes = gristmill::Inference::describe(&session).notes;
        assert!(notes.iter().any(|note| note.contains("fixes the number of items at 1")), "{notes:?}");
        let item = |seed: usize| {
            let values: Vec<f32> = (0..18).map(|at| ((at * 5 + seed * 7) % 13) as f32 / 3.0 - 2.0).collect();
            Tensors::from([("x", f32s(&[1, 2, 3, 3], &values))])
        };
        let items: Vec<Tensors> = (0..5).map(item).collect();
        let alone: Vec<Tensors> = items.iter().map(|item| session.run(item).unwrap()).collect();
        assert_eq!(alone[0].get("y").unwrap().shape(), [1, 2]);
        for (result, alone) in Bulk::new(session).chunk_size(5).run(&items).0.into_iter().zip(&alone) {
            assert_eq!(result.unwrap().get("y").unwrap(), alone.get("y").unwrap());
        }
    }
}

#[test]
fn a_batch_that_the_graph_needs_stays_fixed() {
    // The one item meets four rows of a constant; it becomes columns; it is summed over.
    let wide = Draft::new()
        .initializer(floats("w", &[4, 3], &[1.0; 12]))
        .node(node("Add", "meet", &["x", "w"], &["y"]))
        .output(value("y", FLOAT, &["4", "3"]));
    let turned = Draft::new().node(node("Transpose", "turn", &["x"], &["y"])).output(value("y", FLOAT, &["3", "1"]));
    let summed = Draft::new()
        .node(node("ReduceMean", "mean", &["x"], &["y"]).message(5, &ints("axes", &[0])))
        .output(value("y", FLOAT, &["1", "3"]));
    for draft in [wide, turned, summed] {
        let session = load(&draft.input(value("x", FLOAT, &["1", "3"])));
        assert!(matches!(session.batching(), Batching::Single { .. }), "{:?}", session.batching());
        let x = f32s(&[1, 3], &[1.0, 2.0, 3.0]);
        assert!(session.run(&Tensors::from([("x", x)])).is_ok());
        let two = f32s(&[2, 3], &[1.0; 6]);
        assert!(session.run(&Tensors::from([("x", two)])).is_err());
    }
}

#[test]
fn old_resizes_take_the_next_element_where_an_axis_shrinks() {
    let text = |name: &str, text: &str| Message::new().text(1, name).int(20, 3).text(4, text);
    let nearest = |scale: f32, opset: i64| {
        Draft::new()
            .opset(opset)
            .input(value("x", FLOAT, &["1", "1", "5"]))
            .initializer(floats("scales", &[3], &[1.0, 1.0, scale]))
            .node(node("Resize", "resize", &["x", "scales"], &["y"]))
            .output(value("y", FLOAT, &["1", "1", ""]))
    };
    let x = f32s(&[1, 1, 5], &[0.0, 1.0, 2.0, 3.0, 4.0]);
    let results = run(&nearest(0.6, 10), &[("x", x.clone())]);
    assert_eq!(results.get("y").unwrap(), &f32s(&[1, 1, 3], &[0.0, 2.0, 4.0]));
    let results = run(&nearest(1.5, 10), &[("x", x.clone())]);
    assert_eq!(results.get("y").unwrap(), &f32s(&[1, 1, 7], &[0.0, 0.0, 1.0, 2.0, 2.0, 3.0, 4.0]));
    // One position of `pytorch_half_pixel` is the first.
    let cubic = node("Resize", "resize", &["x", "", "scales"], &["y"])
        .message(5, &text("mode", "cubic"))
        .message(5, &text("coordinate_transformation_mode", "pytorch_half_pixel"));
    let draft = Draft::new()
        .input(value("x", FLOAT, &["1", "1", "2"]))
        .initializer(floats("scales", &[3], &[1.0, 1.0, 0.5]))
        .node(cubic)
        .output(value("y", FLOAT, &["1", "1", "1"]));
    let results = run(&draft, &[("x", f32s(&[1, 1, 2], &[3.0, 50.0]))]);
    assert_eq!(results.get("y").unwrap(), &f32s(&[1, 1, 1], &[3.0]));
}

#[test]
fn groups_of_doubles_are_normalized() {
    let norm = node("GroupNormalization", "norm", &["x", "scale", "bias"], &["y"]).message(5, &int("num_groups", 2));
    let doubles = |name: &str, values: &[f64]| {
        let raw: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        tensor(name, DOUBLE, &[values.len() as i64]).bytes(9, raw)
    };
    let draft = |opset: i64, scale: &[f64], bias: &[f64]| {
        Draft::new()
            .opset(opset)
            .input(value("x", DOUBLE, &["n", "4", "1"]))
            .initializer(doubles("scale", scale))
            .initializer(doubles("bias", bias))
            .node(norm.clone())
            .output(value("y", DOUBLE, &["n", "4", "1"]))
    };
    let x = Tensor::new([1, 4, 1], &[1.0f64, 3.0, -5.0, 5.0]).unwrap();
    // By the population's deviation of each pair, which are 1 and 5.
    for (opset, scale, bias) in
        [(21, &[1.0, 2.0, 3.0, 4.0][..], &[0.0, 1.0, 0.0, 1.0][..]), (18, &[1.0, 3.0], &[0.0, 1.0])]
    {
        let results = run(&draft(opset, scale, bias), &[("x", x.clone())]);
        let got = results.get("y").unwrap().as_slice::<f64>().unwrap();
        let want = if opset == 21 { [-1.0, 3.0, -3.0, 5.0] } else { [-1.0, 1.0, -2.0, 4.0] };
        assert!(got.iter().zip(want).all(|(got, want)| (got - want).abs() < 1e-4), "{opset}: {got:?}");
    }
}

#[test]
fn aligned_corners_take_whole_lengths_up_to_opset_18_and_in_pytorchs_files() {
    let attribute = |name: &str, text: &str| Message::new().text(1, name).int(20, 3).text(4, text);
    let x = f32s(&[1, 5], &[0.0, 10.0, 20.0, 30.0, 40.0]);
    // From 5 to 7.5 rounded down: PyTorch, ONNX Runtime and the operator's text divide by 6, ONNX's reference by 6.5.
    for (opset, producer, length) in [(11, "", 7.0f32), (18, "tool", 7.0), (19, "tool", 7.5), (22, "pytorch", 7.0)] {
        let resize = node("Resize", "resize", &["x", "", "scales"], &["y"])
            .message(5, &attribute("mode", "linear"))
            .message(5, &attribute("coordinate_transformation_mode", "align_corners"));
        let draft = Draft::new()
            .opset(opset)
            .input(value("x", FLOAT, &["n", "5"]))
            .initializer(floats("scales", &[2], &[1.0, 1.5]))
            .node(resize)
            .output(value("y", FLOAT, &["n", "7"]));
        let bytes = [draft.bytes(), Message::new().text(2, producer).0].concat();
        let session = Model::from_bytes(&bytes).unwrap().session(&SessionOptions::on(Device::Cpu)).unwrap();
        let results = session.run(&Tensors::from([("x", x.clone())])).unwrap();
        let y = results.get("y").unwrap().as_slice::<f32>().unwrap();
        for (at, y) in y.iter().enumerate() {
            let want = 10.0 * at as f32 * 4.0 / (length - 1.0);
            assert!((y - want).abs() < 1e-4, "opset {opset}: {at} is {y}, not {want}");
        }
    }
}

#[test]
fn a_window_past_the_end_may_be_larger_than_the_input() {
    // As EfficientNet ends, whatever the size of its images.
    for (stride, side, want) in [(20, 3, Some(4.0f32)), (20, 1, Some(0.0)), (18, 3, Some(4.0)), (17, 3, None)] {
        let pool = node("AveragePool", "pool", &["x"], &["y"])
            .message(5, &ints("kernel_shape", &[20, 20]))
            .message(5, &ints("strides", &[stride, stride]))
            .message(5, &int("ceil_mode", 1));
        let draft = Draft::new().input(value("x", FLOAT, &["n", "1", "h", "w"])).node(pool).output(value(
            "y",
            FLOAT,
            &["n", "1", "a", "b"],
        ));
        let numbers: Vec<f32> = (0..side * side).map(|number| number as f32).collect();
        let inputs = Tensors::from([("x", f32s(&[1, 1, side, side], &numbers))]);
        match (load(&draft).run(&inputs), want) {
            (Ok(results), Some(want)) => {
                assert_eq!(results.get("y").unwrap(), &f32s(&[1, 1, 1, 1], &[want]), "{stride}")
            }
            (Err(error), None) => assert!(error.to_string().contains("where at least 4 is needed"), "{error}"),
            (result, _) => panic!("{stride}: {result:?}"),
        }
    }
}

#[test]
fn a_range_of_floats_up_to_a_size_has_a_known_size() {
    let cases: [(f32, f32, &[f32]); 4] = [
        (0.5, 1.0, &[0.5, 1.5, 2.5, 3.5]),
        (0.0, 3.0, &[0.0, 3.0]),
        (-1.25, 2.0, &[-1.25, 0.75, 2.75]),
        (9.0, 1.0, &[]),
    ];
    for (start, step, want) in cases {
        let draft = Draft::new()
            .input(value("x", FLOAT, &["n", "h"]))
            .initializer(integers("one", &[], &[1]))
            .initializer(integers("two", &[], &[2]))
            .initializer(floats("start", &[], &[start]))
            .initializer(floats("step", &[], &[step]))
            .node(node("Shape", "shape", &["x"], &["shape"]))
            .node(node("Gather", "size", &["shape", "one"], &["size"]))
            .node(node("Div", "half", &["size", "two"], &["half"]))
            .node(node("Cast", "float", &["half"], &["end"]).message(5, &int("to", FLOAT)))
            .node(node("Range", "range", &["start", "end", "step"], &["y"]))
            .output(value("y", FLOAT, &["m"]));
        let session = load(&draft);
        let inputs = Tensors::from([("x", f32s(&[1, 9], &[0.0; 9]))]);
        assert_eq!(session.run(&inputs).unwrap().get("y").unwrap(), &f32s(&[want.len()], want), "{start} by {step}");
        // The size is computed from that of `x`, not measured in each run.
        let (_, fact) = session.outputs().next().unwrap();
        let measured = fact.to_string();
        assert!(measured.contains("s1"), "{measured}");
    }
}
