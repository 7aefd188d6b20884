//! Tree ensembles as files describe them: what they predict, and what is refused.

use std::sync::Arc;

use gristmill::{
    DType, Device, ErrorKind, Result, Session, SessionOptions, Shape, Tensor, Tensors,
    testing::{
        graph::Graph,
        op::{Attribute, OnnxNode, Operator},
        ops,
    },
};

type Attributes = Vec<(&'static str, Attribute)>;

fn ints(all: &[i64]) -> Attribute {
    Attribute::Ints(all.to_vec())
}

fn floats(all: &[f32]) -> Attribute {
    Attribute::Floats(all.to_vec())
}

fn modes(all: &[&str]) -> Attribute {
    Attribute::Strings(all.iter().map(|mode| (*mode).to_owned()).collect())
}

/// A tree of one split and two leaves.
fn stump() -> Attributes {
    vec![
        ("nodes_treeids", ints(&[0, 0, 0])),
        ("nodes_nodeids", ints(&[0, 1, 2])),
        ("nodes_featureids", ints(&[1, 0, 0])),
        ("nodes_modes", modes(&["BRANCH_LT", "LEAF", "LEAF"])),
        ("nodes_values", floats(&[0.5, 0.0, 0.0])),
        ("nodes_truenodeids", ints(&[1, 0, 0])),
        ("nodes_falsenodeids", ints(&[2, 0, 0])),
        ("target_treeids", ints(&[0, 0])),
        ("target_nodeids", ints(&[1, 2])),
        ("target_ids", ints(&[0, 0])),
        ("target_weights", floats(&[10.0, 20.0])),
    ]
}

fn with(mut attributes: Attributes, name: &'static str, value: Attribute) -> Attributes {
    attributes.retain(|(own, _)| *own != name);
    attributes.push((name, value));
    attributes
}

fn graph_of(attributes: Attributes, columns: usize) -> Result<Graph> {
    let mut graph = Graph::new("trees");
    let x = graph.input("x", DType::F32, Shape::fixed(&[3, columns]));
    let decode = ops::find_onnx("ai.onnx.ml", "TreeEnsembleRegressor").unwrap();
    let attributes = attributes.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    let mut node = OnnxNode::new(&graph, 3, "TreeEnsembleRegressor", attributes, vec![Some(x)], 1);
    let op: Arc<dyn Operator> = decode(&mut node)?;
    node.finish()?;
    let outputs = graph.node("trees", op, vec![Some(x)])?;
    graph.output("y", outputs[0]);
    Ok(graph)
}

fn run(attributes: Attributes, columns: usize, x: &[f32]) -> Vec<f32> {
    let session = Session::load(graph_of(attributes, columns).unwrap(), &SessionOptions::on(Device::Cpu)).unwrap();
    let outputs = session.run(&Tensors::from([("x", Tensor::new([3, columns], x).unwrap())])).unwrap();
    outputs.get("y").unwrap().as_slice().unwrap().to_vec()
}

#[test]
fn a_stump_splits_rows() {
    let x = [9.0, 0.25, 9.0, 0.5, 9.0, f32::NAN];
    assert_eq!(run(stump(), 2, &x), [10.0, 20.0, 20.0]);
    let missing = with(stump(), "nodes_missing_value_tracks_true", ints(&[1, 0, 0]));
    assert_eq!(run(missing, 2, &x), [10.0, 20.0, 10.0]);
    let more = with(stump(), "base_values", floats(&[0.5]));
    assert_eq!(run(more, 2, &x), [10.5, 20.5, 20.5]);
}

#[test]
fn thresholds_in_double_precision_cut_single_precision() {
    let tensor = |values: &[f64]| Attribute::Tensor(Arc::new(Tensor::new([values.len()], values).unwrap()));
    let exact = with(stump(), "nodes_values", Attribute::Floats(Vec::new()));
    // Between 0.5 and the next number in single precision.
    let exact = with(exact, "nodes_values_as_tensor", tensor(&[0.500_000_001, 0.0, 0.0]));
    assert_eq!(run(exact, 2, &[0.0, 0.5, 0.0, 0.500_000_06, 0.0, 0.0]), [10.0, 20.0, 10.0]);
}

#[test]
fn deep_trees_need_no_stack() {
    const DEPTH: i64 = 100_000;
    // Split `n` sends numbers up to `n` to a leaf of their own and the others on.
    let nodes = 2 * DEPTH + 1;
    let split = |node: i64| node < DEPTH;
    let list = |of: &dyn Fn(i64) -> i64| ints(&(0..nodes).map(of).collect::<Vec<_>>());
    let leaves: Vec<i64> = (DEPTH..nodes).collect();
    let attributes = vec![
        ("nodes_treeids", list(&|_| 0)),
        ("nodes_nodeids", list(&|node| node)),
        ("nodes_featureids", list(&|_| 0)),
        (
            "nodes_modes",
            Attribute::Strings(
                (0..nodes).map(|node| if split(node) { "BRANCH_LEQ" } else { "LEAF" }.to_owned()).collect(),
            ),
        ),
        ("nodes_values", floats(&(0..nodes).map(|node| node as f32).collect::<Vec<_>>())),
        ("nodes_truenodeids", list(&|node| if split(node) { DEPTH + node } else { 0 })),
        ("nodes_falsenodeids", list(&|node| if node + 1 < DEPTH { node + 1 } else { 2 * DEPTH })),
        ("target_treeids", ints(&vec![0; leaves.len()])),
        ("target_nodeids", ints(&leaves)),
        ("target_ids", ints(&vec![0; leaves.len()])),
        ("target_weights", floats(&leaves.iter().map(|leaf| (leaf - DEPTH) as f32).collect::<Vec<_>>())),
    ];
    assert_eq!(run(attributes, 1, &[-1.0, 77_777.0, 1e9]), [0.0, 77_777.0, 100_000.0]);
}

#[test]
fn wrong_trees_are_refused() {
    let wrong: Vec<(&str, Attributes)> = vec![
        ("a node that is its own child", with(stump(), "nodes_truenodeids", ints(&[0, 0, 0]))),
        ("a child that is not there", with(stump(), "nodes_truenodeids", ints(&[7, 0, 0]))),
        ("a child of another tree", with(stump(), "nodes_treeids", ints(&[0, 0, 1]))),
        ("one node twice", with(stump(), "nodes_nodeids", ints(&[0, 1, 1]))),
        ("a short list", with(stump(), "nodes_featureids", ints(&[1, 0]))),
        ("few thresholds", with(stump(), "nodes_values", floats(&[0.5]))),
        ("a negative feature", with(stump(), "nodes_featureids", ints(&[-1, 0, 0]))),
        ("a huge feature", with(stump(), "nodes_featureids", ints(&[i64::MAX, 0, 0]))),
        ("an unknown mode", with(stump(), "nodes_modes", modes(&["BRANCH", "LEAF", "LEAF"]))),
        ("a weight of no node", with(stump(), "target_nodeids", ints(&[1, 3]))),
        ("a weight of no target", with(stump(), "target_ids", ints(&[0, 1]))),
        ("a weight of a negative target", with(stump(), "target_ids", ints(&[0, -1]))),
        ("weights without nodes", with(stump(), "target_nodeids", ints(&[1]))),
        ("no targets", with(stump(), "n_targets", Attribute::Int(0))),
        ("base values of other targets", with(stump(), "base_values", floats(&[1.0, 2.0, 3.0]))),
        ("fewer columns than the trees test", with(stump(), "nodes_featureids", ints(&[2, 0, 0]))),
    ];
    for (what, attributes) in wrong {
        let error = graph_of(attributes, 2).map(|_| ()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidModel, "{what}: {error}");
    }
    // A tree that goes in a circle has no root.
    let circle = with(stump(), "nodes_modes", modes(&["BRANCH_LT", "BRANCH_LT", "LEAF"]));
    let circle = with(circle, "nodes_truenodeids", ints(&[1, 0, 0]));
    let circle = with(circle, "nodes_falsenodeids", ints(&[2, 2, 0]));
    let error = graph_of(circle, 2).map(|_| ()).unwrap_err();
    assert!(error.to_string().contains("circle"), "{error}");
}
