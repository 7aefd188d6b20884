//! How ONNX nodes are read: attribute and operand forms of the operators, by opset.

use std::sync::Arc;

use gristmill::{
    DType, ErrorKind, Result, Tensor,
    testing::{
        graph::{Graph, ValueId},
        op::{Attribute, OnnxNode},
        ops,
        shape::{Dim, Shape},
    },
};

/// A graph under construction, with one symbolic input `x`.
struct Build {
    graph: Graph,
    opset: i64,
}

impl Build {
    fn new(opset: i64, dims: &[&str]) -> (Self, ValueId) {
        let mut graph = Graph::new("decoded");
        let shape = dims
            .iter()
            .map(|dim| dim.parse::<usize>().map_or_else(|_| Dim::symbol(graph.symbol(dim)), Dim::from))
            .collect::<Shape>();
        let input = graph.input("x", DType::F32, shape);
        (Self { graph, opset }, input)
    }

    fn integers(&mut self, values: &[i64]) -> ValueId {
        self.graph.constant("integers", Tensor::new([values.len()], values).unwrap())
    }

    fn node(&mut self, op: &str, attributes: &[(&str, Attribute)], inputs: &[Option<ValueId>]) -> Result<ValueId> {
        let attributes = attributes.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        let mut node = OnnxNode::new(&self.graph, self.opset, op, attributes, inputs.to_vec(), 1);
        let operator = ops::decode("", &mut node)?;
        let inputs = node.finish()?;
        Ok(self.graph.node(op, operator, inputs)?[0])
    }

    fn shape(&self, id: ValueId) -> String {
        self.graph.fact(id).shape.to_string()
    }
}

fn text(value: &str) -> Attribute {
    Attribute::String(value.to_owned())
}

fn ints(values: &[i64]) -> Attribute {
    Attribute::Ints(values.to_vec())
}

#[test]
fn squeeze_unsqueeze_and_flatten_are_reshapes() {
    let (mut old, x) = Build::new(11, &["n", "1", "t", "1"]);
    let squeezed = old.node("Squeeze", &[("axes", ints(&[-1]))], &[Some(x)]).unwrap();
    assert_eq!(old.shape(squeezed), "[s0, 1, s1]");
    // Without axes, the run would choose them.
    assert_eq!(old.node("Squeeze", &[], &[Some(x)]).unwrap_err().kind(), ErrorKind::Unsupported);
    let fixed = old.graph.constant("fixed", Tensor::zeros(DType::F32, [1, 3, 1]).unwrap());
    let all = old.node("Squeeze", &[], &[Some(fixed)]).unwrap();
    assert_eq!(old.shape(all), "[3]");
    let (mut new, x) = Build::new(13, &["n", "t", "3"]);
    let axes = new.integers(&[1, -1]);
    let grown = new.node("Unsqueeze", &[], &[Some(x), Some(axes)]).unwrap();
    assert_eq!(new.shape(grown), "[s0, 1, s1, 3, 1]");
    let flat = new.node("Flatten", &[("axis", Attribute::Int(2))], &[Some(x)]).unwrap();
    assert_eq!(new.shape(flat), "[s0*s1, 3]");
    let flat = new.node("Flatten", &[], &[Some(x)]).unwrap();
    assert_eq!(new.shape(flat), "[s0, 3*s1]");
    let end = new.node("Flatten", &[("axis", Attribute::Int(3))], &[Some(x)]).unwrap();
    assert_eq!(new.shape(end), "[3*s0*s1, 1]");
    let wrong = new.integers(&[2]);
    assert_eq!(new.node("Squeeze", &[], &[Some(x), Some(wrong)]).unwrap_err().kind(), ErrorKind::InvalidModel);
    // Other sizes given later pass through.
    new.graph.fix_symbol("t", 7).unwrap();
    assert_eq!(new.shape(grown), "[s0, 1, 7, 3, 1]");
}

#[test]
fn slices_are_attributes_up_to_opset_9_and_operands_since() {
    let (mut old, x) = Build::new(9, &["n", "t", "8"]);
    let attributes = [("starts", ints(&[1, 0])), ("ends", ints(&[i64::MAX, -1])), ("axes", ints(&[2, 1]))];
    let sliced = old.node("Slice", &attributes, &[Some(x)]).unwrap();
    assert_eq!(old.shape(sliced), "[s0, s1-1, 7]");
    let (mut new, x) = Build::new(13, &["n", "t", "8"]);
    let [starts, ends, axes, steps] = [&[-1][..], &[i64::MIN], &[-1], &[-3]].map(|values| Some(new.integers(values)));
    let sliced = new.node("Slice", &[], &[Some(x), starts, ends, axes, steps]).unwrap();
    assert_eq!(new.shape(sliced), "[s0, s1, 3]");
    let first = [Some(new.integers(&[0])), Some(new.integers(&[1])), Some(new.integers(&[1]))];
    let sliced = new.node("Slice", &[], &[Some(x), first[0], first[1], first[2]]).unwrap();
    assert_eq!(new.shape(sliced), "[s0, 1, 8]");
    // Without axes the first ones are meant; an absent operand in the middle keeps its place.
    let two = Some(new.integers(&[2]));
    let sliced = new.node("Slice", &[], &[Some(x), first[1], two, None, first[1]]).unwrap();
    assert_eq!(new.shape(sliced), "[min(s0, 2)-1, s1, 8]");
    let uneven = new.node("Slice", &[], &[Some(x), first[0], starts.or(two), axes, Some(x)]);
    assert_eq!(uneven.unwrap_err().kind(), ErrorKind::Unsupported);
    let none = Some(new.integers(&[0]));
    let stuck = new.node("Slice", &[], &[Some(x), first[0], two, first[2], none]);
    assert_eq!(stuck.unwrap_err().kind(), ErrorKind::InvalidModel);
}

#[test]
fn a_slice_up_to_an_inputs_size() {
    let (mut build, x) = Build::new(17, &["n", "t"]);
    let shape = build.node("Shape", &[("start", Attribute::Int(1))], &[Some(x)]).unwrap();
    let table = build.graph.constant("table", Tensor::zeros(DType::F32, [1, 512]).unwrap());
    let [zero, one] = [0, 1].map(|value| Some(build.integers(&[value])));
    let head = build.node("Slice", &[], &[Some(table), zero, Some(shape), one]).unwrap();
    assert_eq!(build.shape(head), "[1, min(s1, 512)]");
    // A size that meets its minimum with a table's is the size.
    let met = build.node("Add", &[], &[Some(x), Some(head)]).unwrap();
    assert_eq!(build.shape(met), "[s0, s1]");
    let fixed = Some(build.integers(&[128]));
    let head = build.node("Slice", &[], &[Some(x), zero, fixed, one]).unwrap();
    assert_eq!(build.shape(head), "[s0, min(s1, 128)]");
}

#[test]
fn splits_by_attribute_operand_and_number() {
    let (mut build, x) = Build::new(18, &["n", "9"]);
    let split = |build: &mut Build, attributes: &[(&str, Attribute)], inputs: &[Option<ValueId>], count| {
        let attributes = attributes.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        let mut node = OnnxNode::new(&build.graph, 18, "Split", attributes, inputs.to_vec(), count);
        let operator = ops::find_onnx("", "Split").unwrap()(&mut node)?;
        let inputs = node.finish()?;
        let outputs = build.graph.node("split", operator, inputs)?;
        Ok::<_, gristmill::Error>(outputs.into_iter().map(|id| build.shape(id)).collect::<Vec<_>>().join(" "))
    };
    let axis = ("axis", Attribute::Int(1));
    assert_eq!(split(&mut build, &[axis.clone(), ("split", ints(&[2, 7]))], &[Some(x)], 2).unwrap(), "[s0, 2] [s0, 7]");
    let sizes = build.integers(&[4, 5]);
    assert_eq!(split(&mut build, std::slice::from_ref(&axis), &[Some(x), Some(sizes)], 2).unwrap(), "[s0, 4] [s0, 5]");
    let number = [axis.clone(), ("num_outputs", Attribute::Int(2))];
    assert_eq!(split(&mut build, &number, &[Some(x)], 2).unwrap(), "[s0, 5] [s0, 4]");
    assert_eq!(split(&mut build, std::slice::from_ref(&axis), &[Some(x)], 3).unwrap(), "[s0, 3] [s0, 3] [s0, 3]");
    let wrong = build.integers(&[4, 4]);
    assert!(split(&mut build, &[axis], &[Some(x), Some(wrong)], 2).is_err());
}

#[test]
fn pads_by_attribute_and_operand() {
    let (mut old, x) = Build::new(10, &["n", "4"]);
    let attributes = [("pads", ints(&[0, 1, 0, 2])), ("value", Attribute::Float(0.5))];
    let padded = old.node("Pad", &attributes, &[Some(x)]).unwrap();
    assert_eq!(old.shape(padded), "[s0, 7]");
    let (mut new, x) = Build::new(18, &["n", "4"]);
    let value = new.graph.constant("value", Tensor::scalar(1f32));
    let [pads, axes] = [&[3, -1][..], &[-1]].map(|values| Some(new.integers(values)));
    let padded = new.node("Pad", &[], &[Some(x), pads, Some(value), axes]).unwrap();
    assert_eq!(new.shape(padded), "[s0, 6]");
    let padded = new.node("Pad", &[("mode", Attribute::String("edge".into()))], &[Some(x), pads, None, axes]).unwrap();
    assert_eq!(new.shape(padded), "[s0, 6]");
    let mode = [("mode", Attribute::String("sideways".into()))];
    assert_eq!(new.node("Pad", &mode, &[Some(x), pads, None, axes]).unwrap_err().kind(), ErrorKind::Unsupported);
    assert!(new.node("Pad", &[], &[Some(x), pads]).is_err());
}

#[test]
fn constants_in_each_form() {
    let (mut build, _) = Build::new(13, &["n"]);
    let tensor = Arc::new(Tensor::scalar(3u8));
    for (attribute, want) in [
        (("value", Attribute::Tensor(tensor)), "u8[]"),
        (("value_float", Attribute::Float(1.5)), "f32[]"),
        (("value_floats", Attribute::Floats(vec![1.5, 2.0])), "f32[2]"),
        (("value_int", Attribute::Int(4)), "i64[]"),
        (("value_ints", Attribute::Ints(vec![])), "i64[0]"),
    ] {
        let constant = build.node("Constant", &[attribute], &[]).unwrap();
        assert_eq!(build.graph.fact(constant).to_string(), want);
    }
    assert!(build.node("Constant", &[], &[]).is_err());
}

#[test]
fn ranges_of_sizes_and_of_numbers() {
    let (mut build, x) = Build::new(13, &["n", "t"]);
    let size = build.node("Size", &[], &[Some(x)]).unwrap();
    let [zero, one] = [0i64, 1].map(|value| Some(build.graph.constant("number", Tensor::scalar(value))));
    let range = build.node("Range", &[], &[zero, Some(size), one]).unwrap();
    assert_eq!(build.graph.fact(range).to_string(), "i64[s0*s1]");
    let floats = [0f32, 1.0, 0.25].map(|value| Some(build.graph.constant("number", Tensor::scalar(value))));
    let range = build.node("Range", &[], &floats).unwrap();
    assert_eq!(build.graph.fact(range).to_string(), "f32[4]");
    let endless = [0f32, 1e30, 1e-3].map(|value| Some(build.graph.constant("number", Tensor::scalar(value))));
    assert_eq!(build.node("Range", &[], &endless).unwrap_err().kind(), ErrorKind::Limit);
    assert!(build.node("Range", &[], &[zero, Some(size), zero]).is_err());
}

#[test]
fn a_shape_built_of_sizes_reaches_its_users() {
    let (mut build, x) = Build::new(13, &["n", "t", "8"]);
    let shape = build.node("Shape", &[], &[Some(x)]).unwrap();
    let [first, tail] = [&[0][..], &[1, -1]].map(|values| Some(build.integers(values)));
    let batch = build.node("Gather", &[], &[Some(shape), first]).unwrap();
    let built = build.node("Concat", &[("axis", Attribute::Int(0))], &[Some(batch), tail]).unwrap();
    assert_eq!(build.graph.fact(built).elements.as_ref().map(|all| format!("{all:?}")).unwrap(), "[s0, 1, -1]");
    let ones = build.integers(&[1, 1]);
    let narrow = build.node("Concat", &[("axis", Attribute::Int(0))], &[Some(batch), Some(ones)]).unwrap();
    let zeros = build.node("ConstantOfShape", &[], &[Some(narrow)]).unwrap();
    assert_eq!(build.graph.fact(zeros).to_string(), "f32[s0, 1, 1]");
    let expanded = build.node("Expand", &[], &[Some(zeros), Some(shape)]).unwrap();
    assert_eq!(build.shape(expanded), "[s0, s1, 8]");
    let tiled = build.node("Tile", &[], &[Some(zeros), Some(narrow)]).unwrap();
    assert_eq!(build.shape(tiled), "[s0*s0, 1, 1]");
    let to = [("to", Attribute::Int(16))];
    let cast = build.node("Cast", &to, &[Some(x)]).unwrap();
    assert_eq!(build.graph.fact(cast).to_string(), "bf16[s0, s1, 8]");
    let like = build.node("CastLike", &[], &[Some(x), Some(shape)]).unwrap();
    assert_eq!(build.graph.fact(like).dtype, DType::I64);
    let complex = [("to", Attribute::Int(14))];
    assert_eq!(build.node("Cast", &complex, &[Some(x)]).unwrap_err().kind(), ErrorKind::Unsupported);
}

#[test]
fn dropout_is_nothing_at_inference() {
    let (mut build, x) = Build::new(13, &["n"]);
    let ratio = build.graph.constant("ratio", Tensor::scalar(0.5f32));
    let [off, on] = [false, true].map(|value| build.graph.constant("on", Tensor::from_bools([], &[value]).unwrap()));
    let dropped = build.node("Dropout", &[], &[Some(x), Some(ratio), Some(off)]).unwrap();
    assert_eq!(build.shape(dropped), "[s0]");
    let training = build.node("Dropout", &[], &[Some(x), Some(ratio), Some(on)]);
    assert_eq!(training.unwrap_err().kind(), ErrorKind::Unsupported);
}

#[test]
fn results_whose_size_depends_on_data_are_measured() {
    let (mut build, x) = Build::new(13, &["n"]);
    let found = build.node("NonZero", &[], &[Some(x)]).unwrap();
    assert_eq!(build.shape(found), "[1, s1]");
    let different = build.node("Unique", &[], &[Some(x)]).unwrap();
    assert_eq!(build.shape(different), "[s2]");
    // So is a shape that is an input, as long as it tells the number of dimensions.
    let shape = build.graph.input("shape", DType::I64, Shape::fixed(&[2]));
    let filled = build.node("ConstantOfShape", &[], &[Some(shape)]).unwrap();
    assert_eq!(build.shape(filled), "[s3, s4]");
    let several = build.graph.symbol("several");
    let shape = build.graph.input("dims", DType::I64, Shape::new(vec![Dim::symbol(several)]));
    assert_eq!(build.node("ConstantOfShape", &[], &[Some(shape)]).unwrap_err().kind(), ErrorKind::Unsupported);
    // Of a constant everything is known.
    let constant = Some(build.integers(&[3, 0, 0, 7]));
    let found = build.node("NonZero", &[], &[constant]).unwrap();
    assert_eq!(build.shape(found), "[1, 2]");
}

#[test]
fn the_first_elements_by_attribute_and_operand() {
    let (mut old, x) = Build::new(9, &["n", "9"]);
    let best = old.node("TopK", &[("k", Attribute::Int(3))], &[Some(x)]).unwrap();
    assert_eq!(old.shape(best), "[s0, 3]");
    let (mut new, x) = Build::new(11, &["n", "9"]);
    let count = Some(new.integers(&[10]));
    assert!(new.node("TopK", &[], &[Some(x), count]).is_err());
    let place = new.node("ArgMax", &[("axis", Attribute::Int(-1)), ("keepdims", Attribute::Int(0))], &[Some(x)]);
    assert_eq!(new.graph.fact(place.unwrap()).to_string(), "i64[s0]");
}

#[test]
fn convolutions_and_pools_take_windows_in_every_form() {
    let (mut build, x) = Build::new(11, &["n", "4", "t", "9"]);
    let weights = |build: &mut Build, shape: &[usize]| {
        Some(build.graph.constant("weights", Tensor::zeros(DType::F32, shape).unwrap()))
    };
    let w = weights(&mut build, &[6, 2, 3, 2]);
    let two = ("group", Attribute::Int(2));
    let plain = build.node("Conv", std::slice::from_ref(&two), &[Some(x), w]).unwrap();
    assert_eq!(build.shape(plain), "[s0, 6, s1-2, 8]");
    let all = [
        two.clone(),
        ("kernel_shape", ints(&[3, 2])),
        ("strides", ints(&[1, 3])),
        ("dilations", ints(&[1, 2])),
        ("pads", ints(&[1, 0, 1, 3])),
        ("auto_pad", text("NOTSET")),
    ];
    let full = build.node("Conv", &all, &[Some(x), w]).unwrap();
    assert_eq!(build.shape(full), "[s0, 6, s1, 4]");
    let same = [two.clone(), ("auto_pad", text("SAME_UPPER")), ("strides", ints(&[1, 2]))];
    let same = build.node("Conv", &same, &[Some(x), w]).unwrap();
    assert_eq!(build.shape(same), "[s0, 6, s1, 5]");
    let valid = [two.clone(), ("auto_pad", text("VALID"))];
    let valid = build.node("Conv", &valid, &[Some(x), w]).unwrap();
    assert_eq!(build.shape(valid), "[s0, 6, s1-2, 8]");
    let window = ("kernel_shape", ints(&[1, 2]));
    let ceil = [window.clone(), ("strides", ints(&[1, 2])), ("ceil_mode", Attribute::Int(1))];
    for (op, extra) in [("MaxPool", ("storage_order", 0)), ("AveragePool", ("count_include_pad", 1))] {
        let mut attributes = ceil.to_vec();
        attributes.push((extra.0, Attribute::Int(extra.1)));
        let pool = build.node(op, &attributes, &[Some(x)]).unwrap();
        assert_eq!(build.shape(pool), "[s0, 4, s1, 5]");
    }
    let global = build.node("GlobalAveragePool", &[], &[Some(x)]).unwrap();
    assert_eq!(build.shape(global), "[s0, 4, 1, 1]");
    let refused: &[(&str, &[(&str, Attribute)])] = &[
        ("Conv", &[]),
        ("Conv", &[("group", Attribute::Int(0))]),
        ("Conv", &[two.clone(), ("kernel_shape", ints(&[3, 3]))]),
        ("Conv", &[two.clone(), ("strides", ints(&[0, 1]))]),
        ("Conv", &[two.clone(), ("strides", ints(&[1]))]),
        ("Conv", &[two.clone(), ("strides", ints(&[1, i64::MAX]))]),
        ("Conv", &[two.clone(), ("pads", ints(&[-1, 0, 0, 0]))]),
        ("Conv", &[two.clone(), ("pads", ints(&[0, 0]))]),
        ("Conv", &[two.clone(), ("auto_pad", text("SOME"))]),
        ("Conv", &[two.clone(), ("dilations", ints(&[1, 30]))]),
        ("MaxPool", &[]),
        ("MaxPool", &[("kernel_shape", ints(&[1, 30]))]),
        ("MaxPool", &[window.clone(), ("pads", ints(&[0, 2, 0, 0]))]),
    ];
    for (op, attributes) in refused {
        let operands = if *op == "Conv" { vec![Some(x), w] } else { vec![Some(x)] };
        let error = build.node(op, attributes, &operands).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidModel, "{attributes:?}: {error}");
    }
    let unknown = build.node("Conv", &[two, ("pad", ints(&[1]))], &[Some(x), w]).unwrap_err();
    assert_eq!(unknown.kind(), ErrorKind::Unsupported);
}

#[test]
fn products_are_read_and_checked() {
    let (mut build, x) = Build::new(13, &["n", "8"]);
    let matrix = |build: &mut Build, shape: &[usize]| {
        Some(build.graph.constant("matrix", Tensor::zeros(DType::F32, shape).unwrap()))
    };
    let (w, turned) = (matrix(&mut build, &[8, 3]), matrix(&mut build, &[3, 8]));
    let product = build.node("MatMul", &[], &[Some(x), w]).unwrap();
    assert_eq!(build.shape(product), "[s0, 3]");
    let attributes = [("alpha", Attribute::Float(0.5)), ("transB", Attribute::Int(1)), ("transA", Attribute::Int(0))];
    let (row, wide) = (matrix(&mut build, &[3]), matrix(&mut build, &[4]));
    let gemm = build.node("Gemm", &attributes, &[Some(x), turned, row]).unwrap();
    assert_eq!(build.shape(gemm), "[s0, 3]");
    assert!(build.node("MatMul", &[], &[Some(x), turned]).is_err());
    assert!(build.node("Gemm", &[], &[Some(x), turned]).is_err());
    assert!(build.node("Gemm", &attributes, &[Some(x), turned, wide]).is_err());
    assert!(build.node("Gemm", &[("transB", Attribute::Int(2))], &[Some(x), turned]).is_err());
}
