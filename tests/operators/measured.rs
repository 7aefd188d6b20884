//! Models whose sizes are known only while they run.

use gristmill::{
    DType, Device, ErrorKind, Inference, Model, Session, SessionOptions, Tensor, Tensors,
    bulk::Bulk,
    testing::{import::onnx::read_tensor, shape::Dim},
};

use crate::support::onnx_writer::*;

fn load(draft: &Draft) -> Session {
    Model::from_bytes(&draft.bytes()).unwrap().session(&SessionOptions::on(Device::Cpu)).unwrap()
}

/// The elements of `x` that are above zero, doubled, and how many they are.
fn positive() -> Draft {
    let (_, two) = read_tensor(&floats("two", &[], &[2.0]).0).unwrap();
    assert_eq!(two.dtype(), DType::F32);
    Draft::new()
        .input(value("x", FLOAT, &["n", "3"]))
        .initializer(floats("zero", &[], &[0.0]))
        .initializer(floats("two", &[], &[2.0]))
        .node(node("Greater", "above", &["x", "zero"], &["above"]))
        .node(node("NonZero", "places", &["above"], &["places"]))
        .node(node("Transpose", "turned", &["places"], &["turned"]))
        .node(node("GatherND", "picked", &["x", "turned"], &["picked"]))
        .node(node("Mul", "doubled", &["picked", "two"], &["doubled"]))
        .node(node("Shape", "count", &["doubled"], &["count"]))
        .output(value("doubled", FLOAT, &[""]))
        .output(value("count", INT64, &["1"]))
}

#[test]
fn what_is_measured_sizes_what_follows() {
    let session = load(&positive());
    let x = Tensor::new([2, 3], &[1f32, -2.0, 3.0, 0.0, 5.0, -6.0]).unwrap();
    let outputs = session.run(&Tensors::from([("x", x)])).unwrap();
    assert_eq!(outputs.get("doubled").unwrap(), &Tensor::new([3], &[2f32, 6.0, 10.0]).unwrap());
    assert_eq!(outputs.get("count").unwrap(), &Tensor::new([1], &[3i64]).unwrap());
    let none = Tensor::new([1, 3], &[-1f32; 3]).unwrap();
    let outputs = session.run(&Tensors::from([("x", none)])).unwrap();
    assert_eq!(outputs.get("doubled").unwrap().shape(), [0]);
    let notes = session.describe().notes;
    assert!(notes.iter().any(|note| note.contains("known only while the model runs") && note.contains("places")));
    assert!(notes.iter().any(|note| note.contains("one by one")), "{notes:?}");
    assert!(session.describe().scratch_bytes_per_worker > 0);
}

#[test]
fn items_of_a_job_keep_their_own_sizes() {
    let session = std::sync::Arc::new(load(&positive()));
    let item = |seed: usize| {
        let values: Vec<f32> = (0..3 * (seed % 5 + 1)).map(|at| ((at * 7 + seed * 3) % 11) as f32 - 5.0).collect();
        Tensors::from([("x", Tensor::new([seed % 5 + 1, 3], &values).unwrap())])
    };
    let items: Vec<Tensors> = (0..200).map(item).collect();
    let (results, _) = Bulk::new(session.clone()).workers(3).run(&items);
    for (item, result) in items.iter().zip(results) {
        let x = item.get("x").unwrap().as_slice::<f32>().unwrap();
        let want: Vec<f32> = x.iter().filter(|value| **value > 0.0).map(|value| value * 2.0).collect();
        assert_eq!(result.unwrap().get("doubled").unwrap().as_slice::<f32>().unwrap(), want);
    }
}

#[test]
fn sizes_that_do_not_broadcast_are_refused_as_soon_as_they_are_known() {
    let draft = Draft::new()
        .input(value("x", FLOAT, &["n"]))
        .input(value("y", FLOAT, &["m"]))
        .input(value("z", FLOAT, &["k"]))
        .node(node("NonZero", "places", &["x"], &["places"]))
        .node(node("Transpose", "turned", &["places"], &["turned"]))
        .node(node("GatherND", "picked", &["x", "turned"], &["picked"]))
        .node(node("Add", "measured", &["picked", "y"], &["sum"]))
        .node(node("Add", "given", &["y", "z"], &["other"]))
        .output(value("sum", FLOAT, &[""]))
        .output(value("other", FLOAT, &[""]));
    let session = load(&draft);
    let run = |x: &[f32], y: usize, z: usize| {
        let list = |values: &[f32]| Tensor::new([values.len()], values).unwrap();
        let (y, z) = (vec![1.0; y], vec![2.0; z]);
        let outputs = session.run(&Tensors::from([("x", list(x)), ("y", list(&y)), ("z", list(&z))]));
        outputs.map(|outputs| outputs.get("sum").unwrap().as_slice::<f32>().unwrap().to_vec())
    };
    assert_eq!(run(&[0.0, 5.0, 7.0], 2, 2).unwrap(), [6.0, 8.0]);
    assert_eq!(run(&[0.0, 5.0, 0.0], 2, 1).unwrap(), [6.0, 6.0]);
    for (x, y, z, node) in [(&[4.0, 5.0, 7.0], 2, 2, "measured"), (&[0.0, 5.0, 7.0], 2, 3, "given")] {
        let error = run(x, y, z).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
        assert!(error.to_string().contains(node) && error.to_string().contains("cannot be broadcast"), "{error}");
    }
}

#[test]
fn sizes_that_explode_are_an_error_of_the_item() {
    let draft = Draft::new()
        .input(value("end", INT64, &[]))
        .initializer(integers("start", &[], &[0]))
        .initializer(integers("step", &[], &[1]))
        .node(node("Range", "numbers", &["start", "end", "step"], &["numbers"]))
        .output(value("numbers", INT64, &["count"]));
    let session = load(&draft);
    let run = |end: i64| session.run(&Tensors::from([("end", Tensor::scalar(end))]));
    assert_eq!(run(3).unwrap().get("numbers").unwrap(), &Tensor::new([3], &[0i64, 1, 2]).unwrap());
    assert_eq!(run(-3).unwrap().get("numbers").unwrap().shape(), [0]);
    for end in [1 << 47, 1 << 55, i64::MAX] {
        let error = run(end).unwrap_err();
        assert!(error.to_string().contains("numbers"), "{error}");
    }
    // The session still runs.
    assert_eq!(run(1).unwrap().get("numbers").unwrap().shape(), [1]);
}

#[test]
fn operands_that_do_not_fit_are_named() {
    let draft = Draft::new()
        .input(value("x", FLOAT, &["n", "3"]))
        .input(value("to", INT64, &["2"]))
        .node(node("Reshape", "shaped", &["x", "to"], &["y"]))
        .output(value("y", FLOAT, &["", ""]));
    let model = Model::from_bytes(&draft.bytes()).unwrap();
    let output = model.graph().outputs()[0];
    assert!(model.graph().fact(output).shape.dims().iter().all(|dim: &Dim| dim.as_fixed().is_none()));
    let session = model.session(&SessionOptions::on(Device::Cpu)).unwrap();
    let x = Tensor::zeros(DType::F32, [2, 3]).unwrap();
    let run = |to: &[i64]| {
        session.run(&Tensors::from([("x", x.clone()), ("to", Tensor::new([2], to).unwrap())])).map(|outputs| {
            let (_, tensor) = outputs.iter().next().unwrap();
            tensor.shape().to_vec()
        })
    };
    assert_eq!(run(&[3, -1]).unwrap(), [3, 2]);
    assert_eq!(run(&[0, 3]).unwrap(), [2, 3]);
    let error = run(&[4, 2]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.to_string().contains("shaped"), "{error}");
}

/// The nodes that drop the axis of `x`'s positions above zero, of which there must be one.
fn squeezing(draft: Draft, result: &str) -> Draft {
    draft
        .node(node("NonZero", "places", &["x"], &["places"]))
        .node(node("Transpose", "turned", &["places"], &["turned"]))
        .node(node("Squeeze", "squeezed", &["turned", "front"], &[result]))
}

/// The runs of a model that squeezes an axis of the size that a run finds.
fn check_squeezed(draft: Draft) {
    let session = load(&draft.input(value("x", FLOAT, &["n"])).initializer(integers("front", &[1], &[0])));
    let run = |x: &[f32]| {
        let condition = Tensor::from_bools([], &[true]).unwrap();
        let mut inputs = Tensors::from([("x", Tensor::new([x.len()], x).unwrap())]);
        if session.inputs().any(|(name, _)| name == "condition") {
            inputs.insert("condition", condition);
        }
        let outputs = session.run(&inputs)?;
        outputs.get("y").unwrap().as_slice::<i64>().map(<[i64]>::to_vec)
    };
    assert_eq!(run(&[0.0, 7.0]).unwrap(), [1]);
    for x in [&[3.0, 7.0][..], &[0.0], &[1.0, 1.0, 1.0]] {
        let error = run(x).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
        assert!(error.to_string().contains("squeezed"), "{error}");
    }
    assert_eq!(run(&[5.0, 0.0]).unwrap(), [0]);
}

#[test]
fn an_axis_that_a_run_finds_too_long_is_that_runs_error() {
    check_squeezed(squeezing(Draft::new(), "y").output(value("y", INT64, &["1"])));
}

#[test]
fn an_axis_that_a_branch_finds_too_long_is_that_runs_error() {
    let branch = |draft: Draft| draft.output(value("inside", INT64, &["1"])).graph();
    let other = Draft::new().node(node("Identity", "whole", &["front"], &["inside"]));
    let choose = node("If", "choose", &["condition"], &["y"])
        .message(5, &graph_attribute("then_branch", &branch(squeezing(Draft::new(), "inside"))))
        .message(5, &graph_attribute("else_branch", &branch(other)));
    check_squeezed(Draft::new().input(value("condition", BOOL, &[])).node(choose).output(value("y", INT64, &["1"])));
}

#[test]
fn an_axis_that_an_iteration_finds_too_long_is_that_runs_error() {
    let body = Draft::new()
        .input(value("at", INT64, &[]))
        .input(value("go", BOOL, &[]))
        .input(value("before", INT64, &["1"]))
        .node(node("Identity", "still", &["go"], &["again"]))
        .output(value("again", BOOL, &[]))
        .output(value("inside", INT64, &["1"]));
    let repeat = node("Loop", "repeat", &["twice", "", "front"], &["y"])
        .message(5, &graph_attribute("body", &squeezing(body, "inside").graph()));
    let draft = Draft::new().initializer(integers("twice", &[], &[2])).node(repeat);
    check_squeezed(draft.output(value("y", INT64, &["1"])));
}

/// Nodes that make `late`: 0, a half and 1, known when the model is loaded, but not yet while it is read.
fn late_constant(draft: Draft) -> Draft {
    let numbers = [("zero", 0), ("one", 1), ("three", 3)];
    let draft = numbers.iter().fold(draft, |draft, (name, number)| draft.initializer(integers(name, &[], &[*number])));
    draft
        .initializer(floats("half", &[], &[0.5]))
        .node(node("Range", "numbers", &["zero", "three", "one"], &["numbers"]))
        .node(node("Cast", "floats", &["numbers"], &["floats"]).message(5, &int("to", FLOAT)))
        .node(node("Mul", "halves", &["floats", "half"], &["late"]))
}

#[test]
fn a_size_that_is_known_only_once_constants_are_folded_is_no_fault() {
    let run = |own: Message, dims: &[&str], dtype: i64| {
        let draft = late_constant(Draft::new().input(value("x", FLOAT, &["n"])))
            .node(own)
            .node(node("Identity", "shown", &["found"], &["y"]))
            .node(node("Shape", "sizes", &["found"], &["shape"]))
            .node(node("Cast", "cast", &["shape"], &["cast_shape"]).message(5, &int("to", FLOAT)))
            .node(node("Add", "sum", &["cast_shape", "x"], &["z"]))
            .output(value("y", dtype, dims))
            .output(value("z", FLOAT, &[""]));
        let outputs = load(&draft).run(&Tensors::from([("x", Tensor::new([1], &[0.25f32]).unwrap())])).unwrap();
        (outputs.get("y").unwrap().clone(), outputs.get("z").unwrap().as_slice::<f32>().unwrap().to_vec())
    };
    let (y, z) = run(node("Unique", "own", &["late"], &["found", "places"]), &[""], FLOAT);
    assert_eq!((y.as_slice::<f32>().unwrap(), z), (&[0.0, 0.5, 1.0][..], vec![3.25]));
    let (y, z) = run(node("NonZero", "own", &["late"], &["found"]), &["1", ""], INT64);
    assert_eq!((y, z), (Tensor::new([1, 2], &[1i64, 2]).unwrap(), vec![1.25, 2.25]));
    let flags = late_constant(Draft::new().input(value("x", FLOAT, &["n"])))
        .node(node("Cast", "flags", &["late"], &["flags"]).message(5, &int("to", BOOL)))
        .node(node("Compress", "own", &["late", "flags"], &["found"]))
        .node(node("Mul", "product", &["found", "x"], &["y"]))
        .output(value("y", FLOAT, &[""]));
    let outputs = load(&flags).run(&Tensors::from([("x", Tensor::new([1], &[4f32]).unwrap())])).unwrap();
    assert_eq!(outputs.get("y").unwrap().as_slice::<f32>().unwrap(), [2.0, 4.0]);
}

#[test]
fn axes_that_are_known_only_once_constants_are_folded_leave_the_other_sizes_open() {
    let draft = late_constant(Draft::new().input(value("x", FLOAT, &["n", "3"])).input(value("from", INT64, &["1"])))
        .initializer(integers("end", &[1], &[100]))
        .initializer(integers("first", &[1], &[0]))
        .node(node("Gather", "number", &["late", "first"], &["number"]))
        .node(node("Cast", "axis", &["number"], &["axis"]).message(5, &int("to", INT64)))
        .node(node("Slice", "cut", &["x", "from", "end", "axis"], &["part"]))
        .node(node("Add", "sum", &["part", "late"], &["y"]))
        .output(value("y", FLOAT, &["", "3"]));
    let session = load(&draft);
    let x = Tensor::new([2, 3], &[1f32, 2.0, 3.0, 4.0, 5.0, 6.0]).unwrap();
    let run = |from: i64| {
        let inputs = Tensors::from([("x", x.clone()), ("from", Tensor::new([1], &[from]).unwrap())]);
        session.run(&inputs).unwrap().get("y").unwrap().clone()
    };
    assert_eq!(run(1), Tensor::new([1, 3], &[4f32, 5.5, 7.0]).unwrap());
    assert_eq!(run(-5).shape(), [2, 3]);
    assert_eq!(run(2).shape(), [0, 3]);
}

#[test]
fn a_measured_size_of_zero_in_a_new_shape_copies_as_onnx_has_it() {
    let draft = Draft::new()
        .input(value("x", FLOAT, &["n", "2", "m"]))
        .input(value("flags", BOOL, &[""]))
        .initializer(integers("last", &[1], &[2]))
        .initializer(integers("rest", &[2], &[2, -1]))
        .node(node("Compress", "kept", &["x", "flags"], &["kept"]).message(5, &int("axis", 2)))
        .node(node("Shape", "sizes", &["kept"], &["sizes"]))
        .node(node("Gather", "size", &["sizes", "last"], &["size"]))
        .node(node("Concat", "to", &["size", "rest"], &["to"]).message(5, &int("axis", 0)))
        .node(node("Reshape", "shaped", &["kept", "to"], &["y"]))
        .output(value("y", FLOAT, &["", "", ""]));
    let session = load(&draft);
    let run = |flags: &[bool]| {
        let x: Vec<f32> = (0..3 * 2 * flags.len()).map(|number| number as f32).collect();
        let x = Tensor::new([3, 2, flags.len()], &x).unwrap();
        let inputs = Tensors::from([("x", x), ("flags", Tensor::from_bools([flags.len()], flags).unwrap())]);
        session.run(&inputs).unwrap().get("y").unwrap().clone()
    };
    assert_eq!(run(&[true, false]), Tensor::new([1, 2, 3], &[0f32, 2.0, 4.0, 6.0, 8.0, 10.0]).unwrap());
    // Size 0 stands for that of the operand's first axis.
    assert_eq!(run(&[false, false]).shape(), [3, 2, 0]);
}

#[test]
fn an_image_is_resized_to_sizes_that_a_run_gives() {
    let draft = Draft::new()
        .input(value("x", FLOAT, &["1", "1", "h", "w"]))
        .input(value("to", INT64, &["4"]))
        .node(node("Resize", "grown", &["x", "", "", "to"], &["y"]))
        .output(value("y", FLOAT, &["1", "1", "", ""]));
    let session = load(&draft);
    let x = Tensor::new([1, 1, 1, 2], &[3f32, 7.0]).unwrap();
    let run = |to: [i64; 4]| {
        let inputs = Tensors::from([("x", x.clone()), ("to", Tensor::new([4], &to).unwrap())]);
        session.run(&inputs).map(|outputs| outputs.get("y").unwrap().clone())
    };
    assert_eq!(run([1, 1, 1, 4]).unwrap(), Tensor::new([1, 1, 1, 4], &[3f32, 3.0, 7.0, 7.0]).unwrap());
    assert_eq!(run([1, 1, 2, 1]).unwrap().shape(), [1, 1, 2, 1]);
    let error = run([1, 1, -2, 1]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    assert!(error.to_string().contains("grown"), "{error}");
}

#[test]
fn sizes_whose_expressions_grow_without_end_are_measured() {
    // Each layer changes the last rows of the one before and joins all again, as DINOv3 turns its patches.
    const LAYERS: usize = 8;
    let mut draft = Draft::new()
        .input(value("x0", FLOAT, &["b", "n", "4"]))
        .input(value("r", FLOAT, &["m", "4"]))
        .initializer(integers("zero", &[], &[0]))
        .initializer(integers("one", &[], &[1]))
        .initializer(integers("axis", &[1], &[0]))
        .initializer(integers("rows", &[1], &[1]))
        .initializer(integers("cut", &[3], &[-1, 2, 2]))
        .initializer(integers("whole", &[1], &[4]))
        .node(node("Shape", "of_r", &["r"], &["of_r"]))
        .node(node("Gather", "count", &["of_r", "zero"], &["count"]))
        .node(node("Unsqueeze", "counts", &["count", "axis"], &["counts"]));
    for layer in 0..LAYERS {
        let of = |name: &str| format!("{name}{layer}");
        let (x, next) = (of("x"), format!("x{}", layer + 1));
        let steps: [(&str, &[&str], &str); 16] = [
            ("Shape", &[&x], "shape"),
            ("Gather", &[&of("shape"), "zero"], "batch"),
            ("Unsqueeze", &[&of("batch"), "axis"], "batches"),
            ("Gather", &[&of("shape"), "one"], "size"),
            ("Sub", &[&of("size"), "count"], "first"),
            ("Unsqueeze", &[&of("first"), "axis"], "firsts"),
            ("Add", &[&of("firsts"), "counts"], "end"),
            ("Slice", &[&x, "axis", &of("firsts"), "rows"], "kept"),
            ("Slice", &[&x, &of("firsts"), &of("end"), "rows"], "turned"),
            ("Mul", &[&of("turned"), "r"], "product"),
            ("Concat", &[&of("kept"), &of("product")], "joined"),
            ("Concat", &[&of("batches"), "cut"], "heads"),
            ("Reshape", &[&of("joined"), &of("heads")], "split"),
            ("Unsqueeze", &[&of("size"), "axis"], "sizes"),
            ("Concat", &[&of("batches"), &of("sizes"), "whole"], "back"),
            ("Reshape", &[&of("split"), &of("back")], "x"),
        ];
        for (op, inputs, output) in steps {
            let output = if output == "x" { next.clone() } else { of(output) };
            let made = node(op, &output, inputs, &[&output]);
            let axis = if output == of("joined") { 1 } else { 0 };
            draft = draft.node(if op == "Concat" { made.message(5, &int("axis", axis)) } else { made });
        }
    }
    let last = format!("x{LAYERS}");
    let session = load(&draft.output(value(&last, FLOAT, &["", "", ""])));
    for (batch, rows, turned) in [(1, 3, 2), (2, 5, 1), (1, 4, 4)] {
        let x: Vec<f32> = (0..batch * rows * 4).map(|number| number as f32).collect();
        let inputs = Tensors::from([
            ("x0", Tensor::new([batch, rows, 4], &x).unwrap()),
            ("r", Tensor::new([turned, 4], &vec![2.0f32; turned * 4]).unwrap()),
        ]);
        let is_turned = |at: usize| at / 4 % rows >= rows - turned;
        let factor = (1 << LAYERS) as f32;
        let want: Vec<f32> = x.iter().enumerate().map(|(at, x)| if is_turned(at) { x * factor } else { *x }).collect();
        let got = session.run(&inputs).unwrap();
        assert_eq!(got.get(&last).unwrap(), &Tensor::new([batch, rows, 4], &want).unwrap());
    }
}

/// As PyTorch writes `repeat_interleave`: one part for each number, whose size is known although their number is not.
#[test]
fn parts_of_a_list_of_ones_have_a_size() {
    let one = integers("", &[1], &[1]);
    let filled = node("ConstantOfShape", "ones", &["length"], &["ones"]).message(5, &tensor_attribute("value", &one));
    let draft = Draft::new()
        .input(value("x", FLOAT, &["1", "1"]))
        .input(value("counts", INT64, &["n"]))
        .initializer(integers("two", &[1], &[2]))
        .initializer(integers("place", &[], &[1]))
        .node(node("Shape", "length", &["counts"], &["length"]))
        .node(filled)
        .node(node("SplitToSequence", "parts", &["counts", "ones"], &["parts"]))
        .node(node("SequenceAt", "part", &["parts", "place"], &["part"]))
        .node(node("Concat", "shape", &["two", "part"], &["shape"]).message(5, &int("axis", 0)))
        .node(node("Expand", "wide", &["x", "shape"], &["y"]))
        .output(value("y", FLOAT, &["", ""]));
    let session = load(&draft);
    let run = |counts: &[i64]| {
        let counts = Tensor::new([counts.len()], counts).unwrap();
        session.run(&Tensors::from([("x", Tensor::new([1, 1], &[5f32]).unwrap()), ("counts", counts)]))
    };
    assert_eq!(run(&[7, 3, 9]).unwrap().get("y").unwrap(), &Tensor::new([2, 3], &[5f32; 6]).unwrap());
    assert!(run(&[7]).is_err());
}

#[test]
fn rows_with_a_size_that_a_run_measures_run_together() {
    // PyTorch's ranges up to opset 10.
    let draft = Draft::new()
        .input(value("x", FLOAT, &["rows", "columns"]))
        .initializer(integers("one", &[], &[1]))
        .initializer(integers("axis", &[1], &[0]))
        .node(node("Shape", "shape", &["x"], &["shape"]))
        .node(node("Gather", "columns", &["shape", "one"], &["columns"]))
        .node(node("Unsqueeze", "list", &["columns", "axis"], &["list"]))
        .node(node("ConstantOfShape", "zeros", &["list"], &["zeros"]))
        .node(node("Cos", "ones", &["zeros"], &["ones"]))
        .node(node("NonZero", "places", &["ones"], &["places"]))
        .node(node("CastLike", "numbers", &["places", "x"], &["numbers"]))
        .node(node("Add", "y", &["x", "numbers"], &["y"]))
        .output(value("y", FLOAT, &["rows", ""]));
    let session = std::sync::Arc::new(load(&draft));
    let item = |rows: usize| Tensors::from([("x", Tensor::new([rows, 3], &vec![0.5_f32; rows * 3]).unwrap())]);
    let items: Vec<Tensors> = (1..40).map(|rows| item(rows % 3 + 1)).collect();
    let (results, _) = Bulk::new(session).workers(2).run(&items);
    for (item, result) in items.iter().zip(results) {
        let want = [0.5_f32, 1.5, 2.5].repeat(item.get("x").unwrap().shape()[0]);
        assert_eq!(result.unwrap().get("y").unwrap().as_slice::<f32>().unwrap(), want);
    }
}

#[test]
fn lists_of_unknown_length_leave_the_number_of_dimensions() {
    let draft = Draft::new()
        .input(value("x", FLOAT, &["n", "4"]))
        .input(value("starts", INT64, &["count"]))
        .input(value("ends", INT64, &["count"]))
        .node(node("Slice", "cut", &["x", "starts", "ends"], &["cut"]))
        .node(node("ReduceSum", "sum", &["cut", "starts"], &["sum"]))
        .output(value("cut", FLOAT, &["", ""]))
        .output(value("sum", FLOAT, &["", ""]));
    let session = load(&draft);
    let x = Tensor::new([3, 4], &std::array::from_fn::<f32, 12, _>(|at| at as f32)).unwrap();
    let list = |values: &[i64]| Tensor::new([values.len()], values).unwrap();
    for (starts, ends, shape, cut, sum) in [
        (vec![1], vec![3], [2, 4], vec![4.0_f32, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0], vec![22.0, 38.0]),
        (vec![0, 1], vec![2, 3], [2, 2], vec![1.0, 2.0, 5.0, 6.0], vec![14.0]),
    ] {
        let item = Tensors::from([("x", x.clone()), ("starts", list(&starts)), ("ends", list(&ends))]);
        let outputs = session.run(&item).unwrap();
        assert_eq!(outputs.get("cut").unwrap(), &Tensor::new(shape, &cut).unwrap());
        assert_eq!(outputs.get("sum").unwrap().as_slice::<f32>().unwrap(), sum);
    }
}
