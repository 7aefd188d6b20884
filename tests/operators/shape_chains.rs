//! What a model computes from shapes is known when it is loaded, and right when it is not.

use std::sync::Arc;

use gristmill::{
    DType, Device, Session, SessionOptions, Tensor, Tensors,
    testing::{
        graph::{Graph, ValueId},
        op::Operator,
        ops::{
            generate::{
                constant::Constant,
                range::Range,
                shape_of::{ShapeOf, Size},
            },
            index::{
                gather::{Gather, OutOfRange},
                gather_elements::GatherElements,
                gather_nd::GatherNd,
                scatter::{Join, ScatterNd},
            },
            moves::{
                concat::Concat,
                expand::Expand,
                pad::{Pad, PadMode},
                reshape::Reshape,
                slice::{Part, Slice},
                split::{Parts, Split},
                tile::Tile,
                transpose::Transpose,
            },
            pointwise::{Binary, BinaryFunction, Unary, UnaryFunction, cast::Cast, select::Where},
        },
        rewrite,
        shape::{Dim, Shape},
    },
};

/// A graph with one input `x` of f32, its dimensions numbers or names.
fn graph(dims: &[&str]) -> (Graph, ValueId) {
    let mut graph = Graph::new("shapes");
    let shape: Shape = dims
        .iter()
        .map(|dim| dim.parse::<usize>().map_or_else(|_| Dim::symbol(graph.symbol(dim)), Dim::from))
        .collect();
    let input = graph.input("x", DType::F32, shape);
    (graph, input)
}

fn apply(graph: &mut Graph, op: impl Operator, inputs: &[ValueId]) -> ValueId {
    graph.apply("node", op, inputs).unwrap()
}

fn integers(graph: &mut Graph, values: &[i64]) -> ValueId {
    graph.constant("integers", Tensor::new([values.len()], values).unwrap())
}

fn elements(graph: &Graph, id: ValueId) -> String {
    graph.fact(id).elements.as_ref().map_or_else(|| "unknown".to_owned(), |all| format!("{all:?}"))
}

fn shape_of(graph: &mut Graph, input: ValueId) -> ValueId {
    apply(graph, ShapeOf { start: 0, end: None }, &[input])
}

fn part(axis: usize, start: i64, end: i64, step: i64) -> Slice {
    Slice { parts: vec![Part { axis, start: Dim::number(start), end: Dim::number(end), step }] }
}

/// Shape -> Cast to i32 -> Slice -> Concat -> Cast to i64, as the TensorFlow exporter writes it.
fn chain(graph: &mut Graph, input: ValueId) -> ValueId {
    let shape = shape_of(graph, input);
    let narrow = apply(graph, Cast { to: DType::I32 }, &[shape]);
    let batch = apply(graph, part(0, 0, 1, 1), &[narrow]);
    let rest = graph.constant("rest", Tensor::new([2], &[-1i32, 8]).unwrap());
    let joined = apply(graph, Concat { axis: 0 }, &[batch, rest]);
    apply(graph, Cast { to: DType::I64 }, &[joined])
}

#[test]
fn an_exporters_chain_stays_known() {
    let (mut graph, x) = graph(&["n", "2048", "3"]);
    let end = chain(&mut graph, x);
    assert_eq!(elements(&graph, end), "[s0, -1, 8]");
}

#[test]
fn a_fixed_chain_is_folded_away() {
    let (mut graph, x) = graph(&["5", "2048", "3"]);
    let end = chain(&mut graph, x);
    graph.output("end", end);
    rewrite::optimize(&mut graph).unwrap();
    assert_eq!(graph.nodes().len(), 0);
    assert_eq!(graph.constant_of(end).unwrap().as_slice::<i64>().unwrap(), [5, -1, 8]);
}

#[test]
fn every_mover_moves_known_elements() {
    let (mut graph, x) = graph(&["n", "t", "8"]);
    let shape = shape_of(&mut graph, x);
    let g = &mut graph;
    let picks = integers(g, &[2, 0, -2]);
    let gathered = apply(g, Gather { axis: 0, outside: OutOfRange::Error }, &[shape, picks]);
    assert_eq!(elements(g, gathered), "[8, s0, s1]");
    let reversed = apply(g, part(0, -1, i64::MIN, -1), &[shape]);
    assert_eq!(elements(g, reversed), "[8, s1, s0]");
    let tiled = apply(g, Tile { repeats: vec![Dim::from(2)] }, &[shape]);
    assert_eq!(elements(g, tiled), "[s0, s1, 8, s0, s1, 8]");
    let expanded = apply(g, Expand { shape: vec![Dim::from(2), Dim::from(1)] }, &[shape]);
    assert_eq!(elements(g, expanded), "[s0, s1, 8, s0, s1, 8]");
    let one = Some(Arc::new(Tensor::scalar(1i64)));
    let pad = Pad { mode: PadMode::Constant, before: vec![Dim::from(1)], behind: vec![Dim::from(0)], value: one };
    let padded = apply(g, pad, &[shape]);
    assert_eq!(elements(g, padded), "[1, s0, s1, 8]");
    let truths = g.constant("truths", Tensor::from_bools([3], &[false, true, false]).unwrap());
    let ones = integers(g, &[1]);
    let chosen = apply(g, Where, &[truths, ones, shape]);
    assert_eq!(elements(g, chosen), "[s0, 1, 8]");
    let parts = Parts::Sizes(vec![Dim::from(1), Dim::from(2)]);
    let split = g.node("split", Arc::new(Split { axis: 0, parts }), vec![Some(shape)]).unwrap();
    assert_eq!((elements(g, split[0]), elements(g, split[1])), ("[s0]".into(), "[s1, 8]".into()));
    let size = apply(g, Size, &[x]);
    assert_eq!(elements(g, size), "[8*s0*s1]");
    // What is not known stays unknown: an index outside of its axis fails the run, not the import.
    let outside = integers(g, &[3]);
    let gathered = apply(g, Gather { axis: 0, outside: OutOfRange::Error }, &[shape, outside]);
    assert_eq!(elements(g, gathered), "unknown");
}

#[test]
fn look_ups_and_turns_move_known_elements() {
    let (mut graph, x) = graph(&["n", "t", "8", "2"]);
    let g = &mut graph;
    let shape = shape_of(g, x);
    let pairs = apply(g, Reshape::to(&Shape::fixed(&[2, 2])), &[shape]);
    let turned = apply(g, Transpose { perm: Some(vec![1, 0]) }, &[pairs]);
    assert_eq!(elements(g, turned), "[s0, 8, s1, 2]");
    let at = g.constant("at", Tensor::new([2, 2], &[1i64, 0, 0, -1]).unwrap());
    let picked = apply(g, GatherNd { batch_dims: 0 }, &[pairs, at]);
    assert_eq!(elements(g, picked), "[8, s1]");
    let mixed = apply(g, GatherElements { axis: 1 }, &[pairs, at]);
    assert_eq!(elements(g, mixed), "[s1, s0, 8, 2]");
    let new = integers(g, &[7, 9]);
    let set = apply(g, ScatterNd { join: Join::Replace }, &[pairs, at, new]);
    assert_eq!(elements(g, set), "[s0, 9, 7, 2]");
    let sum = apply(g, ScatterNd { join: Join::Add }, &[pairs, at, new]);
    assert_eq!(elements(g, sum), "unknown");
}

#[test]
fn known_elements_pass_through_floats_and_remainders() {
    let (mut graph, x) = graph(&["n", "t", "8"]);
    let g = &mut graph;
    let binary = |function| Binary { function };
    let shape = shape_of(g, x);
    let floats = apply(g, Cast { to: DType::F32 }, &[shape]);
    let [two, third] = [2.0, 0.3].map(|number| g.constant("number", Tensor::scalar(number as f32)));
    let twice = apply(g, binary(BinaryFunction::Mul), &[floats, two]);
    let floor = apply(g, Unary { function: UnaryFunction::Floor }, &[twice]);
    let back = apply(g, Cast { to: DType::I64 }, &[floor]);
    assert_eq!(elements(g, back), "[2*s0, 2*s1, 16]");
    let halves = apply(g, binary(BinaryFunction::Div), &[twice, two]);
    assert_eq!(elements(g, halves), "[s0, s1, 8]");
    // Halves of whole numbers need not be whole.
    for other in
        [apply(g, binary(BinaryFunction::Div), &[floats, two]), apply(g, binary(BinaryFunction::Mul), &[floats, third])]
    {
        assert_eq!(elements(g, other), "unknown");
    }
    let three = integers(g, &[3]);
    let rest = apply(g, binary(BinaryFunction::Mod { truncated: false }), &[shape, three]);
    assert!(elements(g, rest).ends_with(", 2]"), "{}", elements(g, rest));
    let [odd, by] = [[-7, 7, -7], [3, -3, -3]].map(|numbers| integers(g, &numbers));
    let rest = apply(g, binary(BinaryFunction::Mod { truncated: false }), &[odd, by]);
    assert_eq!(elements(g, rest), "[2, -2, -1]");
    let rest = apply(g, binary(BinaryFunction::Mod { truncated: true }), &[odd, by]);
    assert_eq!(elements(g, rest), "[-1, 1, -1]");
}

#[test]
fn a_cast_to_a_narrow_type_wraps_what_is_known() {
    let (mut graph, _) = graph(&["n"]);
    let wide = integers(&mut graph, &[1 << 32 | 7, -1, 0]);
    let narrow = apply(&mut graph, Cast { to: DType::I32 }, &[wide]);
    assert_eq!(elements(&graph, narrow), "[7, -1, 0]");
    let truths = apply(&mut graph, Cast { to: DType::Bool }, &[wide]);
    assert_eq!(elements(&graph, truths), "[1, 1, 0]");
    let bytes = apply(&mut graph, Cast { to: DType::U8 }, &[wide]);
    assert_eq!(elements(&graph, bytes), "[7, 255, 0]");
    let numbers = apply(&mut graph, Cast { to: DType::F32 }, &[wide]);
    assert_eq!(elements(&graph, numbers), "unknown");
}

#[test]
fn constants_in_nodes_are_folded() {
    let (mut graph, _) = graph(&["n"]);
    let value = Arc::new(Tensor::new([2], &[1.5f32, -2.0]).unwrap());
    let constant = apply(&mut graph, Constant { value: value.clone() }, &[]);
    graph.output("y", constant);
    rewrite::optimize(&mut graph).unwrap();
    assert_eq!(graph.constant_of(constant), Some(&value));
}

fn run(graph: Graph, x: Tensor) -> gristmill::Result<Tensors> {
    Session::load(graph, &SessionOptions::on(Device::Cpu))?.run(&Tensors::from([("x", x)]))
}

#[test]
fn sizes_that_only_a_run_knows() {
    let (mut graph, x) = graph(&["n", "t"]);
    let t = Dim::symbol(graph.symbol("t"));
    let shape = shape_of(&mut graph, x);
    let size = apply(&mut graph, Size, &[x]);
    let range = Range { start: Dim::number(-1), limit: t.clone(), step: 2, dtype: DType::I32 };
    let range = apply(&mut graph, range, &[]);
    let numbers = graph.constant("numbers", Tensor::new([1, 9], &[0i64, 1, 2, 3, 4, 5, 6, 7, 8]).unwrap());
    let head = Part { axis: 1, start: Dim::from(0), end: t.clone(), step: 1 };
    let head = apply(&mut graph, Slice { parts: vec![head] }, &[numbers]);
    let last = apply(&mut graph, part(1, -1, i64::MAX, 1), &[x]);
    let rest = apply(&mut graph, part(1, 1, i64::MAX, 1), &[x]);
    assert_eq!(graph.fact(head).shape.to_string(), "[1, min(s1, 9)]");
    let placed = apply(&mut graph, Cast { to: DType::F32 }, &[head]);
    let placed = apply(&mut graph, Binary { function: BinaryFunction::Add }, &[x, placed]);
    assert_eq!(graph.fact(placed).shape.to_string(), "[s0, s1]");
    assert_eq!(graph.fact(last).shape.to_string(), "[s0, 1]");
    assert_eq!(graph.fact(rest).shape.to_string(), "[s0, s1-1]");
    let outputs = [("shape", shape), ("size", size), ("range", range), ("head", head), ("last", last), ("rest", rest)];
    for (name, id) in outputs.into_iter().chain([("placed", placed)]) {
        graph.output(name, id);
    }
    let got = run(graph.clone(), Tensor::new([2, 3], &[0f32, 1.0, 2.0, 3.0, 4.0, 5.0]).unwrap()).unwrap();
    assert_eq!(got.get("shape").unwrap().as_slice::<i64>().unwrap(), [2, 3]);
    assert_eq!(got.get("size").unwrap().as_slice::<i64>().unwrap(), [6]);
    assert_eq!(got.get("range").unwrap().as_slice::<i32>().unwrap(), [-1, 1]);
    assert_eq!(got.get("head").unwrap().as_slice::<i64>().unwrap(), [0, 1, 2]);
    assert_eq!(got.get("last").unwrap().as_slice::<f32>().unwrap(), [2.0, 5.0]);
    assert_eq!(got.get("rest").unwrap().as_slice::<f32>().unwrap(), [1.0, 2.0, 4.0, 5.0]);
    // Ten positions of a table of nine are nine, which do not fit ten.
    let error = run(graph, Tensor::zeros(DType::F32, [1, 10]).unwrap()).unwrap_err();
    assert!(error.to_string().contains("axes of sizes 10 and 9 cannot be broadcast"), "{error}");
}

#[test]
fn an_index_outside_is_an_error_that_names_it() {
    let mut graph = Graph::new("lookup");
    let n = Dim::symbol(graph.symbol("n"));
    let table = graph.constant("table", Tensor::zeros(DType::F32, [7, 3]).unwrap());
    let ids = graph.input("ids", DType::I32, Shape::new([n]));
    let rows = apply(&mut graph, Gather { axis: 0, outside: OutOfRange::Error }, &[table, ids]);
    graph.output("rows", rows);
    let session = Session::load(graph, &SessionOptions::on(Device::Cpu)).unwrap();
    for wrong in [7, -8, i32::MIN, i32::MAX] {
        let ids = Tensor::new([2], &[6, wrong]).unwrap();
        let error = session.run(&Tensors::from([("ids", ids)])).unwrap_err();
        let want = format!("index {wrong} is out of range for axis 0 of size 7");
        assert!(error.to_string().contains(&want), "{error}");
        assert_eq!(error.kind(), gristmill::ErrorKind::InvalidInput);
    }
    assert!(session.run(&Tensors::from([("ids", Tensor::new([2], &[6, -7]).unwrap())])).is_ok());
}
